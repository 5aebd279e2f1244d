"""What tests of accounts share: keys, a Mailchimp that answers from a list, and the step of storing an API key."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.checked_changelog import CHANGELOG
from tests.direct_sender import DirectSender
from worker.accounts import api_keys
from worker.accounts.secrets import SecretKey
from worker.mailchimp.answers import Answer
from worker.mailchimp.api_key import ApiKey
from worker.mailchimp.calls import Call
from worker.model import AccountId
from worker.sandbox.server_state import StandIn
from worker.sqlite.database import Database
from worker.sqlite.library import (
    sqlite3,  # the one library that the worker opens it with: two in one process break locks
)
from worker.store.accounts import AccountSettings

AT = datetime(2026, 11, 20, 10, 0, tzinfo=UTC)
LATER = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)
ACCOUNT, NEIGHBOUR = AccountId("acct-1"), AccountId("acct-2")
KEY = "0123456789abcdef0123456789abcdef-us21"
OTHER_KEY = "fedcba9876543210fedcba9876543210-us21"
SECRET = SecretKey(bytes(range(32)), "WORKER_SECRET_KEY")
OTHER_SECRET = SecretKey(bytes(32), "WORKER_SECRET_KEY")
PONG = Answer(200, {"account_name": "Lee Ltd", "username": "ann"})


class Scripted:
    """A Mailchimp that answers call after call from a list, and notes who called it and what was closed."""

    def __init__(self, *answers: Answer) -> None:
        """Takes the answers in their order."""
        self.answers = list(answers)
        self.calls: list[Call] = []
        self.opened: list[ApiKey] = []
        self.closed = 0

    def send(self, call: Call) -> Answer:
        """Returns the next answer."""
        self.calls.append(call)
        return self.answers.pop(0)

    @contextmanager
    def open(self, key: ApiKey) -> Iterator[Scripted]:
        """Opens it for a key."""
        self.opened.append(key)
        try:
            yield self
        finally:
            self.closed += 1


@contextmanager
def nobody(key: ApiKey) -> Iterator[Any]:
    """Fails the test: nothing may be opened."""
    raise AssertionError(f"a sender was opened for {key}")
    yield


class Mailchimp:
    """Opens senders to a stand-in, in which one user has a key."""

    def __init__(self, *lists: str, key: str = KEY, user: str = "owner") -> None:
        """Makes the stand-in with these lists, each named for its id."""
        self.user = user
        self.standin = StandIn(lambda: AT, sleep=lambda seconds: None)
        self.standin.add_key(key, user)
        for one in lists:
            self.standin.create_list(user, one, f"List {one}")

    @contextmanager
    def open(self, key: ApiKey) -> Iterator[DirectSender]:
        """Opens a sender for a key."""
        yield DirectSender(self.standin, key.reveal())


def connect(db: Database, account_id: AccountId = ACCOUNT, key: str = KEY) -> AccountSettings:
    """Stores an API key that Mailchimp accepts."""
    made = api_keys.connect(db, CHANGELOG, account_id, key, secret=SECRET, open_sender=Scripted(PONG).open, at=AT)
    return made.settings


def everything(path: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Returns all rows of all tables as they are committed, read by a connection of its own."""
    connection = sqlite3.connect(path)
    try:
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {name: connection.execute(f"SELECT * FROM {name}").fetchall() for name in sorted(tables)}
    finally:
        connection.close()


def stage(db: Database, *numbers: int, account_id: AccountId = ACCOUNT) -> None:
    """Stages customers of which nothing is left to do."""
    with db.transaction():
        for one in numbers:
            db.execute(
                "INSERT INTO customer (account_id, customer_id, address, state, deleted, topic, topic_id, partition, "
                '"offset", staged_at, revision, changed) VALUES (?,?,?,?,0,?,?,0,?,?,1,0)',
                (account_id, f"cus-{one}", f"{one}@example.com", None, "customers", "", one, "2026-11-20T10:00:00Z"),
            )
