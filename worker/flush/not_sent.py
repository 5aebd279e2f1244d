"""Records customers for whom nothing is sent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from worker.flush import brake
from worker.flush.add_strategy import AddStrategy
from worker.flush.attempt import Attempt, StepContext
from worker.flush.step_result import StepResult
from worker.plan.outcomes import Outcome
from worker.plan.steps import Add, NoCall, Plan, StepGroup, Target, customers_of
from worker.store.ledger import CustomerStatus


def refused_adds(context: StepContext, adds: Sequence[Add], strategy: AddStrategy) -> StepResult:
    """Records contacts that cannot be added now, because a preceding read was refused."""
    attempt = Attempt.of(context)
    assert strategy.refusal is not None
    for add in adds:
        attempt.note_failure(add.targets, add.membership, strategy.refusal)
    return attempt


def _customer_status_of(attempt: Attempt, target: Target, no_call: NoCall) -> CustomerStatus:
    # Only a member in the wanted state clears what prevented sending its customer.
    if no_call.outcome is Outcome.UNCHANGED:
        return CustomerStatus(target.customer_id, no_call.membership)
    known = attempt.customer_status(target.customer_id)
    # A leftover member does not hide where the customer is known now.
    membership = (
        known.membership or no_call.membership
        if no_call.outcome is Outcome.LEFT_ALONE
        else no_call.membership or known.membership
    )
    return replace(known, membership=membership, waits_for=no_call.waits_for)


def customers_without_call(context: StepContext, plan: Plan) -> StepResult:
    """Records the customers for whom a plan has no call, and settles those that need nothing more."""
    attempt = Attempt.of(context)
    in_steps = customers_of(plan.steps())
    # Unchanged customers with a call wait for it like the others, in case it fails or is not made.
    targets = (target for step in plan.steps() for target in step.targets)
    attempt.reopened += [target.customer_id for target in targets if not target.customer.changed]
    for no_call in plan.no_calls:
        if not no_call.settles:
            attempt.fail(no_call.targets)
        if no_call.membership is not None or no_call.waits_for is not None:
            attempt.customer_statuses += [_customer_status_of(attempt, target, no_call) for target in no_call.targets]
        if no_call.retry_at is not None:
            attempt.wait_until(no_call.retry_at, no_call.targets)
        else:
            attempt.receipt(
                no_call.targets,
                no_call.membership,
                None,
                outcome=no_call.outcome,
                detail=no_call.detail,
                then=no_call.next,
            )
        attempt.settle(target for target in no_call.targets if target.customer_id not in in_steps)
    return attempt


def braked_steps(context: StepContext, steps: StepGroup) -> StepResult:
    """Records the steps that the brake holds."""
    attempt = Attempt.of(context)
    outcome, then = context.brake.outcome_of_held(steps)
    for step in steps:
        detail = f"Held back: {brake.UNREAD if brake.unreadable_sources(step) else brake.BRAKED}."
        attempt.receipt(step.targets, step.membership, None, outcome=outcome, detail=detail, then=then)
    return attempt
