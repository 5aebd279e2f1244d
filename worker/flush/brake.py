"""The brake: when unusually many members would leave a list at once, they wait for an operator's confirmation."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from worker.clock import as_text
from worker.model import ListId
from worker.plan.consent import prior_decision_by_ledger
from worker.plan.outcomes import NEXT_FLUSH, Outcome
from worker.plan.steps import (
    Add,
    AfterPriors,
    Archive,
    Move,
    Plan,
    Recheck,
    Restore,
    Step,
    StepGroup,
    Unsubscribe,
    Update,
)
from worker.store.accounts import AccountList, AccountSettings
from worker.store.held_counts import HeldCount, HeldKind
from worker.text.plural import counted

FEW = 10
"""This many may always leave a list in one run."""
SHARE = 10
"""Or one of so many of the members that this worker knows there, where that is more."""

UNREAD = "the list that it was on cannot be read any more, so the worker cannot find out whether the person left it"
BRAKED = "more members would leave this list in one run than is usual"
CONFIRM = "Confirm it within an hour of the flush: mailchimp-worker flush --account ID --confirm"


@dataclass(slots=True)
class Expected:
    """What a whole flush of an account would do to its lists, counted before any of it is done.

    Attributes:
        adds: contacts that would be added to each list in batches.
        departures: members in the ledger that would leave each list.
        unreadable: customers that would move off each list that can no longer be read.
        sources: lists that customers would move off, and that can be read.
        destinations: lists that contacts would be added to, or put back on.
    """

    adds: Counter[ListId] = field(default_factory=Counter)
    departures: Counter[ListId] = field(default_factory=Counter)
    unreadable: Counter[ListId] = field(default_factory=Counter)
    sources: set[ListId] = field(default_factory=set)
    destinations: set[ListId] = field(default_factory=set)

    def add(self, plan: Plan) -> None:
        """Counts one more chunk of the account's plan."""
        self.adds.update(add.membership.list_id for add in plan.adds)
        self.destinations |= self.adds.keys()
        for step_group in plan.step_groups:
            for step in step_group:
                if leaves(step):
                    self.departures[step.membership.list_id] += 1
                elif isinstance(step, AfterPriors) and step.kept_out_by is None:
                    self.unreadable.update(unreadable_sources(step))
                    self.sources |= _readable_sources(step)
                    self.destinations |= set() if isinstance(step, Recheck) else {step.membership.list_id}


def leaves(step: Step) -> bool:
    """Returns whether a step takes a member off its list for a reason other than withdrawn consent."""
    return isinstance(step, Archive) and step.planned


def may_leave_unplanned(step: Step) -> bool:
    """Returns whether a step that is not counted beforehand may take a member off its list, withdrawn consent aside.

    This is known only after the steps before it.
    """
    return isinstance(step, Archive) and not step.planned and not step.withdrawn


def unreadable_sources(step: Step) -> set[ListId]:
    """Returns the lists that can no longer be read, and that a step moves customers off by the ledger alone."""
    if not isinstance(step, Move | Restore) or step.kept_out_by is not None:
        return set()
    contact = step.contact
    unreadable = [prior for prior in step.priors if prior.list_gone]
    known = (
        prior_decision_by_ledger(prior.membership, prior.entry, step.membership, contact.status_if_new)
        for prior in unreadable
    )
    # Nobody moves off a list that the ledger says somebody left.
    return (
        {prior.membership.list_id for prior in unreadable}
        if all(decision.status is not None for decision in known)
        else set()
    )


def _readable_sources(step: AfterPriors) -> set[ListId]:
    own = (prior for prior in step.priors if prior.own and not prior.list_gone)
    return {prior.membership.list_id for prior in own} - {step.membership.list_id}


