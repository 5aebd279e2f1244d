"""One account's books during a flush: what its threads do is written here, a transaction for all that wait."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from worker.clock import Clock
from worker.errors import WorkerError
from worker.flushing.deciding.steps import Contact, Gate
from worker.flushing.doing.departures_now import departures_of
from worker.flushing.doing.desk import Halted
from worker.flushing.doing.fault import FAULT
from worker.flushing.doing.report import Report
from worker.group_commit import GroupCommit
from worker.model import CustomerId, ListId, Place
from worker.staging import accounts, customers, ledger, lists, receipts, runs
from worker.staging.accounts import AccountSettings
from worker.staging.database import Database
from worker.staging.ledger import Entry
from worker.staging.lists import Pause
from worker.staging.runs import AccountRun, Ended


@dataclass(frozen=True, slots=True)
class _Change:
    """What one thread writes; with a report, what a step did."""

    write: Callable[[], None]
    report: Report | None = None
    end_after: int = 0


class Books:
    """Writes what a flush does for one account, and knows when it is better to end it. Threads share it."""

    def __init__(
        self,
        db: Database,
        settings: AccountSettings,
        run: int,
        clock: Clock,
        *,
        may_call: Callable[[], bool],
        ours: Callable[[], bool],
    ) -> None:
        """Takes the account's part of a run.

        Args:
            db: this account's own connection; only the books use it.
            settings: the account's, as they were when its part began.
            run: number of the run.
            clock: tells the time.
            may_call: false once the whole flush must end.
            ours: false once another worker may keep these books: what a call did is found out by that one.
        """
        self._db = db
        self._run = run
        self._clock = clock
        self._flush_may_call = may_call
        self._ours = ours
        self._group = GroupCommit(self._commit_group)
        self._counts: Counter[str] = Counter()
        self._settled = 0
        self._in_vain = 0
        self.settings = settings
        self.to_do = customers.changed_count(db, settings.account_id)
        self.notices: list[str] = []
        self.ended: str | None = None
        """Why no further call is made for this account in this run."""
        self._how: Ended = "done"
        self._shut = False
        self.closed: set[ListId] = set()
        """Lists found gone or paused in this run."""

    def may_call(self) -> bool:
        """Tells whether calls of this account may still be made."""
        return self.ended is None and self._flush_may_call()

    def part(self) -> AccountRun:
        """Returns how far the account's part is."""
        return self._part(self._counts, self._settled)

    def _part(self, counts: Counter[str], settled: int) -> AccountRun:
        told = [*([self.ended] if self.ended else []), *self.notices]
        if faults := counts[FAULT]:
            told.append(f"{faults} customers met a fault of the worker, and stay changed; its log tells more.")
        return AccountRun(
            account_id=self.settings.account_id,
            counts=dict(counts),
            to_do=self.to_do,
            settled=settled,
            ended=self._how,
            message=" ".join(told) or None,
        )

    def end(self, why: str) -> None:
        """Lets no further call of this account be made in this run."""
        self.ended = self.ended or why

    def shut(self) -> None:
        """Lets nothing more be written: a call that is still in flight then is found out by the next flush."""
        with self._group.turn:
            self._shut = True

    def stop(self, why: str = "the worker ends or its partition is another worker's now") -> None:
        """Ends the account's part before all was done, for no fault of anybody."""
        self._how = "stopped"
        self.end(f"Ended early, because {why}.")

    def fail(self, why: str) -> None:
        """Ends the account's part as one that failed: its state is not known."""
        self._how = "failed"
        self.end(f"{why} What is not delivered stays changed for the next flush.")

    def write_ahead(self, entries: Sequence[Entry], places: Sequence[tuple[CustomerId, Place]]) -> None:
        """Writes what calls are about to do.

        Args:
            entries: with their intents.
            places: where customers are known from now on who were known nowhere: should the answer be lost, every
                customer of a contact must be known there, not its owner alone.

        Raises:
            Halted: the books are shut, or another worker's.
        """

        def write() -> None:
            ledger.put_entries(self._db, self.settings.account_id, entries)
            ledger.put_places(self._db, self.settings.account_id, places)

        self._group.submit(_Change(write))

    def departures_of(self, contacts: Sequence[Contact]) -> Mapping[Place, Sequence[Gate]]:
        """Returns where contacts are known to have left, by the ledger with all that was written until now.

        Raises:
            Halted: the books are shut.
        """
        with self._group.turn:
            if self._shut:
                raise Halted
            return departures_of(self._db, self.settings.account_id, contacts)

    def commit(self, report: Report, end_after: int) -> None:
        """Writes what a step did and settles its customers.

        Args:
            report: what was done.
            end_after: useless answers in a row after which the account is given up for this run.

        Raises:
            Halted: the books are shut, or another worker's.
        """
        now = self._clock()
        self._group.submit(_Change(lambda: self._write(report, now), report, end_after))

    def _commit_group(self, group: Sequence[_Change]) -> None:
        # One transaction for all, in Kafka and then here. What it does may be rehearsed, so it changes no attribute.
        if self._shut or not self._ours():
            raise Halted
        reports = [one.report for one in group if one.report is not None]
        counts = self._counts + Counter(receipt.outcome for report in reports for receipt in report.receipts)
        settled = self._settled + sum(report.changed_settled for report in reports)

        def write() -> None:
            for one in group:
                one.write()
            if reports:
                runs.put_account(self._db, self._run, self._part(counts, settled))

        try:
            self._db.change(write)
        except WorkerError as error:
            # Whoever comes next need not wait for the same: a crash here would have the same effect.
            self._shut = True
            self.fail(f"{error.what}")
            raise
        self._counts, self._settled = counts, settled
        for one in group:
            if one.report is not None:
                self._learn(one.report, one.end_after)

    def _write(self, report: Report, now: datetime) -> None:
        account_id = self.settings.account_id
        ledger.put_entries(self._db, account_id, report.entries)
        ledger.drop_entries(self._db, account_id, report.dropped)
        ledger.drop_intents(self._db, account_id, report.undone)
        ledger.put_standings(self._db, account_id, report.standings)
        ledger.put_places(self._db, account_id, report.places)
        ledger.put_waits(self._db, account_id, report.waits)
        receipts.write(self._db, report.receipts)
        customers.settle(self._db, account_id, report.settled)
        if report.account_stopped is not None:
            reason = f"Mailchimp accepts no call of it: {report.account_stopped}."
            accounts.pause(self._db, account_id, Pause(reason, now))
        for list_id in report.gone:
            lists.mark_gone(self._db, account_id, list_id, now)
        for list_id, title in report.paused.items():
            lists.pause(self._db, account_id, list_id, Pause(f"it refuses everybody: {title}", now))

    def _learn(self, report: Report, end_after: int) -> None:
        self.closed |= report.gone | report.paused.keys()
        if report.account_stopped is not None:
            self.end(f"Paused: Mailchimp accepts no call of this account ({report.account_stopped}).")
        if report.later is None:
            self._in_vain = 0 if report.receipts else self._in_vain
            return
        self._in_vain += 1
        if self._in_vain >= end_after:
            self.fail(f"Mailchimp gave no useful answer {self._in_vain} times in a row, last: {report.later}.")
