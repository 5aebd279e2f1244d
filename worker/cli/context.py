"""What commands start with: the config, the App and the database."""

from __future__ import annotations

import getpass
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from functools import partial
from typing import Annotated, TypeVar

import typer

from worker import log
from worker.accounts import settings
from worker.accounts.settings_log import Author
from worker.app import App
from worker.config import load
from worker.errors import NotFound, UsageError, WriterFenced
from worker.model import AccountId, AddressKey, address_key
from worker.sqlite.database import Database
from worker.store import accounts, marking, offsets
from worker.store.accounts import AccountSettings
from worker.text.plural import some_of

Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
AccountArgument = Annotated[str, typer.Argument(metavar="ACCOUNT", help="The billmywork account's id.")]
AccountOption = Annotated[str | None, typer.Option("--account", metavar="ID", help="Only this account.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask, no matter how many members would leave a list.")]
_Result = TypeVar("_Result")


def load_app(*, service: bool = False) -> App:
    """Returns the App for the operator's config.

    Args:
        service: whether the command's log is collected, so that it has the operator's format. A person reads the
            output of other commands, also in a container whose worker writes JSON.

    Raises:
        ConfigError: a setting is wrong or unknown.
    """
    config = load()
    log.configure(config.log if service else config.log.model_copy(update={"format": "console"}))
    return App(config)


def author(app: App) -> Author:
    """Returns who runs the command, for the settings log."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # users in containers often have no name
        return Author("command", app.clock())
    return Author(f"command ({name})", app.clock())


def change(app: App, db: Database, account: str, step: Callable[[AccountSettings], AccountSettings]) -> AccountSettings:
    """Changes an account's settings in the name of the person who runs the command."""
    return settings.change(db, app.changelog, AccountId(account), step, author(app))


@contextmanager
def changing(app: App, ledger_of: Callable[[Database], Iterable[AccountId]] | None = None) -> Iterator[Database]:
    """Opens the database for a command that changes settings, up to date with Kafka.

    Args:
        ledger_of: returns, once everything is read, the accounts whose ledger is changed too. The command takes over
            their partitions, which ends another worker's running flush of them early.

    Raises:
        DatabaseError: it cannot be used.
        KafkaError: Kafka cannot be read, or is not complete.
    """
    with closing(app.open_database()) as copy, closing(app.open_reader(copy)) as reader:
        reader.read_settings()
        if ledger_of is not None:
            ledger = app.changelog.topics.ledger
            for partition in range(ledger.partitions):
                reader.read_ledger(partition)
            app.changelog.take_all_settings(reader.read_settings)
            for partition in sorted({ledger.partition_of(account_id) for account_id in ledger_of(copy)}):
                app.changelog.take(ledger, partition, partial(reader.read_ledger, partition))
    with closing(app.open_database()) as db:
        yield db
        marking.mark_the_rest(db)


def despite_workers(run: Callable[[], _Result], tries: int = 5) -> _Result:
    """Runs a function that takes over ledger partitions, again if a worker takes one back meanwhile.

    Taking over ends that worker's flush, so it writes little then, and one of the next tries succeeds.

    Args:
        run: must be safe to repeat.

    Raises:
        WriterFenced: all tries failed.
    """
    for _ in range(tries - 1):
        with suppress(WriterFenced):
            return run()
    return run()


def known_account(db: Database, account: str | None) -> AccountId | None:
    """Returns the given account; None if none was given.

    Raises:
        NotFound: it has neither settings nor events here; names the accounts that have.
    """
    if account is None:
        return None
    known = {account_settings.account_id for account_settings in accounts.all_accounts(db)} | offsets.accounts_read(db)
    if account not in known:
        raise NotFound(
            f"There is no account {account} here.",
            f"Accounts here: {some_of(sorted(known))}." if known else "No account has been connected or read yet.",
        )
    return AccountId(account)


def address_of(email: str) -> AddressKey:
    """Returns the address that a person entered.

    Raises:
        UsageError: it is empty.
    """
    address = address_key(email)
    if address is None:
        raise UsageError("No address was given.", "Give the person's address.")
    return address
