"""Writes what the threads of one account's flush do, a transaction for all that wait."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from worker.changelog.commit import Changelog
from worker.clock import Clock
from worker.ended import Ended, worst
from worker.errors import PartitionGivenUp, WorkerError
from worker.flush.departures_now import departures_of
from worker.flush.merge_values import LeftOutCounts
from worker.flush.outcomes import Outcome, end_of
from worker.flush.step_context import Halted
from worker.flush.step_result import StepResult
from worker.flush.steps import Contact, PriorMembership
from worker.group_commit import GroupCommit
from worker.metrics import Metrics
from worker.model import CustomerId, ListId, MembershipKey
from worker.plural import counted
from worker.store import accounts, customers, ledger, lists, receipts, runs
from worker.store.accounts import AccountSettings
from worker.store.changed_rows import Changed, RowKey, Rows
from worker.store.database import Database
from worker.store.ledger import LedgerEntry
from worker.store.lists import Pause
from worker.store.runs import AccountRun

log = logging.getLogger("worker.flush")

ERASED = "Somebody was erased from this account during the flush, which therefore makes no further call for it."


@dataclass(frozen=True, slots=True)
class _Change:
    """What one thread writes, which returns the rows for the changelog; with a result, what a step did."""

    write: Callable[[], Sequence[RowKey]]
    result: StepResult | None = None
    end_after: int = 0


class Recorder:
    """Writes what a flush does for one account, and knows when it is better to end it. Threads share it."""

    def __init__(
        self,
        db: Database,
        changelog: Changelog,
        settings: AccountSettings,
        run: int,
        clock: Clock,
        *,
        may_call: Callable[[], bool],
        ours: Callable[[], bool],
        erased: Callable[[Database], bool],
        metrics: Metrics,
    ) -> None:
        """Takes the account's part of a run.

        Args:
            db: this account's own connection; only the recorder uses it.
            changelog: commits what is written.
            settings: the account's, as they were when its part began.
            run: number of the run.
            clock: returns the time.
            may_call: false once the whole flush must end.
            ours: false once another worker may have the account: what a call did is found out by that one.
            erased: asked in each transaction; true once somebody was erased from the account: then nothing is written.
            metrics: counts what is written.
        """
        self._db = db
        self._changelog = changelog
        self._run = run
        self._clock = clock
        self._flush_may_call = may_call
        self._ours = ours
        self._erased = erased
        self._metrics = metrics
        self._group = GroupCommit(self._commit_group)
        self._counts: Counter[str] = Counter()
        self._settled = 0
        self._left_out = LeftOutCounts()
        self._in_vain = 0
        self.settings = settings
        self.to_do = customers.changed_count(db, settings.account_id)
        self.notices: list[str] = []
        self.ended: str | None = None
        """Why no further call is made for this account in this run."""
        self._how = Ended.DONE
        self._shut = False
        self.closed: set[ListId] = set()
        """Lists found gone or paused in this run."""

    def may_call(self) -> bool:
        """Tells whether calls of this account may still be made."""
        return self.ended is None and self._flush_may_call()

    def part(self) -> AccountRun:
        """Returns how far the account's part is."""
        ended = end_of(self._how, self.to_do - self._settled, self._counts)
        return self._part(self._counts, self._settled, self._left_out, ended)

    def _part(self, counts: Counter[str], settled: int, left_out: LeftOutCounts, ended: Ended) -> AccountRun:
        told = [*([self.ended] if self.ended else []), *self.notices]
        if faults := counts[Outcome.FAULT]:
            told.append(f"{counted(faults, 'customer')} met an internal error and will be tried again; see the log.")
        return AccountRun(
            account_id=self.settings.account_id,
            counts=dict(counts),
            to_do=self.to_do,
            settled=settled,
            ended=ended,
            message=" ".join(told) or None,
            left_out=left_out.found(),
        )

    def end(self, why: str, how: Ended) -> None:
        """Lets no further call of this account be made in this run."""
        self.ended = self.ended or why
        self._how = worst((self._how, how))

    def shut(self) -> None:
        """Lets nothing more be written: a call that is still in flight then is found out by the next flush."""
        with self._group.turn:
            self._shut = True

    def stop(self, why: str = "the worker ends or its partition is another worker's now") -> None:
        """Ends the account's part before all was done, for no fault of anybody."""
        self.end(f"Ended early, because {why}.", Ended.STOPPED)

    def fail(self, why: str) -> None:
        """Ends the account's part as one that failed: its state is not known."""
        self.end(f"{why} What is not delivered stays changed for the next flush.", Ended.FAILED)

    def write_ahead(
        self, entries: Sequence[LedgerEntry], memberships: Sequence[tuple[CustomerId, MembershipKey]]
    ) -> None:
        """Writes what calls are about to do.

        Args:
            entries: with their intents.
            memberships: where customers are known from now on who were known nowhere: should the answer be lost, every
                customer of a contact must be known there, not its owner alone.

        Raises:
            Halted: the recorder is closed, or the account another worker's.
        """

        def write() -> Rows:
            rows = ledger.put_entries(self._db, self.settings.account_id, entries)
            return rows + ledger.put_memberships(self._db, self.settings.account_id, memberships)

        self._group.submit(_Change(write))

    def departures_of(self, contacts: Sequence[Contact]) -> Mapping[MembershipKey, Sequence[PriorMembership]]:
        """Returns where contacts are known to have left, by the ledger with all that was written until now.

        Raises:
            Halted: the recorder is closed.
        """
        with self._group.turn:
            if self._shut:
                raise Halted
            return departures_of(self._db, self.settings.account_id, contacts)

    def write(self, act: Callable[[Database], Rows]) -> None:
        """Writes in one transaction, in Kafka too.

        Args:
            act: changes nothing but the database, may be repeated, and returns which rows it wrote.

        Raises:
            Halted: the recorder is closed, or the account another worker's.
        """
        self._group.submit(_Change(lambda: act(self._db)))

    def commit(self, result: StepResult, end_after: int) -> None:
        """Writes what a step did and settles its customers.

        Args:
            result: what was done.
            end_after: useless answers in a row after which the account is given up for this run.

        Raises:
            Halted: the recorder is closed, or the account another worker's.
        """
        now = self._clock()
        self._group.submit(_Change(lambda: self._write(result, now), result, end_after))

    def _commit_group(self, group: Sequence[_Change]) -> None:
        # One transaction for all, in Kafka and then here. What it does may be rehearsed, so it changes no attribute.
        if self._shut or not self._ours():
            raise Halted
        results = [one.result for one in group if one.result is not None]
        new = Counter(receipt.outcome for result in results for receipt in result.receipts)
        counts = self._counts + new
        settled = self._settled + sum(result.changed_settled for result in results)
        left_out = sum((result.left_out for result in results), self._left_out)

        def write() -> Changed[None]:
            if self._erased(self._db):
                raise Halted
            rows = [row for one in group for row in one.write()]
            if results:
                runs.put_account(
                    self._db, self._run, self._part(counts, settled, left_out, Ended.STOPPED)
                )  # as after a crash
            return Changed(None, rows)

        try:
            # The rows of ledger and settings go to Kafka, then all of it to the database.
            self._changelog.commit(self._db, write)
        except Halted:
            # What was read of who is erased would be written down again.
            self._shut = True
            self.fail(ERASED)
            raise
        except WorkerError as error:
            # The next one need not wait for the same: a crash here would have the same effect.
            self._shut = True
            if isinstance(error, PartitionGivenUp) and not self._ours():
                # Given up since this group began: what its calls did is found out by the partition's next owner.
                raise Halted from error
            self.fail(f"{error.what}")
            raise
        self._counts, self._settled, self._left_out = counts, settled, left_out
        self._metrics.contacts_recorded(new)
        for one in group:
            if one.result is not None:
                self._learn(one.result, one.end_after)

    def _write(self, result: StepResult, now: datetime) -> Rows:
        db, account_id = self._db, self.settings.account_id
        rows = ledger.put_entries(db, account_id, result.entries)
        rows += ledger.drop_entries(db, account_id, result.dropped)
        rows += ledger.drop_intents(db, account_id, result.undone)
        rows += ledger.put_customer_statuses(db, account_id, result.customer_statuses)
        rows += ledger.put_memberships(db, account_id, result.memberships)
        rows += ledger.put_waits(db, account_id, result.waits)
        receipts.write(db, result.receipts)
        rows += customers.reopen(db, account_id, [target.customer.customer_id for target in result.reopened])
        rows += customers.settle(db, account_id, result.settled)
        if result.account_stopped is not None:
            reason = f"Mailchimp accepts no call of it: {result.account_stopped}."
            rows += accounts.pause(db, account_id, Pause(reason, now))
        for list_id in result.gone:
            rows += lists.mark_gone(db, account_id, list_id, now)
        for list_id, title in result.paused.items():
            rows += lists.pause(db, account_id, list_id, Pause(f"it refuses every contact: {title}", now))
        return rows

    def _learn(self, result: StepResult, end_after: int) -> None:
        self._tell(result)
        self.closed |= result.gone | result.paused.keys()
        if result.account_stopped is not None:
            self.end(f"Paused: Mailchimp accepts no call of this account ({result.account_stopped}).", Ended.PAUSED)
        if result.later is None:
            # What is written without a call shows nothing.
            self._in_vain = 0 if any(one.call for one in result.receipts) else self._in_vain
            return
        self._in_vain += 1
        if self._in_vain >= end_after:
            self.fail(f"Mailchimp gave no useful answer {self._in_vain} times in a row, last: {result.later}.")

    def _tell(self, result: StepResult) -> None:
        facts = {"account": self.settings.account_id, "run": self._run}
        for list_id in result.gone - self.closed:
            log.warning("a list is gone from Mailchimp; its customers wait", extra={**facts, "list": list_id})
        for list_id in result.paused.keys() - self.closed:
            reason = result.paused[list_id]
            more = {"list": list_id, "reason": reason}
            log.warning("a list is paused: it refuses every contact: %s", reason, extra=facts | more)
        if result.account_stopped is not None and self.ended is None:
            more = {"reason": result.account_stopped}
            log.warning("the account is paused: Mailchimp accepts no call: %s", more["reason"], extra=facts | more)
