"""Commands on the ledger in Kafka: ``mailchimp-worker ledger …``."""

from __future__ import annotations

from contextlib import closing
from typing import Annotated

import typer

from worker.changelog.backfill import accept_loss
from worker.changelog.loss import NOT_KNOWN
from worker.cli import output
from worker.cli.context import wired
from worker.store.lock import DatabaseLock

commands = typer.Typer(no_args_is_help=True, help="The ledger in Kafka: continue after it was lost.")


@commands.callback()
def _root() -> None:
    pass


@commands.command("accept-loss")
def accept(yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False) -> None:
    """Continue with the ledger and the settings that Kafka has now, though records of them are lost."""
    app = wired()
    topics = app.changelog.topics
    output.say(
        f"Records of {topics.ledger.name} and {topics.settings.name} are lost. Without them the worker does not know:"
    )
    for one in NOT_KNOWN:
        output.say(f"  - {one}")
    output.say("Accounts whose settings are lost deliver nothing until they are connected again.")
    output.confirm("Continue without them?", yes=yes)
    with (
        DatabaseLock(app.config.staging.path),
        closing(app.open_database()) as db,
        closing(app.open_reader(db)) as reader,
    ):
        accept_loss(app.changelog, reader)
    output.say(
        "This is stored in Kafka, for all workers. Start them again: the next flush reads who ever left each list."
    )
