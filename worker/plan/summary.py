"""Counts for people what a flush of an account would do, list by list."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from worker.fields.merge_values import LeftOutCounts
from worker.model import ListId
from worker.plan.outcomes import Outcome
from worker.plan.steps import (
    Add,
    AfterPriors,
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
    """The counts of a plan, by list and kind of step.

    Attributes:
        counts: list and kind to contacts; None for those that belong on no list.
        why: reason to contacts, of those held back or not sent.
        customers: changed customers in all.
        left_out: fields that would not be sent.
    """

    counts: Counter[tuple[ListId | None, Kind]] = field(default_factory=Counter)
    why: Counter[str] = field(default_factory=Counter)
    customers: int = 0
    left_out: LeftOutCounts = field(default_factory=LeftOutCounts)

    def add(self, plan: Plan, customers: int) -> None:
        """Counts one more chunk of the account's plan."""
        self.customers += customers
        for step in plan.steps():
            if isinstance(step, Archive) and not step.planned:
                continue
            if isinstance(step, AfterPriors) and (prior := step.kept_out_by) is not None:
                self.counts[step.membership.list_id, "not sent"] += len(step.targets)
                self.why[f"who belongs on list {step.membership.list_id} left list {prior.membership.list_id}"] += 1
                continue
            self.counts[step.membership.list_id, kind_of(step)] += 1
            if not isinstance(step, Archive | Unsubscribe | Tag):
                self.left_out.count(step.membership.list_id, step.contact.fields.left_out)
        for no_call in plan.no_calls:
            kind = _kind_of_no_call(no_call)
            list_id = no_call.membership.list_id if no_call.membership is not None else None
            self.counts[list_id, kind] += len(no_call.targets)
            if kind != "unchanged":
                self.why[no_call.detail] += len(no_call.targets)

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
            # On each stored list, also where the ledger has no member.
            return "unsubscribes" if step.entry is not None and step.entry.state == "present" else "rechecks"


def _kind_of_no_call(no_call: NoCall) -> Kind:
    if no_call.outcome is Outcome.UNCHANGED:
        return "unchanged"
    return "not sent" if no_call.settles else "held back"