def limit(present: int) -> int:
    """Returns how many members may leave a list in one run."""
    return max(FEW, present // SHARE)


def _held_of(held_counts: Iterable[HeldCount], kind: HeldKind) -> dict[ListId, int]:
    """Returns how much of one kind was held back on each list; the larger number if it was shown twice."""
    largest: dict[ListId, int] = {}
    for held_count in held_counts:
        if held_count.kind == kind:
            largest[held_count.list_id] = max(held_count.count, largest.get(held_count.list_id, 0))
    return largest


def confirmed_of(settings: AccountSettings) -> list[HeldCount]:
    """Returns what was confirmed when the settings were changed, for the next flush."""
    return [HeldCount(list_id, "departures", count) for list_id, count in (settings.confirmed or {}).items()]


def _not_known(on_list: AccountList | None) -> str:
    if on_list is None or on_list.departures_lost or on_list.departures_read_at is None:
        return "Who left it was never read."
    # When the last complete reading of its departures began.
    return f"The worker does not know who left it since {as_text(on_list.departures_read_at)}."


class Brake:
    """Counts the members that leave each list. One per account; thread-safe.

    A step is admitted only if the limit allows its member to leave; a member that stays in the end is not counted.
    Withdrawn consent is never held, and does not count: the worker has no choice there.
    """

    def __init__(
        self,
        expected: Expected,
        present: Mapping[ListId, int],
        confirmed: Collection[HeldCount] = (),
        not_read: Collection[ListId] = (),
    ) -> None:
        """Starts a run.

        Args:
            present: members on each list, by the ledger.
            not_read: lists that may exist after all: nobody moves off them, whatever was confirmed.
        """
        moves = {list_id: count for list_id, count in _held_of(confirmed, "moves").items() if list_id not in not_read}
        self._not_read = not_read
        self._unread = Counter(
            {list_id: count for list_id, count in expected.unreadable.items() if count > moves.get(list_id, 0)}
        )
        self._confirmed_moves = Counter(moves)
        self._present = present
        self._expected = Counter(expected.departures)
        self._confirmed = _held_of(confirmed, "departures")
        self._lock = threading.Lock()
        self._admitted = Counter[ListId]()
        self._undone = Counter[ListId]()
        # If there are too many from the start, none may leave.
        self._none_may_leave = {
            list_id
            for list_id, count in expected.departures.items()
            if list_id not in self._confirmed and count > limit(present.get(list_id, 0))
        }
        self._held = Counter({list_id: expected.departures[list_id] for list_id in self._none_may_leave})

    @property
    def held(self) -> dict[ListId, int]:
        """How many members would leave each list with held departures, at most.

        Members that were admitted but stayed for another reason would leave together with them in the next run.
        """
        with self._lock:
            return {list_id: count + self._undone[list_id] for list_id, count in self._held.items()}

    @property
    def to_confirm(self) -> dict[ListId, int]:
        """Those of the held departures that the next flush does not admit either, unless they are confirmed."""
        return {list_id: count for list_id, count in self.held.items() if count > self._next_limit(list_id)}

    def outcome_of_held(self, step_group: StepGroup) -> tuple[Outcome, str]:
        """Returns the outcome of steps of a group that are held, and what happens next to them.

        Held means that somebody must confirm it. It is not if the next flush admits all that is held at the end.
        """
        lists = {step.membership.list_id for step in step_group if leaves(step) or may_leave_unplanned(step)}
        if any(map(unreadable_sources, step_group)) or any(map(self._waits_for_confirmation, lists)):
            return Outcome.HELD, CONFIRM
        return Outcome.LATER, NEXT_FLUSH

    def _waits_for_confirmation(self, list_id: ListId) -> bool:
        # By what was expected: others may be held later in this run.
        expected, allowed = self._expected[list_id], self._allowed(list_id)
        held_count = max(self.held.get(list_id, 0), expected - allowed)
        admitted = max(self._admitted[list_id], min(expected, allowed))
        return held_count > limit(self._present.get(list_id, 0) - admitted)

    def admit(self, step_group: StepGroup) -> tuple[StepGroup, StepGroup]:
        """Admits a step group, or holds all of it except withdrawn consent.

        Returns:
            The steps to do, and those that are held.
        """
        if all(isinstance(step, Update | Add) for step in step_group):
            return step_group, ()
        leaving = Counter(step.membership.list_id for step in step_group if leaves(step))
        moving = Counter(list_id for step in step_group for list_id in unreadable_sources(step))
        if not leaving and not moving:
            return step_group, ()
        with self._lock:
            if any(count > self._confirmed_moves[list_id] for list_id, count in moving.items()):
                self._unread += Counter(
                    {list_id: count for list_id, count in moving.items() if list_id not in self._unread}
                )
                leaving, fits = Counter(), False
            else:
                fits = True
            if fits and all(self._fits(list_id, count) for list_id, count in leaving.items()):
                self._admitted += leaving
                self._confirmed_moves -= moving
                return step_group, ()
            self._held += Counter(
                {list_id: count for list_id, count in leaving.items() if list_id not in self._none_may_leave}
            )
            # Unplanned departures must fit too, in case they happen once the others are admitted.
            if fits:
                self._held.update(step.membership.list_id for step in step_group if may_leave_unplanned(step))
        withdrawn = tuple(step for step in step_group if isinstance(step, Unsubscribe))
        return withdrawn, tuple(step for step in step_group if not isinstance(step, Unsubscribe))

    def admit_one(self, list_id: ListId) -> bool:
        """Counts one more departure that was found only now; returns whether it may happen."""
        with self._lock:
            if self._fits(list_id, 1):
                self._admitted[list_id] += 1
                return True
            self._held[list_id] += 1
            return False

    def stayed(self, list_id: ListId, *, undone: bool) -> None:
        """Uncounts a member that was admitted and did not leave its list.

        Args:
            undone: whether the next run tries again.
        """
        with self._lock:
            self._admitted[list_id] -= 1
            self._undone[list_id] += undone

    @property
    def held_moves(self) -> dict[ListId, int]:
        """How many customers are kept from moving off each list that can no longer be read; this must be confirmed."""
        with self._lock:
            return {list_id: count for list_id, count in self._unread.items() if list_id not in self._not_read}

    def notices(self, settings: AccountSettings) -> list[str]:
        """Returns a sentence for each list with held departures or moves."""
        account_id = settings.account_id
        return [
            f"Held back: {counted(count, 'customer')} would move off list {settings.label_of(list_id)}, which cannot "
            f"be read any more. "
            f"{_not_known(settings.list_of(list_id))} People who left it unseen would be added elsewhere. If you want "
            f"that, confirm it within an hour: mailchimp-worker flush --account {account_id} --confirm"
            for list_id, count in sorted(self.held_moves.items())
        ] + [self._held_notice(list_id, count, settings) for list_id, count in sorted(self.held.items())]

    def _held_notice(self, list_id: ListId, count: int, settings: AccountSettings) -> str:
        name = settings.label_of(list_id)
        most = self._next_limit(list_id)
        if count > most:
            return (
                f"Held back: {counted(count, 'member')} would leave list {name} in one run, more than {most}. If "
                "you want that, confirm it within an hour: mailchimp-worker flush --account "
                f"{settings.account_id} --confirm"
            )
        # More than were confirmed, or some that changed during the flush.
        return (
            f"Held back on list {name} until the next flush: {counted(count, 'more member')} would leave it than "
            f"may in this run. The next flush takes them off without a confirmation, because they are not more than "
            f"{most}. If you do not want that, correct the customers in billmywork first."
        )

    def _next_limit(self, list_id: ListId) -> int:
        return limit(self._present.get(list_id, 0) - self._admitted[list_id])

    def _fits(self, list_id: ListId, count: int) -> bool:
        if list_id in self._none_may_leave:
            return False
        return self._admitted[list_id] + count <= self._allowed(list_id)

    def _allowed(self, list_id: ListId) -> int:
        return max(limit(self._present.get(list_id, 0)), self._confirmed.get(list_id, 0))
