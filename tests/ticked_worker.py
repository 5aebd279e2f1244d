"""A daemon that tests tick by hand, by a clock of the test."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event
from types import SimpleNamespace
from typing import Any

import pytest

from tests.checked_changelog import CHANGELOG
from worker.accounts.settings import missing
from worker.app import App
from worker.clock import Stop, as_text
from worker.config import Config, Flush, Staging
from worker.daemon import Daemon
from worker.flush import account_runner
from worker.flush.delivery import DeliveryConfig
from worker.flush.run import Flusher
from worker.jobs.refetch import being_read
from worker.mailchimp.data_centres import DataCentres
from worker.model import AccountId, ListId
from worker.sqlite.database import Database
from worker.store import accounts, customers, runs
from worker.store.accounts import AccountList, AccountSettings
from worker.store.run_result import RunResult
from worker.store.runs import AccountRun

ONE, TWO = AccountId("acct-1"), AccountId("acct-2")
TEN = datetime(2026, 11, 20, 10, tzinfo=UTC)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


class FakeApp(App):
    """Wires a database and nothing else; the test sets the clock."""

    def flusher(self, stop: Stop) -> Flusher:
        """Returns one whose accounts send nothing."""
        how = DeliveryConfig(
            self.open_database, nobody, self.account_inputs, 1, DataCentres(), self.clock, stop, self.metrics
        )
        return Flusher(how, CHANGELOG, 1, self.config.flush.spread)


@contextmanager
def nobody(db: Database, account_id: AccountId, stop: Stop) -> Iterator[Any]:
    """Opens no sender."""
    yield None


class OwnedPartitions:
    """Has all partitions, always; Kafka serves the worker."""

    session = SimpleNamespace(seconds_since_answer=lambda: 0.0)

    def ready(self) -> frozenset[int]:
        """Returns the one partition."""
        return frozenset({0})

    owned = ready

    def wait_until_ready(self, timeout: float) -> bool:
        """Tells that everything is read."""
        return True

    def held(self, partitions: Collection[int]) -> frozenset[tuple[int, int]]:
        """Returns them, by their first assignment."""
        return frozenset((one, 1) for one in partitions)

    def may_call(self, held: object) -> bool:
        """Allows every call."""
        return True


class Worker:
    """A daemon that is ticked by hand, whose accounts' deliveries end as the test says."""

    def __init__(self, path: Path, patched: pytest.MonkeyPatch, spread: float = 0) -> None:
        self.now = TEN
        self.failing: set[AccountId] = set()
        self.delivered: list[list[AccountId]] = []
        self.broken: Exception | None = None
        self.app = FakeApp(Config(staging=Staging(path=path), flush=Flush(spread=spread)), lambda: self.now)
        self.app.__dict__["changelog"] = SimpleNamespace(ledger_partition=lambda account: 0)
        self.db = self.app.open_database()
        self.daemon = Daemon(self.app, Event())
        consumer = SimpleNamespace(topic=SimpleNamespace(id="id"))
        self._poller: Any = SimpleNamespace(
            check=lambda: None,
            owned_partitions=OwnedPartitions(),
            consumer=consumer,
            ids=("id", "worker"),
            being_read=lambda db: being_read(db, (0,), (self.app.config.kafka.topic, "id")),
        )
        self._lock: Any = SimpleNamespace(beat=lambda: None)
        patched.setattr(account_runner, "deliver", self._deliver)

    def _deliver(self, db: Database, settings: AccountSettings, sender: object, orders: object) -> AccountRun:
        who = settings.account_id
        if not customers.changed_count(db, who):
            return AccountRun(who, {}, 0)  # only who left its lists is read
        self.delivered[-1].append(who)
        if who in self.failing:
            return AccountRun(who, {}, 1, ended=RunResult.FAILED, message="no answer")
        with db.transaction():
            db.execute("UPDATE customer SET changed = 0 WHERE account_id = ?", (who,))
        return AccountRun(who, {}, 1, 1)

    def tick(self) -> list[AccountId] | None:
        """Ticks until a flush that was begun is ended; returns whom it delivered, None where none was begun."""
        self.delivered.append([])
        assert self.daemon._flushes == []
        self.daemon._tick(self._lock, self.db, self._poller)
        begun = [*self.daemon._flushes]
        if not begun:
            return None
        for one in begun:
            assert one.wait(30)
            self.daemon._flushes.remove(one)
            self.daemon._record_end(one)
        return sorted(self.delivered[-1])

    def changed(self, *account_ids: AccountId) -> None:
        """Stages a customer of each account that needs a flush."""
        with self.db.transaction():
            for one in account_ids:
                row = (one, "c", "a@example.com", None, 0, None, None, None, "t", "id", 0, 1, "now")
                customers.stage(self.db, [row])

    def go_to(self, moment: datetime) -> None:
        """Sets the clock."""
        self.now = moment


@contextmanager
def ticked_worker(path: Path, patched: pytest.MonkeyPatch, spread: float = 0) -> Iterator[Worker]:
    """Yields a worker with two accounts, whose daily flush of the day before is done."""
    made = Worker(path, patched, spread)
    at = TEN - 30 * DAY
    with made.db.transaction():
        for one in (ONE, TWO):
            listed = AccountList(ListId(f"list-{one}"), "List", True, 0, False, at)
            settings = AccountSettings(
                one, enabled=True, key_hint="hint", master_list=listed.list_id, connected_at=at, lists=(listed,)
            )
            accounts.save(made.db, settings)
            accounts.set_encrypted_key(made.db, one, b"x")
            assert not missing(settings)
            runs.account_done(made.db, one, as_text(TEN - DAY), completes=True)
    yield made
    made.db.close()
