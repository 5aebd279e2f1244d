"""Does the steps of one lane one after the other, and settles each customer with its last one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace

from worker.flushing.deciding.steps import (
    Add,
    Archive,
    Found,
    Lane,
    Move,
    Recheck,
    Restore,
    Share,
    Step,
    Unsubscribe,
    Update,
)
from worker.flushing.doing import fault, leaving, moving, placing
from worker.flushing.doing.attempt import attempt
from worker.flushing.doing.brake import BRAKED, CONFIRM
from worker.flushing.doing.desk import Desk
from worker.flushing.doing.report import Report
from worker.model import CustomerId, ListId, Place
from worker.staging.ledger import Entry

Commit = Callable[[Report], None]
"""Writes what a step did, in one transaction."""


def run_lane(
    desk: Desk,
    lane: Lane,
    commit: Commit,
    closed: Collection[ListId],
    held: Collection[CustomerId] = frozenset(),
) -> None:
    """Does a lane's steps.

    Args:
        desk: the account's.
        lane: steps that share a place or a customer.
        commit: called after each step.
        closed: lists found gone or paused meanwhile: steps on them are left for the next flush.
        held: customers of whom other steps are held back, so that these here do not settle them.

    Raises:
        Halted: no further call may be made; what was done is written.
    """
    parts = Counter(share.customer.customer_id for step in lane for share in step.shares)
    to_come = parts.copy()
    failed: set[CustomerId] = set(held)
    blocked: set[CustomerId] = set()
    kept_out: set[CustomerId] = set()
    dropped: set[Place] = set()
    for planned in lane:
        for share in planned.shares:
            to_come[share.customer.customer_id] -= 1
        step = _as_now(planned, desk.intents.known, dropped)
        report = desk.report()
        if step.place.list_id in closed:
            report.fail(step.shares)
        elif isinstance(step, Archive) and step.place in dropped:
            pass  # the member has the new address now
        elif isinstance(step, Archive) and (_anyone(step, failed) or failed.intersection(step.heirs)):
            report.fail(step.shares)
        elif isinstance(step, Archive) and not blocked.issuperset(step.heirs):
            _taken_on(desk, report, step, [one for one in step.shares if parts[one.customer.customer_id] == 1])
        elif isinstance(step, Archive) and _anyone(step, blocked - kept_out):
            _leave(desk, report, step, blocked)
        elif isinstance(step, Archive) and not step.planned and not desk.may_leave(step.place.list_id):
            report.fail(step.shares)
            detail = f"Held back: {BRAKED}."
            report.write(step.shares, step.place, None, at=desk.at(), outcome="held", detail=detail, then=CONFIRM)
        else:
            report = _guarded(desk, planned, dropped)
        desk.intents.close(report)
        report.failed |= failed
        report.settle(share for share in step.shares if not to_come[share.customer.customer_id])
        report = _committed(desk, step, report, commit)
        failed |= report.failed
        blocked |= report.blocked
        kept_out |= report.kept_out
        dropped.update(report.dropped)


def _guarded(desk: Desk, planned: Step, dropped: Collection[Place]) -> Report:
    # A fault with one customer's data must not keep the others of the account waiting.
    try:
        # What a try before wrote of its intents is known to the next one.
        return attempt(desk, lambda one: run_step(one, _as_now(planned, desk.intents.known, dropped)))
    except fault.EXPECTED:
        raise
    except Exception as error:
        return fault.note(desk.report(), planned.shares, planned.place, desk.at(), error)


def _committed(desk: Desk, step: Step, report: Report, commit: Commit) -> Report:
    try:
        commit(report)
    except fault.EXPECTED:
        raise
    except Exception as error:
        # Such as text that cannot be stored. Nothing of the report is written; what the call did is found out later.
        report = fault.note(desk.report(), step.shares, step.place, desk.at(), error)
        commit(report)
    return report


def run_step(desk: Desk, step: Step) -> Report:
    """Does one step and returns what it did."""
    match step:
        case Add():
            return placing.add_alone(desk, step)
        case Found():
            return placing.found(desk, step)
        case Move():
            return moving.move(desk, step)
        case Update():
            return placing.update(desk, step)
        case Restore():
            return placing.restore(desk, step)
        case Recheck():
            return placing.recheck(desk, step)
        case Archive():
            return leaving.archive(desk, step)
        case Unsubscribe():
            return leaving.unsubscribe(desk, step)


def _as_now(step: Step, written: Mapping[Place, Entry], dropped: Collection[Place]) -> Step:
    # A step that writes back what the ledger said when it was planned would undo what the steps before it wrote.
    if isinstance(step, Move | Restore | Recheck):
        # The member of another customer that has a new address now did not leave.
        left = (one for one in step.gates if not (one.others and one.place in dropped))
        step = replace(step, gates=tuple(replace(one, entry=written.get(one.place, one.entry)) for one in left))
    return replace(step, entry=written.get(step.place, step.entry))  # type: ignore[arg-type]


def _anyone(step: Archive, customers: set[CustomerId]) -> bool:
    return any(share.customer.customer_id in customers for share in step.shares)


def _taken_on(desk: Desk, report: Report, step: Archive, shares: Sequence[Share]) -> None:
    # Of who went elsewhere other steps tell.
    _stays(desk, report, step, shares, "Another customer has this address now: the member stays, for that one.")


def _leave(desk: Desk, report: Report, step: Archive, blocked: set[CustomerId]) -> None:
    # Whoever may not go elsewhere is known by the old member; the others who left it are done with it.
    others = [share for share in step.shares if share.customer.customer_id not in blocked]
    _stays(desk, report, step, others, "Another customer, who left, is known by this member: it stays as it is.")


def _stays(desk: Desk, report: Report, step: Archive, shares: Sequence[Share], detail: str) -> None:
    report.write(
        shares,
        step.place,
        None,
        at=desk.at(),
        outcome="left alone",
        detail=detail,
        then="Nothing until the customer changes.",
    )
