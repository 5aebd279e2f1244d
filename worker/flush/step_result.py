"""The result of a step: everything that must be written in one transaction once it is done."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from worker.clock import Clock, as_text
from worker.errors import WorkerError
from worker.fields.merge_values import LeftOutCounts
from worker.mailchimp.answers import Answer, AnswerClass, ClassifiedAnswer
from worker.mailchimp.calls import Call
from worker.model import AccountId, Customer, CustomerId, ListId, MembershipKey
from worker.plan.outcomes import MEANINGS, Outcome
from worker.plan.steps import Target
from worker.store.ledger import CustomerStatus, LedgerEntry
from worker.store.receipts import Receipt

log = logging.getLogger("worker.flush")

_ANSWER_PARTS = (
    "title", "detail", "status", "errors", "email_address", "error", "error_code", "field", "field_message",
    "last_changed", "total_items",
)  # fmt: skip


class Halted(Exception):
    """No more calls may be made: the flush was asked to stop, or the partition was revoked."""


EXPECTED = (Halted, WorkerError)
"""What may end a step without being an internal error."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """One contact's part in a call and its answer.

    Attributes:
        sent: this contact's part of the request; None for a read.
        status: of HTTP; None if no answer came.
        said: this contact's part of the answer, or why there is none.
        in_doubt: whether it is a write that may or may not have been done.
    """

    call: str
    sent: Mapping[str, Any] | None
    status: int | None
    said: Mapping[str, Any] | None
    in_doubt: bool = False

    @classmethod
    def of(cls, call: Call, answer: Answer) -> Exchange:
        """Returns the exchange of a call for one contact."""
        said = answer.body if answer.failure is None else {"failure": answer.failure}
        return cls(str(call), call.body, answer.status, said, in_doubt=not call.reads_only and not answer.undone)


@dataclass(frozen=True, slots=True)
class Answered:
    """What an answer means for a contact, and the exchange that a receipt shows."""

    classified: ClassifiedAnswer
    exchange: Exchange

    def is_missing(self) -> bool:
        """Returns whether it says that Mailchimp lacks the member or its list."""
        return self.classified.kind is AnswerClass.NOT_THERE


@dataclass(slots=True)
class Closed:
    """What a step found to take no more calls.

    Attributes:
        account: why Mailchimp accepts no more calls of this account; None if it does.
        gone_lists: lists that Mailchimp no longer has.
        paused_lists: lists that refuse everybody, with the title.
    """

    account: str | None = None
    gone_lists: set[ListId] = field(default_factory=set)
    paused_lists: dict[ListId, str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        """Returns whether anything is closed."""
        return bool(self.account is not None or self.gone_lists or self.paused_lists)


@dataclass(slots=True)
class StepResult:
    """Collects the result of a step.

    Attributes:
        dropped: places whose member is now known at another one.
        undone: places where an add was begun and certainly not done.
        memberships: where customers are known who had no membership.
        waits: customers who are kept out, with the one whose opt-out does that.
        customers: those with a receipt, or settled, as they were read.
        settled: those that need nothing more.
        is_archive: whether the step is an archive: an earlier step may have decided what becomes of its customers.
        before: receipts of the customers settled here from earlier steps of their group, oldest first.
        reopened: unchanged customers that need a flush from now on until they are settled.
        failed: customers that this step does not settle.
        retries: those of them that Mailchimp refused, and when each is tried again, as text.
        later: why Mailchimp gave no useful answer; None if it did.
        left_out: of each contact that was written, its list and the fields that were not sent, with the reason.
    """

    run: int
    account_id: AccountId
    clock: Clock
    entries: list[LedgerEntry] = field(default_factory=list)
    dropped: list[MembershipKey] = field(default_factory=list)
    undone: list[MembershipKey] = field(default_factory=list)
    customer_statuses: list[CustomerStatus] = field(default_factory=list)
    memberships: list[tuple[CustomerId, MembershipKey]] = field(default_factory=list)
    waits: list[tuple[CustomerId, CustomerId]] = field(default_factory=list)
    receipts: list[Receipt] = field(default_factory=list)
    customers: dict[CustomerId, Customer] = field(default_factory=dict)
    settled: dict[CustomerId, Customer] = field(default_factory=dict)
    is_archive: bool = False
    before: list[Receipt] = field(default_factory=list)
    reopened: list[CustomerId] = field(default_factory=list)
    failed: set[CustomerId] = field(default_factory=set)
    retries: dict[CustomerId, str] = field(default_factory=dict)
    later: str | None = None
    closed: Closed = field(default_factory=Closed)
    left_out: list[tuple[ListId, Mapping[str, str]]] = field(default_factory=list)

    def now(self) -> datetime:
        """Returns the current time."""
        return self.clock()

    def at(self) -> str:
        """Returns the current time as text."""
        return as_text(self.clock())

    def fail(self, targets: Iterable[Target]) -> None:
        """Records that these customers are not settled."""
        self.failed |= {target.customer.customer_id for target in targets}

    def wait_until(self, retry_at: str, targets: Iterable[Target]) -> None:
        """Records when these customers are tried again: those that changed, since only they wait for it."""
        self.retries |= {target.customer_id: retry_at for target in targets if target.customer.changed}

    def note_fault(self, targets: Sequence[Target], membership: MembershipKey | None, error: Exception) -> None:
        """Records an internal error, and logs it with its traceback. It affects only the customers of this step."""
        who = ", ".join(target.customer.customer_id for target in targets)
        message = "account %s: customer %s met an internal error; see the traceback below"
        facts = {"account": self.account_id, "run": self.run, "customers": who, "count": len(targets)}
        log.error(message, self.account_id, who, exc_info=error, extra=facts)
        detail = f"An internal error of the worker ended it: {type(error).__name__}. The log has the traceback."
        self.fail(targets)
        self.receipt(targets, membership, None, outcome=Outcome.FAULT, detail=detail)

    def settle(self, targets: Iterable[Target]) -> None:
        """Records that these customers need nothing more, except those that failed."""
        settled = {target.customer_id: target.customer for target in targets if target.customer_id not in self.failed}
        self.settled |= settled
        self.customers |= settled

    def receipt(
        self,
        targets: Iterable[Target],
        membership: MembershipKey | None,
        exchange: Exchange | None,
        *,
        outcome: Outcome,
        detail: str,
        then: str | None = None,
    ) -> None:
        """Adds a receipt for each of the customers; if `then` is None, the outcome's default is what happens next."""
        at = self.at()
        for target in targets:
            customer, position = target.customer, target.customer.position
            self.customers[customer.customer_id] = customer
            self.receipts.append(
                Receipt(
                    run=self.run,
                    at=at,
                    account_id=self.account_id,
                    customer_id=customer.customer_id,
                    address=membership.address if membership is not None else customer.address,
                    revision=customer.revision,
                    event_id=customer.event_id,
                    topic=position.topic,
                    partition=position.partition,
                    offset=position.offset,
                    list_id=membership.list_id if membership is not None else None,
                    list_reason=target.list_reason,
                    outcome=outcome,
                    detail=detail,
                    next=then if then is not None else MEANINGS[outcome].next,
                    call=exchange.call if exchange else None,
                    sent=exchange.sent if exchange else None,
                    answer_status=exchange.status if exchange else None,
                    answer=_parts(exchange.said) if exchange else None,
                )
            )


