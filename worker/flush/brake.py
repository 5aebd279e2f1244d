"""The brake: many members that would leave a list at once wait for an operator, since that is rarely meant."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Mapping
from types import MappingProxyType

from worker.flush.plan_summary import leaves, may_turn_out, unread
from worker.flush.steps import StepGroup, Unsubscribe
from worker.model import AccountId, ListId
from worker.store.accounts import AccountSettings
from worker.store.held_back import HeldBack, What
from worker.text.plural import counted

FEW = 10
"""So many may leave any list in one run."""
SHARE = 10
"""Or one of so many of the members that this worker knows there, where that is more."""

UNREAD = "the list that it was on cannot be read any more, so the worker cannot find out whether the person left it"
BRAKED = "more members would leave this list in one run than is usual"
CONFIRM = "Confirm it within an hour of the notice: flush --account ID --confirm"


def limit(present: int) -> int:
    """Returns how many may leave a list in one run."""
    return max(FEW, present // SHARE)


def held_of(held: Iterable[HeldBack], what: What) -> dict[ListId, int]:
    """Returns how much of a kind was held back on each list; the most where it was shown twice."""
    found: dict[ListId, int] = {}
    for one in held:
        if one.what == what:
            found[one.list_id] = max(one.count, found.get(one.list_id, 0))
    return found


def confirmed_of(settings: AccountSettings) -> list[HeldBack]:
    """Returns what somebody confirmed when the settings were changed, for the next flush."""
    return [HeldBack(list_id, "departures", count) for list_id, count in (settings.confirmed or {}).items()]


def _not_known(read_at: str | None) -> str:
    if read_at is None:
        return "Who left it was never read."
    return f"The worker does not know who left it since {read_at}."


class Brake:
    """Counts the members that leave each list. The account's threads share it.

    A step is admitted only where there is room for its member to leave; a member that stays in the end gives its room
    back. Withdrawn consent is never held, and does not count: what this worker may not send is not for it to weigh.
    """

    def __init__(
        self,
        planned: Mapping[ListId, int],
        present: Mapping[ListId, int],
        confirmed: Mapping[ListId, int],
        moves: Mapping[ListId, int] = MappingProxyType({}),
        confirmed_moves: Mapping[ListId, int] = MappingProxyType({}),
    ) -> None:
        """Begins a run.

        Args:
            planned: members that would leave each list, as far as is known at the beginning.
            present: members that the ledger knows on each list.
            confirmed: how many an operator was shown, list by list, and confirmed.
            moves: customers that would go on from each list that cannot be read any more.
            confirmed_moves: how many of these an operator was shown and confirmed.
        """
        self._unread = Counter({one: count for one, count in moves.items() if count > confirmed_moves.get(one, 0)})
        self._confirmed_moves = Counter(confirmed_moves)
        self._present = present
        self._confirmed = confirmed
        self._lock = threading.Lock()
        self._admitted = Counter[ListId]()
        self._undone = Counter[ListId]()
        # Where it is too many from the start, none of them is begun.
        self._shut = {
            list_id
            for list_id, count in planned.items()
            if list_id not in confirmed and count > limit(present.get(list_id, 0))
        }
        self._held = Counter({list_id: planned[list_id] for list_id in self._shut})

    @property
    def held(self) -> dict[ListId, int]:
        """How many members would leave each list of which some are held, at the most: so many must be confirmed.

        Who was admitted and did not leave for another reason leaves together with them in the next run.
        """
        with self._lock:
            return {list_id: count + self._undone[list_id] for list_id, count in self._held.items()}

    def admit(self, step_group: StepGroup) -> tuple[StepGroup, StepGroup]:
        """Admits a step group, or holds it as a whole but for withdrawn consent.

        Returns:
            The steps to do, and those that are held.
        """
        leaving = Counter(step.membership.list_id for step in step_group if leaves(step))
        moving = Counter(list_id for step in step_group for list_id in unread(step))
        if not leaving and not moving:
            return step_group, ()
        with self._lock:
            if any(count > self._confirmed_moves[list_id] for list_id, count in moving.items()):
                self._unread += Counter({one: count for one, count in moving.items() if one not in self._unread})
                leaving, fits = Counter(), False
            else:
                fits = True
            if fits and all(self._room(list_id, count) for list_id, count in leaving.items()):
                self._admitted += leaving
                self._confirmed_moves -= moving
                return step_group, ()
            self._held += Counter({one: count for one, count in leaving.items() if one not in self._shut})
            # Those that nobody planned need room too, should it come to them once the others are admitted.
            if fits:
                self._held.update(step.membership.list_id for step in step_group if may_turn_out(step))
        withdrawn = tuple(step for step in step_group if isinstance(step, Unsubscribe))
        return withdrawn, tuple(step for step in step_group if not isinstance(step, Unsubscribe))

    def may_leave(self, list_id: ListId) -> bool:
        """Counts one more member that would leave a list, found only now; returns whether it may."""
        with self._lock:
            if self._room(list_id, 1):
                self._admitted[list_id] += 1
                return True
            self._held[list_id] += 1
            return False

    def stayed(self, list_id: ListId, *, undone: bool) -> None:
        """Takes a member that was admitted, and did not leave its list, out of the count.

        Args:
            undone: whether the next run tries again.
        """
        with self._lock:
            self._admitted[list_id] -= 1
            self._undone[list_id] += undone

    @property
    def held_moves(self) -> dict[ListId, int]:
        """How many customers are kept from going on from each list that cannot be read any more."""
        with self._lock:
            return dict(self._unread)

    def notices(self, account_id: AccountId, read_at: Mapping[ListId, str] = MappingProxyType({})) -> list[str]:
        """Returns a sentence for each list on which departures are held, or from which nobody goes on.

        Args:
            read_at: when it was last read who left each list, as text.
        """
        return [
            f"Held back: {counted(count, 'customer')} would move off list {list_id}, which cannot be read any more. "
            f"{_not_known(read_at.get(list_id))} People who left it unseen would be added elsewhere. If you want that, "
            f"confirm it within an hour: mailchimp-worker flush --account {account_id} --confirm"
            for list_id, count in sorted(self.held_moves.items())
        ] + [
            f"Held back on list {list_id}: {counted(count, 'member')} would leave it in one run, more than "
            f"{limit(self._present.get(list_id, 0))}. If you want that, confirm it within an hour: mailchimp-worker "
            f"flush --account {account_id} --confirm"
            for list_id, count in sorted(self.held.items())
        ]

    def _room(self, list_id: ListId, count: int) -> bool:
        if list_id in self._shut:
            return False
        allowed = max(limit(self._present.get(list_id, 0)), self._confirmed.get(list_id, 0))
        return self._admitted[list_id] + count <= allowed
