"""One account of the worker, in this process, with its Mailchimp stand-in: made, killed and brought back."""

from __future__ import annotations

import json
import random
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self
from unittest.mock import patch

from pydantic import SecretStr

from tests import setters
from tests.checked_changelog import guarded
from tests.direct_sender import DirectSender
from tests.histories.clock import Time, Waits
from tests.histories.tags import FIELDS, PLANS
from tests.histories.topic import OutcomesTopic
from tests.histories.wire import Death, Wire, differences, snapshot
from tests.staged import stage_batch
from worker.accounts import api_keys, erasures, lists, settings
from worker.accounts.erasures import OwnCopy
from worker.accounts.forget import forget_person
from worker.app import App
from worker.clock import Stop, as_text
from worker.config import Config, Flush, Mailchimp, Staging
from worker.consumer.decode import Record
from worker.flush import list_readings
from worker.flush.run import Flusher
from worker.mailchimp.api_key import ApiKey
from worker.mailchimp.calls import Call, Sender
from worker.mailchimp.sender import Limiters, RetryingSender
from worker.model import AccountId, AddressKey, ListId
from worker.sandbox.server_state import StandIn
from worker.sqlite.database import Database
from worker.sqlite.library import sqlite3
from worker.sqlite.rows import Changed
from worker.store import accounts, erasure_requests, marking, receipts, runs
from worker.store.receipts import Receipt
from worker.store.runs import AccountRun, Trigger

ACCOUNT = AccountId("acct-1")
KEYS = tuple(f"0123456789abcdef0123456789abcde{number}-us1" for number in range(10))
TOPIC = "billmywork.customers"


class WiredApp(App):
    """The worker's parts, whose calls go over the wire and whose ledger stays in the database."""

    def wired(self, wire: Wire, chance: Callable[[], float], seconds: Callable[[], float]) -> WiredApp:
        """Takes the wire, the chance of its waits and the clock that they are measured by."""
        self.__dict__.update(wire=wire, chance=chance, seconds=seconds)
        limiters = Limiters(self.config.mailchimp.connections, seconds, chance)
        self.limiters = limiters
        return self

    @cached_property
    def changelog(self) -> Any:
        """Commits without Kafka."""
        return OutcomesTopic()

    def flusher(self, stop: Stop) -> Flusher:
        """Returns what carries out flushes, of which every row for Kafka must be named."""
        flusher = super().flusher(stop)
        parts = replace(flusher.config, open_database=lambda: guarded(self.open_database()))
        return replace(flusher, config=parts)

    def open_database(self) -> Database:
        """Opens the database; the disk is not waited for, since no power is cut here."""
        db = super().open_database()
        db.execute("PRAGMA synchronous = OFF")
        return db

    @contextmanager
    def open_client(self, key: ApiKey, account_id: AccountId | None = None) -> Iterator[Sender]:
        """Opens what sends calls over the wire."""
        yield DirectSender(self.__dict__["wire"], key.reveal())

    @contextmanager
    def open_sender(self, db: Database, account_id: AccountId, stop: Stop) -> Iterator[RetryingSender]:
        """Opens what sends calls over the wire with patience, whose waits take no time."""
        key = api_keys.key_of(db, account_id, self.secret)
        with self.open_client(key) as client:
            yield RetryingSender(
                client,
                self.limiters.limiter(key),
                self.config.mailchimp.patience,
                stop,
                self.__dict__["seconds"],
                self.__dict__["chance"],
            )


