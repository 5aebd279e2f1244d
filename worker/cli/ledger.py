"""Commands on the ledger in Kafka: ``mailchimp-worker ledger …``."""

from __future__ import annotations

from contextlib import closing
from typing import Annotated

import typer

from worker.changelog.backfill import accept_loss
from worker.changelog.loss import NOT_KNOWN
from worker.cli import output
from worker.cli.context import Json, wired
from worker.store.lock import DatabaseLock

commands = typer.Typer(no_args_is_help=True, help="The ledger in Kafka: continue after it was lost.")


@commands.callback()
def _root() -> None:
    pass


@commands.command("accept-loss")
def accept(yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False, json: Json = False) -> None:
    """Continue with the ledger and the settings that Kafka has now, though records of them are lost."""
    app = wired()
    topics = app.changelog.topics
    tell = output.note if json else output.say
    tell(f"Records of {topics.ledger.name} and {topics.settings.name} are lost. Without them the worker does not know:")
    for one in NOT_KNOWN:
        tell(f"  - {one}")
    tell("Accounts whose settings are lost deliver nothing until they are connected again.")
    output.confirm("Continue without them?", yes=yes)
    with (
        DatabaseLock(app.config.staging.path),
        closing(app.open_database()) as db,
        closing(app.open_reader(db)) as reader,
    ):
        accept_loss(app.changelog, reader)
    if json:
        output.as_json({"accepted": [topics.ledger.name, topics.settings.name]})
        return
    output.say(
        "This is stored in Kafka, for all workers. Start them again: the next flush reads who ever left each list."
    )
