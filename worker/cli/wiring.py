"""What every command begins with: the operator's config, the parts it wires and the database."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Annotated

import typer

from worker import log
from worker.app import App
from worker.config import load
from worker.staging import customers
from worker.staging.database import Database

Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
AccountArgument = Annotated[str, typer.Argument(metavar="ACCOUNT", help="The billmywork account's id.")]
AccountOption = Annotated[str | None, typer.Option("--account", metavar="ID", help="Only this account.")]


def wired() -> App:
    """Returns the parts, wired by the operator's config.

    Raises:
        ConfigError: a setting is wrong or unknown.
    """
    config = load()
    log.configure(config.log)
    return App(config)


@contextmanager
def changing(app: App, *, ledger: bool = False) -> Iterator[Database]:
    """Opens the database for a command that changes settings, brought up to what Kafka keeps of them.

    Args:
        app: wires it.
        ledger: whether the ledger is changed too.

    Raises:
        DatabaseError: it cannot be used.
        KafkaError: Kafka cannot be read.
    """
    with closing(app.open_copy()) as copy, closing(app.open_reader(copy)) as reader:
        reader.read_settings()
        if ledger:
            for partition in range(app.keeper.topics.ledger.partitions):
                reader.read_ledger(partition)
    with opened(app) as db:
        yield db
        customers.mark_the_rest(db)


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
