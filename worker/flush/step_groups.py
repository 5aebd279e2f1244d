"""Which steps may run side by side: those that touch no place in common.

Parallel writes to one member can answer bare 404s. Source: observed of Mailchimp's API, see the README.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from worker.flush.steps import Add, Archive, Step, StepGroup, Unsubscribe, touched


def step_groups_of(steps: Sequence[Step]) -> tuple[tuple[Add, ...], tuple[StepGroup, ...]]:
    """Sorts steps into adds that depend on nothing, and groups.

    Returns:
        The adds that share no place and no customer with another step, and the groups of all others. In a group,
        withdrawn consent comes first and archiving last.
    """
    groups = _Groups()
    for number, step in enumerate(steps):
        for membership in touched(step):
            groups.join(number, membership)
        for target in step.targets:
            groups.join(number, target.customer_id)
    together: dict[Hashable, list[Step]] = {}
    for number, step in enumerate(steps):
        together.setdefault(groups.root(number), []).append(step)
    alone: list[Add] = []
    step_groups: list[StepGroup] = []
    for step_group in together.values():
        if len(step_group) == 1 and isinstance(step_group[0], Add):
            alone.append(step_group[0])
        else:
            step_groups.append(tuple(sorted(step_group, key=_rank)))
    return tuple(alone), tuple(step_groups)


def _rank(step: Step) -> int:
    if isinstance(step, Archive):
        # Where an add was begun first: it may be the member of the place before it, under its new address.
        return 2 if step.entry.state == "intended" else 3
    return 0 if isinstance(step, Unsubscribe) else 1


class _Groups:
    """Disjoint sets."""

    def __init__(self) -> None:
        self._parent: dict[Hashable, Hashable] = {}

    def root(self, item: Hashable) -> Hashable:
        parent = self._parent.setdefault(item, item)
        while parent != self._parent[parent]:
            self._parent[item] = self._parent[parent]
            item, parent = parent, self._parent[parent]
        return parent

    def join(self, one: Hashable, other: Hashable) -> None:
        self._parent[self.root(one)] = self.root(other)
