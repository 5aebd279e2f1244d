"""A small world for flushes: a Mailchimp stand-in over real HTTP, a database, and customers' events staged into it."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

from tests import setters
from tests.checked_changelog import CHANGELOG, guarded
from tests.direct_sender import DirectSender
from tests.staged import stage_batch
from worker.accounts import api_keys, lists
from worker.app import App
from worker.clock import Stop, as_text
from worker.config import Config, Mailchimp, Staging
from worker.consumer.decode import Record
from worker.flush.plan_preview import AccountPlan, plan_account
from worker.flush.run import Flusher
from worker.mailchimp.answers import Answer
from worker.mailchimp.api_key import ApiKey
from worker.mailchimp.calls import Call, Sender
from worker.mailchimp.sender import Limiters, RetryingSender
from worker.model import AccountId, AddressKey, ListId, MembershipKey
from worker.sandbox.server import SandboxServer
from worker.sandbox.server_state import StandIn
from worker.sqlite.database import Database
from worker.store import accounts, customers, ledger, receipts, runs
from worker.store.accounts import AccountSettings
from worker.store.ledger import LedgerEntry
from worker.store.receipts import Receipt
from worker.store.runs import AccountRun, Run
from worker.web.pages.next_steps import has_words

KEY = "0123456789abcdef0123456789abcdef-us1"
ACCOUNT = AccountId("acct-1")
TOPIC = "billmywork.customers"


_NEXT_STEPS = "SELECT next FROM receipt UNION SELECT outcome ->> '$.next' FROM standing WHERE outcome IS NOT NULL"


class SteppingClock:
    """A clock that goes on a little whenever it is asked, so that a call takes milliseconds."""

    STEP = timedelta(milliseconds=1)

    def __init__(self, ahead: timedelta = timedelta()) -> None:
        """Makes it.

        Args:
            ahead: how much later its time is than Mailchimp's.
        """
        self._now = datetime(2026, 11, 22, 10, tzinfo=UTC)
        self._ahead = ahead
        self._lock = threading.Lock()

    def __call__(self) -> datetime:
        """Returns the time."""
        with self._lock:
            self._now += self.STEP
            return self._now + self._ahead

    def mailchimp(self) -> datetime:
        """Returns the time at Mailchimp."""
        return self() - self._ahead

    def forward(self, **span: float) -> None:
        """Goes on by so much."""
        with self._lock:
            self._now += timedelta(**span)


class QuickStop:
    """Asks to stop as an event does, and makes all waiting a hundred times shorter."""

    SPEED = 100

    def __init__(self) -> None:
        self._event = threading.Event()
        self.set, self.clear, self.is_set = self._event.set, self._event.clear, self._event.is_set

    def wait(self, timeout: float) -> bool:
        """Waits a hundredth of the time."""
        return self._event.wait(timeout / self.SPEED)


def quick_clock() -> float:
    """Returns seconds that pass as quickly as a quick stop makes waiting."""
    return time.monotonic() * QuickStop.SPEED


class WatchedApp(App):
    """Tells a test of each call right before it is sent, and keeps nothing in Kafka."""

    @cached_property
    def changelog(self) -> Any:
        """Commits without Kafka."""
        return CHANGELOG

    def flusher(self, stop: Stop) -> Flusher:
        """Returns what carries out flushes, of which every row for Kafka must be named."""
        flusher = super().flusher(stop)
        parts = replace(flusher.config, open_database=lambda: guarded(self.open_database()))
        return replace(flusher, config=parts)

    @contextmanager
    def open_client(self, key: ApiKey, account_id: AccountId | None = None) -> Iterator[Sender]:
        """Opens a client whose calls are noted."""
        direct = self.__dict__.get("direct")
        if direct is not None:
            yield _Watched(DirectSender(direct, key.reveal()), self)
            return
        with super().open_client(key, account_id) as client:
            yield _Watched(client, self)

    @contextmanager
    def open_sender(self, db: Database, account_id: AccountId, stop: Stop) -> Iterator[RetryingSender]:
        """Opens what sends an account's calls, whose patience is as short as a quick stop makes waiting."""
        key = api_keys.key_of(db, account_id, self.secret)
        with self.open_client(key) as client:
            yield RetryingSender(client, self.limiters.limiter(key), self.config.mailchimp.patience, stop, quick_clock)


