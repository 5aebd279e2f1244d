"""Does the steps of one group in order, and settles each customer with its last one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace

from worker.flush import move_member, put_member, remove_member, tag_member
from worker.flush.attempt import TRIES_AT_ONCE, Attempt, Intents, StepContext, one_try
from worker.flush.brake import BRAKED, may_leave_unplanned
from worker.flush.step_result import EXPECTED
from worker.mailchimp.sender import Tries
from worker.model import CustomerId, MembershipKey
from worker.plan.consent import AddDecision
from worker.plan.outcomes import NEXT_FLUSH, Outcome
from worker.plan.steps import (
    Add,
    AfterPriors,
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
from worker.store.ledger import has_left
from worker.store.receipts import Receipt


def run_step_group(
    context: StepContext, step_group: StepGroup, held_customers: Collection[CustomerId] = frozenset()
) -> None:
    """Does the steps of one group. Those on lists that the flush found gone or paused are left for the next one.

    Args:
        held_customers: customers with other steps held back, so that these steps do not settle them.

    Raises:
        Halted: no more calls may be made; what was done is written.
    """
    _StepGroupRun(context, tuple(_with_tags(step_group)), held_customers).run()


class _StepGroupRun:
    """The progress of a step group.

    Attributes:
        intents: what its steps are about to do.
        braked: customers with a step held by the brake.
        receipts: of the steps so far.
    """

    def __init__(self, context: StepContext, step_group: StepGroup, held_customers: Collection[CustomerId]) -> None:
        self.context = context
        self.step_group = step_group
        self.intents = Intents(context.recorder.write_ahead)
        self.braked = set(held_customers)
        self.failed = set(held_customers)
        self.blocked: set[CustomerId] = set()
        self.kept_off: set[CustomerId] = set()
        self.dropped: set[MembershipKey] = set()
        self.receipts: list[Receipt] = []

    def run(self) -> None:
        last_of = {target.customer_id: planned for planned in self.step_group for target in planned.targets}
        for planned in self.step_group:
            step = self._with_news(planned)
            admitted = isinstance(step, Archive) and step.planned
            attempt = self._skipped(step)
            if attempt is None:
                admitted = admitted or may_leave_unplanned(step)
                attempt = self._try_or_note_fault(planned)
            self.intents.close(attempt)
            attempt.is_archive = isinstance(step, Archive)
            vacated = step.membership in attempt.vacated
            attempt.failed |= self.failed
            attempt.settle(target for target in step.targets if last_of[target.customer_id] is planned)
            attempt.before = [receipt for receipt in self.receipts if receipt.customer_id in attempt.settled]
            attempt = self._commit(step, attempt, last=planned is self.step_group[-1])
            self._add(attempt)
            if admitted and not vacated:
                self.context.brake.stayed(step.membership.list_id, undone=_anyone(step, self.failed))

    def _attempt(self) -> Attempt:
        return Attempt.of(self.context, self.intents)

    def _add(self, result: Attempt) -> None:
        self.failed |= result.failed
        self.blocked |= result.blocked
        self.kept_off |= result.kept_off
        self.dropped.update(result.dropped)
        self.receipts += result.receipts

    def _with_news(self, step: Step) -> Step:
        # A step that restored the ledger's state at planning time would undo what earlier steps wrote.
        if isinstance(step, AfterPriors):
            # Another customer's member that has a new address did not leave.
            left = (prior for prior in step.priors if prior.own or prior.membership not in self.dropped)
            priors = (replace(prior, entry=self.intents.entry(prior.membership, prior.entry)) for prior in left)
            step = replace(step, priors=tuple(priors))
        entry = self.intents.entry(step.membership, step.entry)
        return step if entry is step.entry else replace(step, entry=entry)  # type: ignore[arg-type]

    # Steps that are skipped

    def _skipped(self, step: Step) -> Attempt | None:
        """Returns the result of a step that is skipped; None if it must be done."""
        if step.membership.list_id in self.context.recorder.closed_lists:
            attempt = self._attempt()
            attempt.fail(step.targets)
            return attempt
        if isinstance(step, Tag):
            # The receipts of earlier steps say why.
            return self._attempt() if _anyone(step, self.failed | self.blocked) else None
        return self._archive_skipped(step) if isinstance(step, Archive) else None

    def _archive_skipped(self, step: Archive) -> Attempt | None:
        attempt = self._attempt()
        if step.membership in self.dropped:
            pass  # the member has the new address now
        elif waits_for := self.failed & {*step.successors, *ids_of(step.targets)}:
            self._note_waiting(attempt, step, waits_for)
        elif not self.blocked.issuperset(step.successors):
            # Other steps report on those who moved.
            parts = Counter(target.customer_id for step_of_group in self.step_group for target in step_of_group.targets)
            once = [target for target in step.targets if parts[target.customer_id] == 1]
            detail = "Another customer has this address now, so the member stays for that customer."
            attempt.receipt(once, step.membership, None, outcome=Outcome.LEFT_ALONE, detail=detail)
        elif _anyone(step, self.blocked - self.kept_off):
            # A customer that may not move stays known by the old member; the others are done with it.
            rest = [target for target in step.targets if target.customer_id not in self.blocked]
            detail = "This member identifies another customer, who left, so it stays as it is."
            attempt.receipt(rest, step.membership, None, outcome=Outcome.LEFT_ALONE, detail=detail)
        elif may_leave_unplanned(step) and not self.context.brake.admit_one(step.membership.list_id):
            self._hold(attempt, step, step.targets, f"Held back: {BRAKED}.")
        else:
            return None
        return attempt

    def _note_waiting(self, attempt: Attempt, step: Archive, waits_for: set[CustomerId]) -> None:
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
        outcome, then = self.context.brake.outcome_of_held(self.step_group)
        attempt.receipt(targets, step.membership, None, outcome=outcome, detail=detail, then=then)

    # Steps that are done

    def _try_or_note_fault(self, planned: Step) -> Attempt:
        # An internal error with one customer's data must not hold up the account's others.
        try:
            return self._try(planned)
        except EXPECTED:
            raise
        except Exception as error:
            failed = self._attempt()
            failed.note_fault(planned.targets, planned.membership, error)
            return failed

    def _try(self, planned: Step) -> Attempt:
        """Does a step, with retries while Mailchimp says "later" and patience lasts; returns the last attempt.

        Raises:
            Halted: no more calls may be made.
        """
        tries, at_once = Tries(self.context.sender.retrying), 0
        in_doubt: list[Receipt] = []
        vacated: set[MembershipKey] = set()
        while True:
            # Intents stored by an earlier try are known to the next one.
            with one_try(self.context, self.intents) as attempt:
                _do(attempt, self._with_news(planned))
            vacated |= attempt.vacated
            if attempt.again and at_once < TRIES_AT_ONCE:
                at_once += 1
            elif attempt.later is None or not tries.again():
                _add_receipts_in_doubt(attempt, in_doubt)
                attempt.customers |= {target.customer_id: target.customer for target in planned.targets}
                attempt.vacated = vacated
                return attempt
            in_doubt += attempt.in_doubt

    def _commit(self, step: Step, attempt: Attempt, *, last: bool) -> Attempt:
        """Writes the result of a step; returns what was written."""
        recorder = self.context.recorder

        def failed(error: Exception) -> Attempt:
            # Such as text that cannot be stored. Nothing of the result is written; the next flush finds out what the
            # call did.
            instead = self._attempt()
            instead.note_fault(step.targets, step.membership, error)
            return instead

        if last and _is_conclusive(attempt):
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


def _is_conclusive(attempt: Attempt) -> bool:
    """Returns whether the next calls need not wait until it is written: everything was done, and nobody has left."""
    waited_for = (
        attempt.later, attempt.closed, attempt.failed, attempt.blocked, attempt.is_archive, attempt.vacated,
        attempt.dropped, attempt.undone, attempt.in_doubt, attempt.reopened, attempt.waits,
    )  # fmt: skip
    return not any(waited_for) and not any(has_left(entry) or entry.state != "present" for entry in attempt.entries)


def _add_receipts_in_doubt(attempt: Attempt, in_doubt: Sequence[Receipt]) -> None:
    # The last try may have ended at a read or elsewhere: an earlier one's receipt is written too.
    calls = {receipt.call for receipt in in_doubt}
    covered = {
        (receipt.customer_id, receipt.list_id, receipt.address)
        for receipt in attempt.receipts
        if receipt.outcome != Outcome.LATER or receipt.call in calls
    }
    for receipt in in_doubt:
        key = receipt.customer_id, receipt.list_id, receipt.address
        if key not in covered:
            covered.add(key)
            attempt.receipts.insert(0, receipt)


def _do(attempt: Attempt, step: Step) -> None:
    match step:
        case Add():
            put_member.add_or_find(attempt, step, AddDecision(step.contact.status_if_new))
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


def _anyone(step: Step, customers: set[CustomerId]) -> bool:
    return any(target.customer_id in customers for target in step.targets)
