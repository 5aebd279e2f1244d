"""What every command begins with: the operator's config, the parts it wires and the database."""

from __future__ import annotations

import getpass
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from typing import Annotated, TypeVar

import typer

from worker import log
from worker.accounts.settings_log import Author
from worker.app import App
from worker.cli import output
from worker.config import load
from worker.errors import NotFound, WriterFenced
from worker.model import AccountId
from worker.store import accounts, customers, offsets
from worker.store.database import Database

Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
AccountArgument = Annotated[str, typer.Argument(metavar="ACCOUNT", help="The billmywork account's id.")]
AccountOption = Annotated[str | None, typer.Option("--account", metavar="ID", help="Only this account.")]
_Result = TypeVar("_Result")


def wired() -> App:
    """Returns the parts, wired by the operator's config.

    Raises:
        ConfigError: a setting is wrong or unknown.
    """
    config = load()
    log.configure(config.log)
    return App(config)


def author(app: App) -> Author:
    """Returns who gives a command, for the log of settings."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # in containers users often have no name
        return Author("command", app.clock())
    return Author(f"command ({name})", app.clock())


@contextmanager
def changing(app: App, ledger_of: Callable[[Database], Iterable[AccountId]] | None = None) -> Iterator[Database]:
    """Opens the database for a command that changes settings, brought up to what Kafka keeps of them.

    Args:
        ledger_of: tells, once everything is read, of which accounts the ledger is changed too. The command takes their
            partitions: a flush of another worker that is under way for one of them ends early.

    Raises:
        DatabaseError: it cannot be used.
        KafkaError: Kafka cannot be read, or is not whole.
    """
    with closing(app.open_database()) as copy, closing(app.open_reader(copy)) as reader:
        reader.read_settings()
        if ledger_of is not None:
            ledger = app.changelog.topics.ledger
            for partition in range(ledger.partitions):
                reader.read_ledger(partition)
            app.changelog.take_all_settings(reader.read_settings)
            for partition in sorted({ledger.partition_of(one) for one in ledger_of(copy)}):
                app.changelog.take(ledger, partition, lambda partition=partition: reader.read_ledger(partition))  # type: ignore[misc]
    with opened(app) as db:
        yield db
        customers.mark_the_rest(db)


def despite_workers(act: Callable[[], _Result], tries: int = 5) -> _Result:
    """Does what takes partitions of the ledger from workers, again where one of them took its own back meanwhile.

    Its flush has ended by then, and so it writes little: the next time the command has the partition to itself.

    Args:
        act: may be done more than once, as what erases may.

    Raises:
        WriterFenced: each time.
    """
    for _ in range(tries - 1):
        with suppress(WriterFenced):
            return act()
    return act()


@contextmanager
def existing(app: App) -> Iterator[Database]:
    """Opens the database for a command that only reads, and closes it at its end.

    Raises:
        NotFound: there is none.
        DatabaseError: it cannot be used.
    """
    with closing(app.open_existing()) as db:
        yield db


@contextmanager
def opened(app: App) -> Iterator[Database]:
    """Opens the database for a command, and closes it at its end.

    Raises:
        DatabaseError: it cannot be used.
    """
    db = app.open_database()
    try:
        yield db
    finally:
        db.close()


def known_account(db: Database, account: str | None) -> AccountId | None:
    """Returns the account that was named; None where none was.

    Raises:
        NotFound: it has neither settings nor events here; names those that have.
    """
    if account is None:
        return None
    known = {one.account_id for one in accounts.all_accounts(db)} | offsets.accounts_read(db)
    if account not in known:
        raise NotFound(
            f"There is no account {account} here.",
            f"Accounts here: {output.some_of(sorted(known))}."
            if known
            else "No account has been connected or read yet.",
        )
    return AccountId(account)
