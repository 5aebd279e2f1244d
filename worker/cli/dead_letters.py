"""Commands on records that could not be understood: ``mailchimp-worker dead-letters …``."""

from __future__ import annotations

from contextlib import closing
from typing import Annotated

import typer

from worker.app import App
from worker.cli import output
from worker.cli.context import Json, load_app
from worker.clock import as_text
from worker.consumer.batch import replay as replay_letter
from worker.errors import NotFound, UsageError, WorkerError
from worker.model import AccountId
from worker.sqlite.database import Database
from worker.status.json_data import dead_letter_data, in_text
from worker.status.other_workers import elsewhere
from worker.store import dead_letters
from worker.store.dead_letters import DeadLetter
from worker.text.plural import NAMED, counted

commands = typer.Typer(no_args_is_help=True, help="Records that could not be understood: list, show, replay, drop.")

NumbersArgument = Annotated[list[int] | None, typer.Argument(metavar="N", help="Numbers of dead letters.")]
EveryOption = Annotated[bool, typer.Option("--all", help="All of them.")]
ReasonOption = Annotated[
    str | None, typer.Option("--reason", metavar="TEXT", help="All whose reason contains this text.")
]
OfAccountOption = Annotated[
    str | None, typer.Option("--account", metavar="ID", help="All whose key names this account.")
]
YesOption = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


@commands.command("list")
def list_letters(
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=1, help="At most this many, the newest.")] = 100,
    json: Json = False,
) -> None:
    """List records that could not be understood."""
    app = load_app()
    with closing(app.open_existing()) as db:
        letters = dead_letters.all_letters(db, limit + 1)
        other = elsewhere(app.config, db, None)
    if other:
        output.note(other)
    letters = list(output.newest(letters, len(letters), limit))
    if json:
        output.as_json([dead_letter_data(letter) for letter in letters])
    elif not letters:
        output.say("There are no dead letters: every record was understood.")
    else:
        output.table(
            ("number", "read at", "partition", "offset", "key", "reason"),
            [
                (letter.number, letter.read_at, letter.partition, letter.offset, in_text(letter.key), letter.reason)
                for letter in letters
            ],
        )


@commands.command()
def show(number: Annotated[int, typer.Argument(metavar="N")], json: Json = False) -> None:
    """Show one record in full, and why it could not be understood."""
    app = load_app()
    with closing(app.open_existing()) as db:
        letter = _letter(db, number)
    if json:
        output.as_json(dead_letter_data(letter))
        return
    output.table(
        ("", ""),
        [
            ("number", str(letter.number)),
            ("read", f"{letter.topic}, partition {letter.partition}, offset {letter.offset}, at {letter.read_at}"),
            ("reason", letter.reason),
            ("key", in_text(letter.key)),
            ("headers", ", ".join(f"{name}={in_text(value)}" for name, value in letter.headers) or "none"),
        ],
    )
    output.say("value")
    for line in (in_text(letter.value) or "").splitlines():
        output.say(f"  {line}")


@commands.command()
def replay(
    numbers: NumbersArgument = None,
    every: EveryOption = False,
    reason: ReasonOption = None,
    account: OfAccountOption = None,
    yes: YesOption = False,
    json: Json = False,
) -> None:
    """Read records again with this release. Those that it understands are staged and removed from here."""
    app = load_app()
    with closing(app.open_database()) as db:
        chosen = _chosen(app, db, numbers, reason, account, every=every)
        _ask("Read {} again?", chosen, asked=not numbers, yes=yes)
        results = {number: _replayed(app, db, number) for number in chosen}
    output.result(
        [{"number": number, "understood": not why, "reason": why} for number, why in results.items()],
        *(
            f"{number}: {f'still not understood: {why}' if why else 'understood and removed'}"
            for number, why in results.items()
        ),
        json=json,
    )
    if failed := [str(number) for number, why in results.items() if why is not None]:
        raise WorkerError(
            f"{len(failed)} of {counted(len(results), 'record')} could still not be understood.",
            "Publish corrected events of these customers. Then remove the records: mailchimp-worker dead-letters drop "
            + (" ".join(failed) if len(failed) <= NAMED else "N..."),
        )


@commands.command()
def drop(
    numbers: NumbersArgument = None,
    every: EveryOption = False,
    reason: ReasonOption = None,
    account: OfAccountOption = None,
    yes: YesOption = False,
    json: Json = False,
) -> None:
    """Remove records permanently."""
    app = load_app()
    with closing(app.open_database()) as db:
        chosen = _chosen(app, db, numbers, reason, account, every=every)
        _ask("Remove {} permanently?", chosen, asked=not numbers, yes=yes)
        count = dead_letters.drop_all(db, chosen)
    output.result({"dropped": count}, f"Removed {counted(count, 'dead letter')}.", json=json)


def _chosen(
    app: App, db: Database, numbers: list[int] | None, reason: str | None, account: str | None, *, every: bool
) -> list[int]:
    if bool(numbers) + every + (reason is not None or account is not None) != 1:
        raise UsageError("You did not say which dead letters.", "Give their numbers, --all, --reason or --account.")
    if numbers:
        return [_letter(db, number).number for number in numbers]
    account_id = AccountId(account) if account is not None else None
    if other := elsewhere(app.config, db, account_id):
        output.note(other)
    return dead_letters.matching(db, reason, account_id)


def _ask(question: str, chosen: list[int], *, asked: bool, yes: bool) -> None:
    if not chosen:
        raise NotFound("No dead letter matches.", "List them: mailchimp-worker dead-letters list")
    if asked:
        output.confirm(question.format(counted(len(chosen), "dead letter")), yes=yes)


def _replayed(app: App, db: Database, number: int) -> str | None:
    letter = dead_letters.find(db, number)
    if letter is None:
        return None  # replaying an earlier one replayed this one too, as with ledger and settings
    if letter.account_id is None:
        return replay_letter(db, letter, as_text(app.clock()), app.hash_key)
    with closing(app.open_database()) as copy, closing(app.open_reader(copy)) as reader:
        reader.apply_dead_letters()
    return None if dead_letters.find(db, letter.number) is None else letter.reason


def _letter(db: Database, number: int) -> DeadLetter:
    letter = dead_letters.find(db, number)
    if letter is None:
        raise NotFound(f"There is no dead letter {number}.", "List them: mailchimp-worker dead-letters list")
    return letter