def joined(results: Sequence[StepResult]) -> StepResult:
    """Returns conclusive results of different places and customers as one, but for what they count.

    Args:
        results: at least one, all of one account and run.
    """
    whole = StepResult(results[0].run, results[0].account_id, results[0].clock)
    for result in results:
        whole.entries += result.entries
        whole.customer_statuses += result.customer_statuses
        whole.receipts += result.receipts
        whole.memberships += result.memberships
        whole.settled |= result.settled
        whole.customers |= result.customers
        whole.before += result.before
    return whole


@dataclass(frozen=True, slots=True)
class Totals:
    """What results add up to.

    Attributes:
        counts: outcome to number of receipts.
        settled: how many of the settled customers had changed, rather than being read on behalf of others.
        reopened: customers that count as changed since a step of the run needed them.
        left_out: fields that were not sent.
    """

    counts: Counter[str] = field(default_factory=Counter)
    settled: int = 0
    reopened: frozenset[CustomerId] = frozenset()
    left_out: LeftOutCounts = field(default_factory=LeftOutCounts)

    def plus(self, results: Sequence[StepResult]) -> Totals:
        """Returns the totals with more results."""
        settled, left_out = self.settled, self.left_out.copy()
        reopened = self.reopened.union(*(result.reopened for result in results))
        for result in results:
            settled += sum(customer.changed or who in reopened for who, customer in result.settled.items())
            for list_id, fields in result.left_out:
                left_out.count(list_id, fields)
        return Totals(self.counts + _counts_of(results), settled, reopened, left_out)


def _counts_of(results: Sequence[StepResult]) -> Counter[str]:
    # A customer that is held back has a receipt for each list, but is one of those that wait.
    counts = outcomes_of(results)
    for result in results:
        held_customers = [receipt.customer_id for receipt in result.receipts if receipt.outcome == Outcome.HELD]
        counts[Outcome.HELD] -= len(held_customers) - len(set(held_customers))
    return +counts


def outcomes_of(results: Sequence[StepResult]) -> Counter[str]:
    """Returns how many receipts have each outcome."""
    return Counter(receipt.outcome for result in results for receipt in result.receipts)


def _parts(said: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    if said is None or "failure" in said:
        return said
    return {name: said[name] for name in _ANSWER_PARTS if name in said}
