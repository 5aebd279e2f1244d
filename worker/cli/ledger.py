"""Commands on the ledger in Kafka: ``mailchimp-worker ledger …``."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from typing import Annotated

import typer

from worker.app import App
from worker.changelog import signatures
from worker.changelog.backfill import accept_loss
from worker.changelog.loss import NOT_KNOWN
from worker.changelog.reader import Reader
from worker.cli import output
from worker.cli.context import Json, changing, load_app
from worker.cli.progress import Progress
from worker.errors import LedgerLost, UsageError
from worker.model import AccountId
from worker.sqlite.database import Database
from worker.sqlite.lock import DatabaseLock
from worker.store import dead_letters
from worker.text.plural import counted

_ANOTHER_KEY = (
    "Some of these records are signed with another secret key. If another worker has a new key, answer no: this "
    "command would write older rows over newer ones. Set the new key here first; mailchimp-worker check says how."
)
commands = typer.Typer(no_args_is_help=True, help="The ledger in Kafka: sign it; continue after it was lost.")


@commands.callback()
def _root() -> None:
    pass


@commands.command("accept-loss")
def accept(yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False, json: Json = False) -> None:
    """Continue with the ledger and settings that Kafka still has, although records of them are lost."""
    app = load_app()
    topics = app.changelog.topics
    names = [topics.ledger.name, topics.settings.name]
    say = output.note if json else output.say
    with (
        DatabaseLock(app.config.staging.path),
        closing(app.open_database()) as db,
        closing(app.open_reader(db)) as reader,
    ):
        lost = _what_is_lost(reader, topics.ledger.partitions)
        if lost is None:
            output.result({"accepted": []}, f"Nothing is lost: {' and '.join(names)} are complete.", json=json)
            return
        say(f"{lost} Without these records the worker does not know:")
        for loss in NOT_KNOWN:
            say(f"  - {loss}")
        say("Accounts whose settings are lost deliver nothing until they are connected again.")
        output.confirm("Continue without them?", yes=yes)
        accept_loss(app.changelog, reader)
    line = (
        "Your decision is stored in Kafka for all workers. Start them again. The next flush reads everyone who ever "
        "left each list."
    )
    output.result({"accepted": names}, line, json=json)


def _what_is_lost(reader: Reader, partitions: int) -> str | None:
    """Returns what says that records of ledger or settings are lost; None if both are complete."""
    try:
        reader.read_settings()
        reader.check_topics()
        reader.check_ledger()
        for partition in range(partitions):
            reader.read_ledger(partition)
    except LedgerLost as lost:
        return lost.message
    return None


@commands.command("sign")
def sign(
    drop_unknown: Annotated[
        bool, typer.Option("--drop-unknown", help="Also remove refused records that this database has nothing for.")
    ] = False,
    believe: Annotated[
        bool, typer.Option("--believe", help="Sign refused records as they are: an earlier release wrote them.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    json: Json = False,
) -> None:
    """Sign the records of a release that did not sign. Run it once after the upgrade, with all workers stopped.

    Later, it overwrites refused records with what this database has.
    """
    if drop_unknown and believe:
        raise UsageError("--drop-unknown and --believe exclude each other.", "Give one of them.")
    app = load_app()
    with DatabaseLock(app.config.staging.path):
        with closing(app.open_database()) as db:
            signed = _first_time(app, db, yes=yes, believe=believe)
        if signed is not None:
            _print_signed(signed, json=json)
            return

        def accounts_refused(db: Database) -> set[AccountId]:
            return {letter.account_id for letter in app.signing(db).refused() if letter.account_id is not None}

        with changing(app, accounts_refused) as db:
            signing = app.signing(db)
            refused = signing.refused()
            if refused:
                if not believe and dead_letters.count_because(db, signatures.WRONG):
                    output.note(_ANOTHER_KEY)
                question = "Sign them as they are" if believe else "Overwrite them with what this database has"
                output.confirm(
                    f"{counted(len(refused), 'record')} refused; see dead-letters list. {question}?", yes=yes
                )
            counts = signing.resolve_refused("believe" if believe else "drop" if drop_unknown else "restore")
    _print_settled(counts, json=json)


def _first_time(app: App, db: Database, *, yes: bool, believe: bool) -> Mapping[str, int] | None:
    if not app.signing(db).unsigned():
        return None
    topics = app.changelog.topics
    output.confirm(
        f"Sign all records of {topics.ledger.name} and {topics.settings.name} as they are? Do this only after a "
        "release that did not sign: anyone who could write to these topics may have changed the records.",
        yes=yes,
    )
    with Progress("signing") as progress:
        return app.signing(db, progress.counted).write_again(first_time=True, believe=believe)


def _print_signed(counts: Mapping[str, int], *, json: bool) -> None:
    if json:
        output.as_json({"signed": counts["ledger"] + counts["settings"], "signed_before": counts["signed"]})
        return
    output.say(f"Signed {counted(counts['ledger'], 'ledger record')} and {counts['settings']} of settings.")
    if counts["signed"]:
        output.say(
            f"{counted(counts['signed'], 'record')} were signed already. Unless an earlier run of this command was "
            "interrupted, find out who wrote the others: an earlier release cannot have written after this one."
        )
    output.say("Start the workers.")


def _print_settled(counts: Mapping[str, int], *, json: bool) -> None:
    kinds = ("restored", "dropped", "believed", "left")
    if json:
        output.as_json({"signed": 0, **{kind: counts.get(kind, 0) for kind in kinds}})
        return
    if not counts:
        output.say("Everything is signed, and no record was refused.")
        return
    summary = ", ".join(f"{counts[kind]} {kind}" for kind in kinds if counts.get(kind))
    output.say(f"Refused records: {summary}.")
    if left := counts.get("left"):
        output.say(
            f"This database has nothing for {counted(left, 'record')}. Run the command at the worker that has the "
            "account. If no worker has it, add --drop-unknown."
        )
