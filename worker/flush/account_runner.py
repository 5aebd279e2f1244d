"""Each account's part of a run, from loading its settings to recording how it ended."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace

from worker.accounts.settings import ended_by_missing, missing_before_calls
from worker.clock import as_text
from worker.errors import WorkerError
from worker.flush.call_permission import CallPermission
from worker.flush.commit_queue import CommitQueue
from worker.flush.delivery import DeliveryConfig, DeliveryRequest
from worker.flush.eligibility import Eligibility, Refused
from worker.flush.execute import deliver
from worker.model import AccountId
from worker.sqlite.database import Database
from worker.store import accounts, bare_customers, customers, forgotten, runs
from worker.store.accounts import AccountSettings
from worker.store.run_result import INTERNAL_ERROR, RunResult, worst
from worker.store.runs import AccountRun, Request, Trigger

log = logging.getLogger("worker.flush")


@dataclass(frozen=True, slots=True)
class AccountRunner:
    """Carries out the accounts' parts of one run, each in a thread.

    Attributes:
        request: the operator's request; None for all accounts, with the brake.
    """

    config: DeliveryConfig
    run: int
    trigger: Trigger
    eligibility: Eligibility
    request: Request | None
    queue: CommitQueue

    @property
    def for_one_account(self) -> bool:
        """Whether an operator requested this one account."""
        return self.request is not None and self.request.account_id is not None

    def run_account(self, account_id: AccountId, next_turn: Callable[[], object]) -> AccountRun:
        """Delivers an account's changes, and records how that ended.

        Args:
            next_turn: called between chunks and between pages of members; returns once the account may continue.

        Raises:
            DatabaseError: the end could not be recorded.
        """
        began = self.config.clock()
        with closing(self.config.open()) as db:
            with db.transaction():
                settings = accounts.find(db, account_id)
                if settings is None:  # it was erased after the run began
                    return AccountRun(account_id, {}, 0)
                forgotten.begin_counting(db, account_id)
            refused = None
            try:
                if lacking := missing_before_calls(settings):
                    account_run = self._not_delivered(db, account_id, lacking[0].message, ended_by_missing(lacking))
                elif (refused := self._refusal(db, account_id)) is not None:
                    # A request for one account at the wrong worker cannot be fulfilled.
                    left = self.for_one_account and refused.end is RunResult.DONE
                    end = RunResult.INCOMPLETE if left else refused.end
                    account_run = self._not_delivered(db, account_id, refused.reason, end)
                else:
                    account_run = self._deliver(db, settings, next_turn)
            except WorkerError as error:
                account_run = self._failed(db, account_id, f"{error.message} {error.advice}")
            except Exception:
                # An internal error with one account's data must not hold up the others.
                log.exception(
                    "account %s could not be flushed", account_id, extra={"account": account_id, "run": self.run}
                )
                account_run = self._failed(db, account_id, INTERNAL_ERROR)
            with db.transaction():
                whole = forgotten.is_whole_account_erased(db, account_id)
                forgotten.end_counting(db, account_id)
                if whole:
                    return AccountRun(account_id, {}, 0)
                self._store(db, account_run, as_text(began), here=refused is None)
        if _is_reported(account_run):
            _log_end(self.run, account_run, (self.config.clock() - began).total_seconds())
        return account_run

    def _refusal(self, db: Database, account_id: AccountId) -> Refused | None:
        if (refused := self.eligibility.why_not(account_id)) is not None:
            return refused
        bare = bare_customers.of_account(db, account_id)
        if bare is None or not bare.reading:
            return None
        return Refused(_STILL_READING, RunResult.INCOMPLETE)

    def _store(self, db: Database, account_run: AccountRun, began: str, *, here: bool) -> None:
        who = account_run.account_id
        # Its progress may be stored although there was nothing to deliver: a list was found to be gone.
        if _is_reported(account_run) or runs.part_of(db, self.run, who) is not None:
            runs.put_account(db, self.run, account_run)
        if self.trigger == "read back":
            return  # it was not a flush, so none is retried
        if account_run.ended not in (RunResult.STOPPED, RunResult.FAILED):
            # Neither another worker's delivery nor a request for this account alone completes a daily flush.
            completes = here and not self.for_one_account
            if completes or _is_reported(account_run):
                runs.account_done(db, who, began, completes=completes)
        elif account_run.failed:
            runs.account_failed(db, who, as_text(self.config.clock()), again=self.trigger == "retry")

    def _not_delivered(self, db: Database, account_id: AccountId, reason: str, end: RunResult) -> AccountRun:
        if self.trigger == "read back":
            # A flush of all accounts does not report each disabled one.
            account_run = AccountRun(account_id, {}, 0, ended=worst([end, RunResult.INCOMPLETE]), message=reason)
            return account_run if self.for_one_account or end is not RunResult.DONE else AccountRun(account_id, {}, 0)
        to_do = customers.changed_count(db, account_id)
        # The worker that has the account may have changes that this one has not read.
        unknown = self.for_one_account and end is RunResult.INCOMPLETE
        account_run = AccountRun(account_id, {}, to_do, ended=end, message=reason)
        return account_run if to_do or unknown else AccountRun(account_id, {}, 0)

    def _deliver(self, db: Database, settings: AccountSettings, next_turn: Callable[[], object]) -> AccountRun:
        config, who, request = self.config, settings.account_id, self.request
        if config.stop.is_set():
            return AccountRun(who, {}, customers.changed_count(db, who), ended=RunResult.STOPPED)
        if not self.for_one_account and not config.data_centres.may_call(settings.data_centre):
            return self._failed(db, who, f"Mailchimp's data centre {settings.data_centre} {_SILENT}")
        # Before the key is read: a change from here on is seen.
        with (
            closing(CallPermission(config.open, settings, config.stop, self.eligibility)) as permission,
            config.open_sender(db, who, permission) as sender,
        ):
            delivery = DeliveryRequest(
                config=config,
                run=self.run,
                confirmed_at=request.requested_at if request is not None and request.confirmed else None,
                delivers=self.trigger != "read back",
                reads_members=self.trigger != "command",
                permission=permission,
                queue=self.queue,
                inputs=config.inputs_of(db, who),
                next_turn=next_turn,
            )
            return deliver(db, settings, sender, delivery)

    def _failed(self, db: Database, account_id: AccountId, message: str) -> AccountRun:
        # What it settled before is stored.
        part = runs.part_of(db, self.run, account_id) or AccountRun(
            account_id, {}, customers.changed_count(db, account_id)
        )
        return replace(part, ended=RunResult.FAILED, message=message)


_STILL_READING = (
    "Left out: its customers were being read again from Kafka, because they came before the account was connected. The "
    "first flush after that delivers them."
)
_SILENT = "does not answer, so none of this account's calls was made. The worker tries it again by itself."


def _is_reported(account_run: AccountRun) -> bool:
    """Returns whether a part is stored and logged, that is, whether it had anything to do."""
    return bool(account_run.to_do or account_run.ended is not RunResult.DONE or account_run.message)


def level_of(ended: RunResult) -> int:
    """Returns the log level of an end: error if it failed, warning if something is left."""
    if ended is RunResult.FAILED:
        return logging.ERROR
    return logging.INFO if ended is RunResult.DONE else logging.WARNING


def _log_end(run: int, account_run: AccountRun, seconds: float) -> None:
    suffix = f"; {account_run.message}" if account_run.message else ""
    facts = {
        "account": account_run.account_id,
        "run": run,
        "ended": str(account_run.ended),
        "to_do": account_run.to_do,
        "settled": account_run.settled,
        "counts": {str(outcome): count for outcome, count in account_run.counts.items()},
        "seconds": round(seconds, 1),
    }
    log.log(
        level_of(account_run.ended),
        "account %s: %d of %d settled%s",
        account_run.account_id,
        account_run.settled,
        account_run.to_do,
        suffix,
        extra=facts,
    )