class OneByOne:
    """Reads lists one after the other in place of threads, whose order no seed decides."""

    def __init__(self, most: int, thread_name_prefix: str) -> None:
        """Needs no threads."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        return

    def map(self, function: Callable[[Any], Any], whom: Iterable[Any]) -> Iterator[Any]:
        """Acts as each result is asked for."""
        return map(function, whom)


_UNTHREADED = ("ThreadPoolExecutor", OneByOne)


class Partition:
    """The partition of all accounts, which the worker has unless it is lost."""

    def __init__(self) -> None:
        """The worker has it."""
        self.lost = False

    def why_not(self, account_id: AccountId) -> None:
        """Returns nothing: a flush begins only while the worker has it."""
        return

    def may_call(self, account_id: AccountId) -> bool:
        """Returns whether the worker has it."""
        return not self.lost


class World:
    """The account, with lists ``master`` and ``other`` stored, and a third, ``spare``, that is not."""

    def __init__(
        self,
        folder: Path,
        chance: random.Random,
        *,
        patience: float,
        bulk_add_above: int,
        double: bool,
        secret: str,
        tags: bool = False,
    ) -> None:
        """Makes it; nothing is connected yet."""
        self.folder = folder
        self.tags = tags
        self.time = Time()
        self.standin = StandIn(self.time.mailchimp)
        self.standin.add_key(KEYS[0], "owner")
        for list_id in ("master", "other", "spare"):
            self.standin.create_list("owner", list_id, list_id)
        config = Config(
            staging=Staging(path=folder / "worker.db"),
            mailchimp=Mailchimp(base_url="https://nowhere.invalid/3.0", patience=patience, connections=1),
            flush=Flush(bulk_add_above=bulk_add_above),
            secret_key=SecretStr(secret),
        )
        self.wire = Wire(
            self.standin,
            self.time,
            before=lambda call: None,
            fault=lambda call: None,
            exchanged=lambda exchange: None,
            after=lambda call: None,
        )
        self.app = WiredApp(config, self.time.machine).wired(self.wire, chance.random, self.time.seconds)
        self.meanwhile: Callable[[], None] = lambda: None
        self.stop = Waits(self.time, lambda: self.meanwhile())
        self.topic: OutcomesTopic = self.app.changelog
        self._kept: dict[str, bytes | None] = {}
        self.partition = Partition()
        self.key = 0
        self.is_revoked = False
        self.double = double
        self._versions: Counter[str] = Counter()
        self.records: list[Record] = []
        self.died = False
        self.cut_short = False
        """Whether the last flush could not write all that it did or read."""
        self.flushing = False

    def __enter__(self) -> World:
        self.db = self.app.open_database()
        self.connect()
        setters.enable(self.db, self.topic, ACCOUNT, "pending" if self.double else "subscribed")
        self.refresh()
        for list_id in ("master", "other", "spare") if self.tags else ():
            plan = {"name": "Plan", "type": "dropdown", "tag": "PLAN", "options": {"choices": list(PLANS)}}
            self.standin.add_merge_field(list_id, plan)
            self.standin.add_merge_field(list_id, {"name": "Invoices", "type": "number", "tag": "INVOICES"})
            setters.choose_fields(self.db, self.topic, ACCOUNT, ListId(list_id), FIELDS)
        self.store("master", "other")
        self.choose_master("master")
        return self

    def __exit__(self, *error: object) -> None:
        self.db.close()

    @contextmanager
    def opened(self) -> Iterator[Database]:
        """Opens the database for one act; in the middle of a flush another connection, as another process has it."""
        if not self.flushing:
            yield self.db
            return
        db = self.app.open_database()
        try:
            yield db
        finally:
            db.close()

    # billmywork

    def publish(self, customer: str, kind: str, state: dict[str, Any]) -> None:
        """Stages an event with a customer's whole state."""
        self._versions[customer] += 1
        event = {
            "specversion": "1.0",
            "id": f"{customer}-{self._versions[customer]}",
            "type": f"com.billmywork.customer.{kind}",
            "time": as_text(self.time.now),
            "data": {"account_id": ACCOUNT, "version": self._versions[customer], "customer": {"id": customer} | state},
        }
        self._stage(customer, json.dumps(event).encode())

    def version(self, customer: str) -> int:
        """Returns the version of a customer's newest event."""
        return self._versions[customer]

    def publish_null(self, customer: str) -> None:
        """Stages a null value."""
        self._stage(customer, None)

    def _stage(self, customer: str, value: bytes | None) -> None:
        self.records.append(Record(0, len(self.records), f"{ACCOUNT}/{customer}".encode(), value))
        with self.opened() as db:
            stage_batch(db, TOPIC, "", self.records[-1:], as_text(self.time.machine()), self.app.hash_key)

    def replay(self) -> None:
        """Stages all events again, as after a lost position."""
        with self.opened() as db:
            stage_batch(db, TOPIC, "", self.records, as_text(self.time.machine()), self.app.hash_key)

    # Mailchimp

    def by_hand(self, list_id: str, email: str, action: str, value: str | None = None) -> tuple[Any, ...]:
        """Does what a person or the list's owner does, and returns what that changed."""
        old = snapshot(self.standin)
        self.standin.by_hand(list_id, email, action, value)
        return differences(old, snapshot(self.standin))

    # The account's owner and the operator

    def connect(self) -> None:
        """Enters the API key that Mailchimp has now."""
        using = {"secret": self.app.secret, "open_sender": self.app.open_client, "at": self.time.machine()}
        with self.opened() as db:
            api_keys.connect(db, self.topic, ACCOUNT, KEYS[self.key], **using)  # type: ignore[arg-type]

    def enable(self) -> None:
        """Enables the integration."""
        with self.opened() as db:
            setters.enable(db, self.topic, ACCOUNT)

    def disable(self) -> None:
        """Disables the integration."""
        with self.opened() as db:
            setters.disable(db, self.topic, ACCOUNT)

    def resume(self) -> None:
        """Ends pauses."""
        with self.opened() as db:
            setters.resume(db, self.topic, ACCOUNT)

    def refresh(self) -> None:
        """Reads the account's lists from Mailchimp."""
        using = {"secret": self.app.secret, "open_sender": self.app.open_client, "at": self.time.machine()}
        with self.opened() as db:
            lists.refresh(db, self.topic, ACCOUNT, **using)  # type: ignore[arg-type]

    def store(self, *list_ids: str) -> None:
        """Stores these lists and no other."""
        with self.opened() as db:
            setters.store(db, self.topic, ACCOUNT, [ListId(list_id) for list_id in list_ids])

    def choose_master(self, list_id: str) -> None:
        """Chooses the master list."""
        with self.opened() as db:
            setters.choose_master(db, self.topic, ACCOUNT, ListId(list_id))

    def resync(self) -> None:
        """Looks at all customers again."""
        with self.opened() as db, db.transaction():
            marking.mark_changed(db, ACCOUNT, None)

    def forget(self, email: str) -> None:
        """Erases a person here, and asks every other worker for it."""
        address, secret, at = AddressKey(email), self.app.secret, self.time.machine()
        with self.opened() as db:
            erasures.request_person(db, self.topic, address, secret, at)
            forget_person(db, self.topic, address, secret=secret, at=at)
            self.topic.commit(
                db,
                lambda: Changed(
                    None, erasure_requests.note_done(db, erasure_requests.to_do(db), "worker", as_text(at))
                ),
            )

    def carry_out_requests(self) -> None:
        """Erases whom others asked to erase, as a worker does before its flushes."""
        own_copy = OwnCopy("ledger", lambda account_id: 0)
        with self.opened() as db:
            erasures.carry_out(db, self.topic, own_copy, self.app.secret, "worker", self.time.machine())

    # The worker

    def planned_calls(self, *, confirmed: bool) -> list[Call]:
        """Returns the calls that a plan shows for a flush by an operator's command."""
        account = accounts.find(self.db, ACCOUNT)
        if account is None or settings.missing(account):
            return []
        with self.app.open_client_of(self.db, ACCOUNT) as sender, patch.object(list_readings, *_UNTHREADED):
            plan = self.app.plan_of(self.db, account, sender, confirmed=confirmed)
            return [planned.call for planned in plan.calls()]

    def flush(self, *, confirmed: bool = False, command: bool = False) -> AccountRun | None:
        """Flushes as every day, or by an operator's command; None where the account had no part, or the worker died."""
        request = None
        trigger: Trigger = "command" if confirmed or command else "daily"
        if confirmed:
            with self.db.transaction():
                request = runs.ask(self.db, as_text(self.time.machine()), None, confirmed=confirmed)
        self.flushing = True
        try:
            with patch.object(list_readings, *_UNTHREADED):
                run = self.app.flusher(self.stop).flush(trigger, lambda db: self.partition, request)
        except Death:
            run = None
        finally:
            self.flushing = False
        self.died = self.cut_short = self.wire.dead
        if self.died:
            self._revive()
            return None
        assert run is not None
        return run.accounts[0] if run.accounts else None

    def is_ready(self) -> bool:
        """Returns whether the account lacks nothing and is not paused, as its owner sees it."""
        account = accounts.find(self.db, ACCOUNT)
        return account is not None and not settings.missing(account)

    def die(self) -> None:
        """Kills the worker: what it committed until now is all that is left."""
        self.copy_to(self.folder / "kept.db")
        self._kept = dict(self.topic.newest)
        self.wire.dead = True

    def copy_to(self, copy: Path) -> None:
        """Copies the database."""
        copy.unlink(missing_ok=True)
        # By the worker's own SQLite: a second library in one process takes its locks and its shared memory away.
        source, target = sqlite3.connect(self.app.config.staging.path), sqlite3.connect(copy)
        source.backup(target)
        source.close()
        target.close()

    def replace_by(self, copy: Path | None) -> None:
        """Puts a copy in place of the database, or a new one where there is none."""
        self.db.close()
        path = self.app.config.staging.path
        for suffix in ("", "-wal", "-shm"):
            Path(f"{path}{suffix}").unlink(missing_ok=True)
        if copy is not None:
            shutil.copy(copy, path)
        self.db = self.app.open_database()

    def _revive(self) -> None:
        self.replace_by(self.folder / "kept.db")
        self.topic.newest = self._kept
        self.wire.dead = False
        self.app.wired(self.wire, self.app.__dict__["chance"], self.time.seconds)

    def receipts(self) -> list[Receipt]:
        """Returns the receipts of the last flush, oldest first."""
        return list(receipts.find(self.db, account_id=ACCOUNT, runs=[runs.last(self.db, 1)[0].run]))
