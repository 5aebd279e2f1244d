"""What a plan consists of: steps, and which of them may run side by side.

Which customers a step is for are its targets; a customer is settled when all its steps are done.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from worker.flush import calls
from worker.flush.merge_values import Fields
from worker.flush.outcomes import MEANINGS, Outcome
from worker.mailchimp.member import Member
from worker.model import Customer, CustomerId, MembershipKey
from worker.store.ledger import LedgerEntry


@dataclass(frozen=True, slots=True)
class Target:
    """One customer's part in a step, with the reason for its list."""

    customer: Customer
    list_reason: str | None

    @property
    def customer_id(self) -> CustomerId:
        """Whose part it is."""
        return self.customer.customer_id


@dataclass(frozen=True, slots=True)
class Contact:
    """What a membership should hold, and for whom.

    Attributes:
        email: the address as published.
        status_if_new: how a new member is added.
        owner: the newest customer with the address, whose fields the member has.
        targets: the customers that this settles, the owner first where it is among them.
        tags: the owner's.
    """

    membership: MembershipKey
    email: str
    fields: Fields
    status_if_new: str
    owner: CustomerId
    targets: tuple[Target, ...]
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PriorMembership:
    """A place where one of the contact's customers is known: it must be read before the contact is put anywhere else.

    Attributes:
        list_gone: whether that list is gone, so that only the ledger knows.
        known: the customers who are known there.
        others: whether none of the contact's customers is: the address left there, or somebody else who has it now.
    """

    membership: MembershipKey
    entry: LedgerEntry | None
    list_gone: bool = False
    known: tuple[CustomerId, ...] = ()
    others: bool = False


@dataclass(frozen=True, slots=True)
class NoCall:
    """Nothing is sent for these customers.

    Attributes:
        membership: where they are known from now on; None leaves what was known.
        next: what happens next; None for what the outcome says.
        silent: whether even the receipt is left out, since an earlier one says the same.
        waits_for: the customer whose opt-out keeps these out: they are looked at again when it changes.
    """

    targets: tuple[Target, ...]
    membership: MembershipKey | None
    outcome: Outcome
    detail: str
    next: str | None = None
    silent: bool = False
    waits_for: CustomerId | None = None

    @property
    def settles(self) -> bool:
        """Whether they need nothing more."""
        return MEANINGS[self.outcome].settles is not False


@dataclass(frozen=True, slots=True)
class _ForContact:
    """What all steps that put a contact at its place have."""

    contact: Contact
    left: PriorMembership | None = field(default=None, kw_only=True)  # a reading shows that somebody left there

    @property
    def membership(self) -> MembershipKey:
        """Where the contact goes, or is."""
        return self.contact.membership

    @property
    def targets(self) -> tuple[Target, ...]:
        """Whom the step is for."""
        return self.contact.targets


@dataclass(frozen=True, slots=True)
class Add(_ForContact):
    """A contact that is nowhere yet."""

    entry: LedgerEntry | None

    def as_contact(self) -> dict[str, Any]:
        """Returns the contact as a POST carries it."""
        return calls.contact(self.contact.email, self.contact.status_if_new, self.contact.fields.values)


@dataclass(frozen=True, slots=True)
class Move(_ForContact):
    """A contact that is known elsewhere: it goes to its new place only if nobody left the old one.

    Attributes:
        priors: the places to read first.
        rename: the one of them whose member may simply get the new address; None where it must be added.
        rename_changes: the fields that such a member still needs.
    """

    entry: LedgerEntry | None
    priors: tuple[PriorMembership, ...]
    rename: PriorMembership | None
    rename_changes: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Update(_ForContact):
    """A member whose fields differ from what was sent last."""

    entry: LedgerEntry
    changes: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Tag(_ForContact):
    """A member whose tags differ from those that this worker set.

    Attributes:
        follows: whether a step before it put the contact there, and says what became of it.
        seen: the member with its tags, as the call that added it answered; None: it is read first.
        seen_at: Mailchimp's time of that answer.
    """

    entry: LedgerEntry | None
    follows: bool = False
    seen: Member | None = None
    seen_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Restore(_ForContact):
    """A contact that comes back to where this worker archived it."""

    entry: LedgerEntry
    priors: tuple[PriorMembership, ...]


@dataclass(frozen=True, slots=True)
class Recheck(_ForContact):
    """A contact whose member Mailchimp did not know any more: written only if it is there again."""

    entry: LedgerEntry
    priors: tuple[PriorMembership, ...]


@dataclass(frozen=True, slots=True)
class Found(_ForContact):
    """A contact of which Mailchimp said, when it was to be added, that it is a member already."""

    entry: LedgerEntry | None


@dataclass(frozen=True, slots=True)
class Archive:
    """A member that no customer wants any more.

    Attributes:
        moved: whether its customers went elsewhere; then only a subscribed member is archived.
        only_if_taken: the rename before it may have left nothing to archive.
        successors: customers on their way to the place: it is archived only if none of them may come.
    """

    membership: MembershipKey
    entry: LedgerEntry
    targets: tuple[Target, ...]
    moved: bool
    only_if_taken: bool = False
    successors: tuple[CustomerId, ...] = ()

    @property
    def planned(self) -> bool:
        """Whether the member leaves unless somebody looks and finds otherwise; else it most likely stays."""
        return not (self.only_if_taken or self.successors)

    @property
    def withdrawn(self) -> bool:
        """Whether a customer that is known by the member withdrew consent."""
        return any(not target.customer.state.marketing_consent for target in self.targets)


@dataclass(frozen=True, slots=True)
class Unsubscribe:
    """An address whose customer withdrew consent, on one list, also if others added it there.

    Attributes:
        same_address: other customers with the address, without a call of their own: what is found there is theirs too.
    """

    membership: MembershipKey
    entry: LedgerEntry | None
    targets: tuple[Target, ...]
    same_address: tuple[CustomerId, ...] = ()


Step = Add | Found | Move | Update | Tag | Restore | Recheck | Archive | Unsubscribe
"""What makes calls. A place is touched by the steps of one group only."""

StepGroup = tuple[Step, ...]
"""Steps that share a place or a customer, in the order in which they must be done."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a flush would do for a part of an account's customers.

    Attributes:
        adds: contacts that are nowhere yet and share nothing with other steps.
        step_groups: everything else that makes calls.
        no_calls: customers for whom nothing is sent.
    """

    adds: tuple[Add, ...]
    step_groups: tuple[StepGroup, ...]
    no_calls: tuple[NoCall, ...]

    def steps(self) -> Iterator[Step]:
        """Gives all steps that make calls."""
        yield from self.adds
        for step_group in self.step_groups:
            yield from step_group


def touched(step: Step) -> Iterable[MembershipKey]:
    """Returns the places that a step reads or writes."""
    memberships = [step.membership]
    if isinstance(step, Move | Restore | Recheck):
        memberships += [prior.membership for prior in step.priors]
    return memberships


def ids_of(targets: Iterable[Target]) -> frozenset[CustomerId]:
    """Returns the customers of targets."""
    return frozenset(target.customer_id for target in targets)


def customers_of(steps: Iterable[Step]) -> frozenset[CustomerId]:
    """Returns the customers that steps are for."""
    return ids_of(target for step in steps for target in step.targets)


def step_groups_of(steps: Sequence[Step]) -> tuple[tuple[Add, ...], tuple[StepGroup, ...]]:
    """Sorts steps into adds that depend on nothing, and groups that may run side by side.

    Parallel writes to one member can answer bare 404s. Source: observed of Mailchimp's API, see the README.

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
