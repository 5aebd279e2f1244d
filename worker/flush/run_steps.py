"""Does the steps of one group in order, and settles each customer with its last one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from worker.flush import move_member, put_member, remove_member, tag_member
from worker.flush.attempt import TRIES_AT_ONCE, Attempt, Intents, StepContext, one_try
from worker.flush.brake import BRAKED, CONFIRM, may_turn_out
from worker.flush.step_result import EXPECTED, StepResult
from worker.mailchimp.sender import Tries
from worker.model import CustomerId, ListId, MembershipKey
from worker.plan.outcomes import NEXT_FLUSH, Outcome
from worker.plan.steps import (
    Add,
    Archive,
    Found,
    Move,
    Recheck,
    Restore,
    Step,
    StepGroup,
    Tag,
    Target,
    Unsubscribe,
    Update,
    ids_of,
)
from worker.store.ledger import LedgerEntry
from worker.store.receipts import Receipt


def run_steps(
    context: StepContext, step_group: StepGroup, held_customers: Collection[CustomerId] = frozenset()
) -> None:
    """Does the steps of one group. Those on lists that the flush found gone or paused are left for the next one.

    Args:
        held_customers: customers with other steps held back, so that these steps do not settle them.

    Raises:
        Halted: no more calls may be made; what was done is written.
    """
    step_group = tuple(_with_tags(step_group))
    intents = Intents(context.recorder.write_ahead)
    run = _Run(context, intents, step_group, context.recorder.closed, set(held_customers))
    last_of = {target.customer_id: planned for planned in step_group for target in planned.targets}
    for planned in step_group:
        step = run.as_now(planned)
        admitted = isinstance(step, Archive) and step.planned
        attempt = run.skipped(step)
        if attempt is None:
            admitted = admitted or may_turn_out(step)
            attempt = _guarded(run, planned)
        run.intents.close(attempt)
        attempt.takes_off = isinstance(step, Archive)
        left = step.membership in attempt.left
        attempt.failed |= run.failed
        attempt.settle(target for target in step.targets if last_of[target.customer_id] is planned)
        attempt.before = run.receipts_of({customer_id for customer_id, _ in attempt.settled})
        attempt = _committed(run, step, attempt, last=planned is step_group[-1])
        run.learn(attempt)
        if admitted and not left:
            context.brake.stayed(step.membership.list_id, undone=_anyone(step, run.failed))


@dataclass(slots=True)
class _Run:
    """The progress of a step group.

    Attributes:
        intents: what its steps are about to do.
        braked: customers with a step held by the brake.
        receipts: of the steps so far.
    """

    context: StepContext
    intents: Intents
    step_group: StepGroup
    closed: Collection[ListId]
    braked: set[CustomerId]
    failed: set[CustomerId] = field(init=False)
    blocked: set[CustomerId] = field(default_factory=set)
    kept_off: set[CustomerId] = field(default_factory=set)
    dropped: set[MembershipKey] = field(default_factory=set)
    receipts: list[Receipt] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.failed = set(self.braked)

    def learn(self, result: StepResult) -> None:
        """Takes over the result of a step."""
        self.failed |= result.failed
        self.blocked |= result.blocked
        self.kept_off |= result.kept_off
        self.dropped.update(result.dropped)
        self.receipts += result.receipts

    def receipts_of(self, customers: Collection[CustomerId]) -> list[Receipt]:
        """Returns the receipts so far of some customers."""
        return [receipt for receipt in self.receipts if receipt.customer_id in customers]

    def attempt(self) -> Attempt:
        """Returns a try of one of its steps that has done nothing yet."""
        return Attempt.of(self.context, self.intents)

    def as_now(self, planned: Step) -> Step:
        """Returns a step with what earlier steps wrote."""
        return _as_now(planned, self.intents.known, self.dropped)

    def skipped(self, step: Step) -> Attempt | None:
        """Returns the result of a step that is skipped; None if it must be done."""
        if step.membership.list_id in self.closed:
            attempt = self.attempt()
            attempt.fail(step.targets)
            return attempt
        if isinstance(step, Tag):
            # The receipts of earlier steps say why.
            return self.attempt() if _anyone(step, self.failed | self.blocked) else None
        return self._archive_skipped(step) if isinstance(step, Archive) else None

    def _archive_skipped(self, step: Archive) -> Attempt | None:
        attempt = self.attempt()
        if step.membership in self.dropped:
            pass  # the member has the new address now
        elif waits_for := self._undone(step):
            self._waits(attempt, step, waits_for)
        elif not self.blocked.issuperset(step.successors):
            # Other steps report on those who moved.
            parts = Counter(target.customer_id for step_of_group in self.step_group for target in step_of_group.targets)
            once = [target for target in step.targets if parts[target.customer_id] == 1]
            _stays(attempt, step, once, "Another customer has this address now, so the member stays for that customer.")
        elif _anyone(step, self.blocked - self.kept_off):
            _leave(attempt, step, self.blocked)
        elif may_turn_out(step) and not self.context.brake.may_leave(step.membership.list_id):
            self._hold(attempt, step, step.targets, f"Held back: {BRAKED}.")
        else:
            return None
        return attempt

    def _undone(self, step: Archive) -> set[CustomerId]:
        return self.failed & {*step.successors, *ids_of(step.targets)}

    def _waits(self, attempt: Attempt, step: Archive, waits_for: set[CustomerId]) -> None:
        # For customers that are not done themselves, another receipt says why.
        waiting = [target for target in step.targets if target.customer_id not in self.failed]
        whom = sorted(waits_for)[0]
        if waits_for & self.braked:
            self._hold(attempt, step, waiting, f"Held back: it waits for customer {whom}, who is held back.")
            attempt.fail(step.targets)
            return
        attempt.fail(step.targets)
        detail = f"Not done: it waits for customer {whom}, who shares this address and is not done yet."
        attempt.receipt(waiting, step.membership, None, outcome=Outcome.LATER, detail=detail, then=NEXT_FLUSH)

    def _hold(self, attempt: Attempt, step: Archive, targets: Sequence[Target], detail: str) -> None:
        attempt.fail(targets)
        self.braked |= ids_of(targets)
        attempt.receipt(targets, step.membership, None, outcome=Outcome.HELD, detail=detail, then=CONFIRM)


def _guarded(run: _Run, planned: Step) -> Attempt:
    # An internal error with one customer's data must not hold up the account's others.
    try:
        # Intents stored by an earlier try are known to the next one.
        return _try_step(run, planned)
    except EXPECTED:
        raise
    except Exception as error:
        failed = run.attempt()
        failed.note_fault(planned.targets, planned.membership, error)
        return failed


def _committed(run: _Run, step: Step, attempt: Attempt, *, last: bool) -> Attempt:
    recorder = run.context.recorder

    def failed(error: Exception) -> Attempt:
        # Such as text that cannot be stored. None of the result is written; the next flush finds out what the call did.
        instead = run.attempt()
        instead.note_fault(step.targets, step.membership, error)
        return instead

    if last and attempt.conclusive:
        recorder.commit_later(attempt, failed)
        return attempt
    try:
        recorder.commit(attempt)
    except EXPECTED:
        raise
    except Exception as error:
        attempt = failed(error)
        recorder.commit(attempt)
    return attempt


def _try_step(run: _Run, planned: Step) -> Attempt:
    """Does a step, with retries while Mailchimp says "later" and patience lasts.

    Returns:
        The last attempt.

    Raises:
        Halted: no more calls may be made.
    """
    tries, at_once = Tries(run.context.sender.retrying), 0
    in_doubt: list[Receipt] = []
    left: set[MembershipKey] = set()
    while True:
        with one_try(run.context, run.intents) as attempt:
            run_step(attempt, run.as_now(planned))
        left |= attempt.left
        if attempt.again and at_once < TRIES_AT_ONCE:
            at_once += 1
        elif attempt.later is None or not tries.again():
            _add_receipts_in_doubt(attempt, in_doubt)
            attempt.left = left
            return attempt
        in_doubt += attempt.in_doubt


def _add_receipts_in_doubt(attempt: Attempt, in_doubt: Sequence[Receipt]) -> None:
    # The last try may have ended at a read or elsewhere: an earlier one's receipt is written too.
    covered = {
        (receipt.customer_id, receipt.list_id, receipt.address)
        for receipt in attempt.receipts
        if receipt.outcome != Outcome.LATER
    }
    calls = {receipt.call for receipt in in_doubt}
    covered |= {
        (receipt.customer_id, receipt.list_id, receipt.address) for receipt in attempt.receipts if receipt.call in calls
    }
    for receipt in in_doubt:
        key = receipt.customer_id, receipt.list_id, receipt.address
        if key not in covered:
            covered.add(key)
            attempt.receipts.insert(0, receipt)


def run_step(attempt: Attempt, step: Step) -> None:
    """Does one step."""
    match step:
        case Add():
            put_member.add_or_find(attempt, step, step.contact.status_if_new)
        case Found():
            put_member.write_existing(attempt, step)
        case Move():
            move_member.move(attempt, step)
        case Update():
            put_member.update(attempt, step)
        case Tag():
            tag_member.tag(attempt, step)
        case Restore():
            put_member.restore(attempt, step)
        case Recheck():
            put_member.recheck(attempt, step)
        case Archive():
            remove_member.archive(attempt, step)
        case Unsubscribe():
            remove_member.unsubscribe(attempt, step)


def _with_tags(steps: Iterable[Step]) -> Iterator[Step]:
    # After each step that puts a contact somewhere, adds one for its tags, if there may be any to write.
    for step in steps:
        yield step
        if isinstance(step, Archive | Unsubscribe | Tag):
            continue
        known = [step.entry]
        if isinstance(step, Move):
            known += [prior.entry for prior in step.priors]
        if step.contact.tags or any(entry is not None and entry.member_tags for entry in known):
            yield Tag(step.contact, step.entry, follows=True)


def _as_now(step: Step, written: Mapping[MembershipKey, LedgerEntry], dropped: Collection[MembershipKey]) -> Step:
    # A step that restored the ledger's state at planning time would undo what earlier steps wrote.
    if isinstance(step, Move | Restore | Recheck):
        # Another customer's member that has a new address did not leave.
        left = (prior for prior in step.priors if not (not prior.own and prior.membership in dropped))
        step = replace(
            step, priors=tuple(replace(prior, entry=written.get(prior.membership, prior.entry)) for prior in left)
        )
    entry = written.get(step.membership, step.entry)
    return step if entry is step.entry else replace(step, entry=entry)  # type: ignore[arg-type]


def _anyone(step: Step, customers: set[CustomerId]) -> bool:
    return any(target.customer_id in customers for target in step.targets)


def _leave(attempt: Attempt, step: Archive, blocked: set[CustomerId]) -> None:
    # A customer that may not move stays known by the old member; the others are done with it.
    rest = [target for target in step.targets if target.customer_id not in blocked]
    _stays(attempt, step, rest, "This member identifies another customer, who left, so it stays as it is.")


def _stays(attempt: Attempt, step: Archive, targets: Sequence[Target], detail: str) -> None:
    attempt.receipt(targets, step.membership, None, outcome=Outcome.LEFT_ALONE, detail=detail)
