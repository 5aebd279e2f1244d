"""Writes what the threads of one account's flush do, and tracks its progress."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

from worker.clock import as_text
from worker.errors import PartitionGivenUp, WorkerError, WriterFenced
from worker.flush.commit_queue import Change, Done
from worker.flush.delivery import DeliveryRequest
from worker.flush.departures import reopen
from worker.flush.published_outcome import write_after_reading, write_after_step
from worker.flush.step_result import Closed, Halted, StepResult, Totals, joined, outcomes_of
from worker.model import AccountId, CustomerId, ListId, MembershipKey
from worker.plan.consent import KnownPlaces, places_back
from worker.plan.outcomes import Outcome, end_of
from worker.plan.related_customers import RelatedCustomers
from worker.plan.steps import Contact, PriorMembership
from worker.sqlite.database import Database
from worker.sqlite.rows import Rows
from worker.store import accounts, customers, ledger, receipts, runs
from worker.store.accounts import AccountSettings, Pause
from worker.store.ledger import LedgerEntry
from worker.store.run_result import RunResult, worst
from worker.store.runs import AccountRun
from worker.text.plural import counted

log = logging.getLogger("worker.flush")

TAKEN = "A command took over the account's ledger during the flush, as forget and account rekey do."
TAKEN_ADVICE = (
    "The rest is delivered by itself, at the latest by the next daily flush. If this repeats and no such command ran, "
    "check that no two consumer groups use the topic."
)
"""For a partition that the group still leaves to this worker."""
LOST = (
    "the worker is stopping, another worker has its partition now, or a command that writes the ledger, such as "
    "forget, took it over"
)
ERASED = "Somebody was erased from this account during the flush, which therefore makes no further call for it."
MOST_UNWRITTEN = 64
"""Results of an account that may wait to be written while its calls continue, so that a slow broker slows them."""


class Recorder:
    """Submits an account's results for commit, and knows when to end its flush.

    Thread-safe: any thread of the account submits and asks; what was committed is counted by the queue's thread alone,
    and read by the account's once :meth:`shut` has waited for it. Who ends the account's part first gives the reason.
    """

    def __init__(self, reader: Database, request: DeliveryRequest, settings: AccountSettings) -> None:
        """Starts the account's part of a run.

        Args:
            reader: a connection to read what was committed; used only by the recorder.
            settings: as they were when the part began.
        """
        self._reader = reader
        self._reading = threading.Lock()
        self._request = request
        self._queue = request.queue
        self._permission = request.permission
        self._clock = request.config.clock
        self._unwritten = deque[Done]()
        self._totals = Totals()
        self._retries = dict[CustomerId, str]()
        self._in_vain = 0
        self.settings = settings
        self.to_do = customers.changed_count(reader, settings.account_id) if request.delivers else 0
        self.notices: list[str] = []
        self.ended: str | None = None
        """Why no further call is made for this account in this run."""
        self._end = RunResult.DONE
        self._shut = False
        self.closed_lists: set[ListId] = set()
        """Found gone or paused in this run."""

    @property
    def account_id(self) -> AccountId:
        """The account."""
        return self.settings.account_id

    def has_ended(self) -> bool:
        """Returns whether no more calls of this account are made in this run."""
        return self.ended is not None

    def may_continue(self) -> bool:
        """Returns whether to begin anything more for this account, as far as is known without asking the database."""
        return not self.has_ended() and self._permission.may_continue()

    def may_call(self) -> bool:
        """Returns whether calls of this account may still be made."""
        return not self.has_ended() and self._permission.may_call()

    def part(self) -> AccountRun:
        """Returns the account's part so far."""
        totals = self._totals
        unsettled = self.to_do + len(totals.reopened) - totals.settled
        ended = end_of(self._end, unsettled, totals.counts, len(self._retries))
        return self._part(totals, ended)

    def _part(self, totals: Totals, ended: RunResult) -> AccountRun:
        sentences = [*([self.ended] if self.ended else []), *self.notices]
        if faults := totals.counts[Outcome.FAULT]:
            sentences.append(
                f"{counted(faults, 'customer')} met an internal error and will be tried again; see the log."
            )
        if self._retries:
            sentences.append(_retried_in_words(self._retries.values()))
        return AccountRun(
            account_id=self.settings.account_id,
            counts=dict(totals.counts),
            to_do=self.to_do + len(totals.reopened),
            settled=totals.settled,
            ended=ended,
            message=" ".join(sentences) or None,
            left_out=totals.left_out.rows(),
        )

    def end(self, why: str, result: RunResult) -> None:
        """Ends the account's part: no more calls are made in this run."""
        self.ended = self.ended or why
        self._end = worst((self._end, result))

    def shut(self) -> None:
        """Prevents further writes: the next flush finds out what calls still in flight did."""
        with suppress(Halted, WorkerError):
            self.wait()
        self._shut = True

    def stop(self, why: str = LOST) -> None:
        """Ends the account's part early, without an error."""
        self.end(f"Ended early, because {why}.", RunResult.STOPPED)

    def fail(self, why: str) -> None:
        """Ends the account's part as failed: its state is unknown."""
        self.end(f"{why} The next flush delivers the rest.", RunResult.FAILED)

    def write_ahead(
        self,
        entries: Sequence[LedgerEntry],
        memberships: Sequence[tuple[CustomerId, MembershipKey]],
        *,
        moving: bool = False,
    ) -> None:
        """Writes what calls are about to do.

        Args:
            entries: with their intents.
            memberships: new memberships of customers who had none: if the answer is lost, every customer of a contact
                must be known there, not only its owner.
            moving: whether these may have been known elsewhere.

        Raises:
            Halted: the recorder is closed, or the account is another worker's.
        """
        # What was read is published whatever becomes of the call. An add or a rename has read nothing yet, and a member
        # that is about to be restored was read before.
        read_before = (None, "archive", "unsubscribe")
        seen = [entry for entry in entries if (entry.intent.kind if entry.intent else None) in read_before]
        at = as_text(self._clock())

        def write(db: Database) -> Rows:
            rows = _put_entries(db, self.account_id, entries)
            if seen:  # a read's result about a member, who may be other customers' too
                rows += write_after_reading(db, self.account_id, seen, {}, at)
            return rows + ledger.put_memberships(db, self.account_id, memberships, moving=moving)

        self._put(Change(self, write, max(1, len(entries)))).result()

    def departures_of(self, contacts: Sequence[Contact]) -> Mapping[MembershipKey, Sequence[PriorMembership]]:
        """Returns where the addresses of contacts, or their customers, are known to have left, by what is committed.

        Returns:
            The places of departures by the place of the contact, for those that have any.

        Raises:
            Halted: the recorder is closed.
        """
        if self._shut:
            raise Halted
        with self._reading, self._reader.snapshot():
            known = self._known_departures(self._reader, contacts)
        priors = {contact.membership: known.departures(contact) for contact in contacts} if known else {}
        return {membership: departures for membership, departures in priors.items() if departures}

    def _known_departures(self, db: Database, contacts: Sequence[Contact]) -> KnownPlaces | None:
        account_id, addresses = self.account_id, {contact.membership.address for contact in contacts}
        targets = {target.customer_id: target.customer for contact in contacts for target in contact.targets}
        if not ledger.anyone_left(db, account_id, addresses, targets):
            return None  # most often, and quick: the call waits for this, and depends on a read that becomes old
        people = {customer.customer_id: customer for customer in customers.by_addresses(db, account_id, addresses)}
        ids = sorted(targets.keys() | people.keys())
        known_at = addresses | ledger.addresses_of_customers(db, account_id, ids)
        statuses = {status.customer_id: status for status in ledger.customer_statuses_of(db, account_id, ids)}
        entries = {entry.membership: entry for entry in ledger.entries_of(db, account_id, known_at)}
        related = RelatedCustomers({}, {**targets, **people}, entries, statuses)
        return KnownPlaces(related, self.settings, ledger.owned_by(db, account_id, ids))

    def write(self, write: Callable[[Database], Rows]) -> None:
        """Writes in one transaction, in Kafka too, and returns once that is done.

        Args:
            write: changes only the database, may be called repeatedly, and returns the keys of the rows that it wrote.

        Raises:
            Halted: the recorder is closed, or the account is another worker's.
            WorkerError: it may not have been written.
        """
        self._put(Change(self, write)).result()

    def commit(self, result: StepResult) -> None:
        """Writes a step's result and settles its customers; returns once that is done.

        Raises:
            Halted: the recorder is closed, or the account is another worker's.
            WorkerError: it may not have been written.
        """
        self._put(self._change(result)).result()

    def commit_later(self, result: StepResult, instead: Callable[[Exception], StepResult]) -> None:
        """Does the same without waiting, unless too much is waiting to be written.

        Args:
            result: what was done. Nothing that follows may depend on it.
            instead: returns what to write if that cannot be written.

        Raises:
            Halted: the recorder is closed, or the account is another worker's.
            WorkerError: this or an earlier result may not have been written.
        """
        self._unwritten.append(self._put(self._change(result, lambda error: self._change(instead(error)), joins=True)))
        self._wait(MOST_UNWRITTEN)

    def wait(self) -> None:
        """Waits until everything submitted is written.

        Raises:
            Halted: the recorder is closed, or the account is another worker's.
            WorkerError: it may not have been written.
        """
        self._wait(0)

    def _wait(self, left: int) -> None:
        while len(self._unwritten) > left:
            try:
                done = self._unwritten.popleft()
            except IndexError:  # another thread took it
                return
            if not done.ended:
                self._queue.hurry()
            done.result()

    def _put(self, change: Change) -> Done:
        self._queue.put(change)
        return change.done

    def _change(
        self, result: StepResult, instead: Callable[[Exception], Change] | None = None, *, joins: bool = False
    ) -> Change:
        now = self._clock()
        size = max(1, len(result.receipts))
        return Change(self, lambda db: self._write(db, result, now), size, result, joins, instead)

    # Called by the queue

    def may_write(self) -> bool:
        """Returns whether anything may still be written for the account."""
        return not self._shut and self._permission.ours()

    def erased(self, db: Database) -> bool:
        """Returns, in a transaction, whether somebody was erased from the account since: then nothing is written."""
        return self._permission.erased(db)

    def write_results(self, db: Database, results: Sequence[StepResult]) -> Rows:
        """Writes conclusive results of different places and customers, as if one step had them all."""
        return self._write(db, joined(results), self._clock())

    def write_progress(self, db: Database, results: Sequence[StepResult]) -> None:
        """Writes the account's progress including these results. Changes no attribute."""
        receipts.write(db, [receipt for result in results for receipt in result.receipts])
        # As after a crash.
        runs.put_account(db, self._request.run, self._part(self._totals.plus(results), RunResult.STOPPED))

    def committed(self, results: Sequence[StepResult]) -> None:
        """Updates its state from committed results."""
        self._totals = self._totals.plus(results)
        self._request.config.metrics.contacts_recorded(outcomes_of(results))
        for result in results:
            self._learn(result)

    def not_committed(self, error: Exception) -> Exception:
        """Closes the account's part, and returns the error for its threads to raise.

        Args:
            error: the refusal of Kafka or the database; Halted if somebody was erased.
        """
        # Others need not wait for the same failure: a crash here would have the same effect.
        self._shut = True
        if isinstance(error, Halted):
            self.fail(ERASED)
        elif isinstance(error, PartitionGivenUp) and not self._permission.ours():
            # Given up since this group began: the partition's next owner finds out what its calls did.
            return Halted()
        elif isinstance(error, WriterFenced) and self._permission.ours():
            error = WriterFenced(TAKEN, TAKEN_ADVICE)
            self.fail(f"{TAKEN} {TAKEN_ADVICE}")
        elif isinstance(error, WorkerError):
            self.fail(error.message)
        return error

    def _write(self, db: Database, result: StepResult, now: datetime) -> Rows:
        account_id = self.account_id
        rows: Rows = []
        writes: tuple[tuple[Callable[[Database, AccountId, Any], Rows], Sequence[Any]], ...] = (
            (_put_entries, result.entries),
            (ledger.drop_entries, result.dropped),
            (ledger.drop_intents, result.undone),
            (ledger.put_customer_statuses, result.customer_statuses),
            (ledger.put_memberships, result.memberships),
            (ledger.put_waits, result.waits),
            (customers.reopen, result.reopened),
            (customers.settle, [(who, customer.revision) for who, customer in result.settled.items()]),
        )
        for write, changes in writes:
            if changes:
                rows += write(db, account_id, changes)
        if result.receipts or result.before:
            rows += write_after_step(db, account_id, result)
        closed = result.closed
        if closed.account is not None:
            reason = f"Mailchimp accepts no calls for it: {closed.account}."
            rows += accounts.pause(db, account_id, Pause(reason, now))
        for list_id in closed.gone_lists:
            rows += accounts.mark_list_gone(db, account_id, list_id, now)
        for list_id, title in closed.paused_lists.items():
            rows += accounts.pause_list(db, account_id, list_id, Pause(f"it refuses every contact: {title}", now))
        return rows

    def _learn(self, result: StepResult) -> None:
        self._retries |= result.retries
        if result.closed:
            self._learn_closed(result.closed)
        if result.later is None:
            # Results without a call prove nothing.
            self._in_vain = 0 if any(receipt.call for receipt in result.receipts) else self._in_vain
            return
        self._in_vain += 1
        # As many in a row as calls run in parallel: the account is given up for this run.
        if self._in_vain >= self._request.config.connections:
            self.fail(f"Mailchimp gave no useful answer {self._in_vain} times in a row, last: {result.later}.")

    def _learn_closed(self, closed: Closed) -> None:
        facts = {"account": self.settings.account_id, "run": self._request.run}
        for list_id in closed.gone_lists - self.closed_lists:
            log.warning("a list is gone from Mailchimp; its customers wait", extra={**facts, "list": list_id})
        for list_id in closed.paused_lists.keys() - self.closed_lists:
            reason = closed.paused_lists[list_id]
            more = {"list": list_id, "reason": reason}
            log.warning("a list is paused: it refuses every contact: %s", reason, extra=facts | more)
        self.closed_lists |= closed.gone_lists | closed.paused_lists.keys()
        if closed.account is None:
            return
        if self.ended is None:
            more = {"reason": closed.account}
            log.warning("the account is paused: Mailchimp accepts no call: %s", closed.account, extra=facts | more)
        self.end(f"Paused: Mailchimp accepts no calls for this account ({closed.account}).", RunResult.PAUSED)


def _put_entries(db: Database, account_id: AccountId, entries: Sequence[LedgerEntry]) -> Rows:
    ended = ledger.departures_at(db, account_id, places_back(entries))
    rows: Rows = [*reopen(db, account_id, ended).rows] if ended else []
    return rows + ledger.put_entries(db, account_id, entries)


def _retried_in_words(times: Collection[str]) -> str:
    until = f"the first flush after {min(times)}"
    if len(times) == 1:
        return f"1 customer whom Mailchimp refused is tried again by {until}."
    return f"{len(times)} customers whom Mailchimp refused are tried again, the first of them by {until}."