class _Watched:
    def __init__(self, client: Sender, app: Any) -> None:
        self._client = client
        self._app = app

    def send(self, call: Call) -> Answer:
        before = self._app.__dict__.get("before_call")
        if before is not None:
            before(call)
        answer = self._client.send(call)
        after = self._app.__dict__.get("after_call")
        if after is not None:
            after(call)
        return answer


class Everybody:
    """Allows every account."""

    def why_not(self, account_id: AccountId) -> None:
        """Returns nothing."""
        return

    def may_call(self, account_id: AccountId) -> bool:
        """Always."""
        return True


class World:
    """One account with two stored lists, ``master`` and ``other``, and a third, ``spare``, that it did not store."""

    def __init__(self, folder: Path, *, direct: bool = False, ahead: timedelta = timedelta(), **mailchimp: Any) -> None:
        """Makes it.

        Args:
            folder: for the database.
            direct: whether calls go straight to the stand-in, for speed; else over HTTP.
            ahead: how much this machine's clock is ahead of Mailchimp's.
            mailchimp: config of the calls.
        """
        self.clock = SteppingClock(ahead)
        self.standin = StandIn(self.clock.mailchimp)
        self.standin.add_key(KEY, "owner")
        for list_id in ("master", "other", "spare"):
            self.standin.create_list("owner", list_id, list_id.title())
        self.server = None if direct else SandboxServer(self.standin)
        url = self.server.base_url if self.server is not None else "https://nowhere.invalid/3.0"
        values = {"base_url": url, "patience": 0, "timeout": 5} | mailchimp
        config = Config(staging=Staging(path=folder / "worker.db"), mailchimp=Mailchimp(**values))
        self.app = WatchedApp(config, self.clock)
        self.app.__dict__["direct"] = self.standin if direct else None
        limiters = Limiters(config.mailchimp.connections, clock=quick_clock)
        self.app.limiters = limiters
        self.db = self.app.open_database()
        self.db.execute("UPDATE _sqlite_migrations SET applied_at = ?", (as_text(self.clock()),))
        self._offset = 0
        self._versions: Counter[str] = Counter()
        self.stop = QuickStop()
        self.checks_next_steps = True
        """Whether owners must have words for whatever receipts and outcomes say is next."""

    def __enter__(self) -> World:
        if self.server is not None:
            self.server.__enter__()
        with_ = {"secret": self.app.secret, "open_sender": self.app.open_client, "at": self.clock()}
        api_keys.connect(self.db, CHANGELOG, ACCOUNT, KEY, **with_)  # type: ignore[arg-type]
        setters.enable(self.db, CHANGELOG, ACCOUNT)
        self.refresh()
        setters.store(self.db, CHANGELOG, ACCOUNT, [ListId("master"), ListId("other")])
        setters.choose_master(self.db, CHANGELOG, ACCOUNT, ListId("master"))
        return self

    def __exit__(self, *error: object) -> None:
        if self.server is not None:
            self.server.__exit__(None, None, None)
        texts = self.db.column(str, _NEXT_STEPS) if self.checks_next_steps else []
        self.db.close()
        assert [text for text in texts if not has_words(text)] == [], "add it to worker/web/pages/next_steps.py"

    # What happens outside

    def event(self, customer: str, email: str | None = None, kind: str = "updated", **fields: Any) -> None:
        """Stages an event with the customer's whole state."""
        self._versions[customer] += 1
        state = {"id": customer, "email": email} | fields
        self.stage(
            {
                "specversion": "1.0",
                "id": f"{customer}-{self._versions[customer]}",
                "type": f"com.billmywork.customer.{kind}",
                "data": {"account_id": ACCOUNT, "version": self._versions[customer], "customer": state},
            }
        )

    def deleted(self, customer: str, email: str | None = None) -> None:
        """Stages a customer's deletion."""
        self.event(customer, email, "deleted")

    def stage(self, event: dict[str, Any]) -> None:
        """Stages any event."""
        self.clock.forward(seconds=1)
        record = Record(0, self._offset, None, json.dumps(event).encode())
        self._offset += 1
        stage_batch(self.db, TOPIC, "", [record], as_text(self.clock()))

    def by_hand(self, email: str, action: str, list_id: str = "master", value: str | None = None) -> None:
        """Does what a person or the list's owner does in Mailchimp, seconds after anything else."""
        self.clock.forward(seconds=3)
        self.standin.by_hand(list_id, email, action, value)
        self.clock.forward(seconds=3)

    def refresh(self) -> None:
        """Reads the account's lists from Mailchimp."""
        lists.refresh(
            self.db, CHANGELOG, ACCOUNT, secret=self.app.secret, open_sender=self.app.open_client, at=self.clock()
        )

    def before_call(self, callback: Callable[[Call], None] | None) -> None:
        """Does something right before each call."""
        self.app.__dict__["before_call"] = callback

    def after_call(self, callback: Callable[[Call], None] | None) -> None:
        """Does something right after each answer, before the worker has it."""
        self.app.__dict__["after_call"] = callback

    # What the worker does

    def flush(self, *, confirmed: bool = False) -> AccountRun:
        """Flushes and returns the account's part; the calls before it are forgotten."""
        self.standin.audit.calls.clear()
        return self.run(confirmed=confirmed).accounts[0]

    def daily(self) -> Run:
        """Flushes as every day, and returns the run; the calls before it are forgotten."""
        self.standin.audit.calls.clear()
        self.clock.forward(seconds=1)
        return self.app.flusher(self.stop).flush("daily", lambda db: Everybody())

    def run(self, *, confirmed: bool = False) -> Run:
        """Flushes and returns the run."""
        self.clock.forward(seconds=1)
        with self.db.transaction():
            request = runs.ask(self.db, as_text(self.clock()), None, confirmed=confirmed)
        return self.app.flusher(self.stop).flush("command", lambda db: Everybody(), request)

    def read_back(self) -> Run:
        """Reads the lists as by the command, and returns the run; the calls before it are forgotten."""
        self.standin.audit.calls.clear()
        self.clock.forward(seconds=1)
        with self.db.transaction():
            request = runs.ask(self.db, as_text(self.clock()), None, reads_back=True)
        return self.app.flusher(self.stop).flush(request.trigger, lambda db: Everybody(), request)

    def plan(self) -> AccountPlan:
        """Plans a flush."""
        sender = self.app.open_client_of(self.db, ACCOUNT)
        inputs = replace(self.app.account_inputs(self.db, ACCOUNT), clock=self.clock, bulk_add_above=1000)
        return plan_account(self.db, self.settings, sender.__enter__(), inputs, confirmed=False)

    # What is so

    @property
    def settings(self) -> AccountSettings:
        """The account's settings."""
        settings = accounts.find(self.db, ACCOUNT)
        assert settings is not None
        return settings

    def status(self, email: str, list_id: str = "master") -> str | None:
        """A member's status in Mailchimp, or None."""
        member = self.standin.find_list(list_id).find(email)
        return member.status if member is not None else None

    def fields(self, email: str, list_id: str = "master") -> dict[str, Any]:
        """What a member's fields hold, empty ones left out."""
        member = self.standin.find_list(list_id).find(email)
        assert member is not None
        return {tag: value for tag, value in member.merge_fields.items() if value != ""}

    def members(self, list_id: str = "master") -> dict[str, str]:
        """Address to status of all members."""
        return {member.email: member.status for member in self.standin.find_list(list_id).members.values()}

    def outcomes(self, customer: str) -> list[str]:
        """The outcomes of a customer's receipts, oldest first."""
        return [receipt.outcome for receipt in self.receipts(customer)]

    def receipts(self, customer: str) -> list[Receipt]:
        """A customer's receipts, oldest first."""
        return [receipt for receipt in receipts.find(self.db, account_id=ACCOUNT) if receipt.customer_id == customer]

    def waits(self, customer: str) -> bool:
        """Whether a customer still needs a flush."""
        return any(
            customer_row.customer_id == customer for customer_row in customers.changed(self.db, ACCOUNT, None, 10_000)
        )

    def entry(self, email: str, list_id: str = "master") -> LedgerEntry | None:
        """What the ledger says of a place."""
        membership = MembershipKey(ListId(list_id), AddressKey(email))
        return {entry.membership: entry for entry in ledger.entries_of(self.db, ACCOUNT, [membership.address])}.get(
            membership
        )

    def calls(self) -> list[Call]:
        """The calls since the last flush began."""
        return [call.call for call in self.standin.audit.calls]

    def writes(self) -> list[Call]:
        """The calls since the last flush began that were not reads."""
        return [call for call in self.calls() if not call.reads_only]
