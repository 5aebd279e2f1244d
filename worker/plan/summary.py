"""Counts what a whole flush of an account would do, list by list, before any of it is done."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from worker.fields.merge_values import LeftOutCounts
from worker.model import ListId
from worker.plan.consent import add_decision_by_ledger
from worker.plan.outcomes import Outcome
from worker.plan.steps import (
    Add,
    Archive,
    Found,
    Move,
    NoCall,
    Plan,
    Recheck,
    Restore,
    Step,
    Tag,
    Unsubscribe,
    Update,
)

Kind = str
"""What a step does for a contact, as plans count it."""

KINDS: tuple[Kind, ...] = (
    "adds",
    "updates",
    "address changes",
    "moves",
    "restores",
    "rechecks",
    "archives",
    "unsubscribes",
    "unchanged",
    "held back",
    "not sent",
)


@dataclass(slots=True)
class PlanSummary:
    """Counts of contacts.

    Attributes:
        counts: list and kind to contacts; None for those that belong on no list.
        why: reason to contacts, of those held back or not sent.
        adds: contacts that would be added to each list in batches.
        departures: members in the ledger that would leave each list.
        moves: customers that would move off each list that can no longer be read.
        sources: lists that customers would move off, and that can be read.
        customers: changed customers in all.
        left_out: fields that would not be sent.
    """

    counts: Counter[tuple[ListId | None, Kind]] = field(default_factory=Counter)
    why: Counter[str] = field(default_factory=Counter)
    adds: Counter[ListId] = field(default_factory=Counter)
    departures: Counter[ListId] = field(default_factory=Counter)
    moves: Counter[ListId] = field(default_factory=Counter)
    sources: set[ListId] = field(default_factory=set)
    customers: int = 0
    left_out: LeftOutCounts = field(default_factory=LeftOutCounts)

    def add(self, plan: Plan, customers: int) -> None:
        """Counts one more chunk of the account's plan."""
        self.customers += customers
        self.adds.update(add.membership.list_id for add in plan.adds)
        for step in plan.steps():
            if isinstance(step, Archive) and not step.planned:
                continue
            if not isinstance(step, Archive | Unsubscribe) and (left := step.left) is not None:
                self.counts[step.membership.list_id, "not sent"] += len(step.targets)
                self.why[f"who belongs on list {step.membership.list_id} left list {left.membership.list_id}"] += 1
                continue
            self.counts[step.membership.list_id, kind_of(step)] += 1
            if not isinstance(step, Archive | Unsubscribe | Tag):
                self.left_out.count(step.membership.list_id, step.contact.fields.left_out)
            self.moves.update(unread(step))
            self.sources |= sources(step)
            if leaves(step):
                self.departures[step.membership.list_id] += 1
        for none in plan.no_calls:
            kind = _kind_of_none(none)
            list_id = none.membership.list_id if none.membership is not None else None
            self.counts[list_id, kind] += len(none.targets)
            if kind != "unchanged":
                self.why[none.detail] += len(none.targets)

    @property
    def lists(self) -> set[ListId]:
        """The lists on which something would be done or left."""
        return {list_id for list_id, _ in self.counts if list_id is not None}


def kind_of(step: Step) -> Kind:
    """Returns the kind that a step counts as."""
    match step:
        case Add() | Found():
            return "adds"
        case Update() | Tag():
            return "updates"
        case Move():
            same_list = all(prior.membership.list_id == step.membership.list_id for prior in step.priors)
            return "address changes" if same_list else "moves"
        case Restore():
            return "restores"
        case Recheck():
            return "rechecks"
        case Archive():
            return "archives"
        case Unsubscribe():
            return "unsubscribes"


def unread(step: Step) -> set[ListId]:
    """Returns the lists that can no longer be read, and that a step moves customers off by the ledger alone."""
    if not isinstance(step, Move | Restore) or step.left is not None:
        return set()
    contact = step.contact
    unreadable = [prior for prior in step.priors if prior.list_gone]
    known = (
        add_decision_by_ledger(prior.membership, prior.entry, step.membership, contact.status_if_new)
        for prior in unreadable
    )
    # Nobody moves off a list that the ledger says somebody left.
    return (
        {prior.membership.list_id for prior in unreadable}
        if all(prior.status is not None for prior in known)
        else set()
    )


def sources(step: Step) -> set[ListId]:
    """Returns the readable lists that a step moves its customers off."""
    if not isinstance(step, Move | Restore | Recheck):
        return set()
    own = (prior for prior in step.priors if prior.own and not prior.list_gone)
    return {prior.membership.list_id for prior in own} - {step.membership.list_id}


def leaves(step: Step) -> bool:
    """Returns whether a step takes a member off its list for a reason other than withdrawn consent."""
    return isinstance(step, Archive) and step.planned


def may_turn_out(step: Step) -> bool:
    """Returns whether a step that is not counted beforehand may take a member off its list, withdrawn consent aside.

    This is known only after the steps before it.
    """
    return isinstance(step, Archive) and not step.planned and not step.withdrawn


def _kind_of_none(none: NoCall) -> Kind:
    if none.outcome is Outcome.UNCHANGED:
        return "unchanged"
    return "not sent" if none.settles else "held back"
