"""Commands that repair and erase: ``resync``, ``forget``, ``publish`` and ``dead-letters …``."""

from __future__ import annotations

import base64
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from worker.accounts import settings
from worker.accounts.forget import forget_person, people_at
from worker.app import App
from worker.changelog.backfill import move
from worker.changelog.commit import commit_in_parts
from worker.cli import output
from worker.cli.context import AccountArgument, Json, changing, existing, opened, wired
from worker.cli.progress import Progress, Steps
from worker.clock import as_text
from worker.consumer.batch import replay as replay_letter
from worker.consumer.publish import publish as publish_file
from worker.errors import NotFound, UsageError, WorkerError
from worker.model import AccountId, AddressKey, address_key
from worker.plural import counted
from worker.store import customers, dead_letters, ignored, ledger
from worker.store.changed_rows import Changed, Kind
from worker.store.database import Database
from worker.store.dead_letters import DeadLetter
from worker.store.lock import DatabaseLock

letters = typer.Typer(no_args_is_help=True, help="Records that could not be understood: list, show, replay, drop.")

NumbersArgument = Annotated[list[int], typer.Argument(metavar="N", help="Numbers of dead letters.")]


def resync(
    account: AccountArgument,
    email: Annotated[str | None, typer.Option("--email", help="Only customers who have or had this address.")] = None,
    clear_suppressed: Annotated[
        bool,
        typer.Option("--clear-suppressed", help="Also try again what was refused for a reason that may have passed."),
    ] = False,
    forget_version: Annotated[
        bool,
        typer.Option(
            "--forget-version",
            help="Also forget the highest version: the event that was ignored for it, or the next one, counts.",
        ),
    ] = False,
) -> None:
    """Mark every customer of the account, or one, for the next flush. People who left a list still stay off it."""
    app = wired()
    address = _address(email) if email is not None else None
    with changing(app, lambda db: [AccountId(account)]) as db:
        settings.load(db, AccountId(account))
        cleared, lasting = 0, 0
        if clear_suppressed:
            refused, lasting = ledger.refused(db, AccountId(account), address)
            cleared = commit_in_parts(
                app.changelog, db, refused, lambda part: ledger.clear_refusals(db, AccountId(account), part)
            )
        forgotten, marked = app.changelog.commit(
            db, partial(_mark, db, AccountId(account), address, forget_version=forget_version)
        )
        with Progress("marking") as progress:
            customers.mark_the_rest(db, progress.counted)
        if marked and address is None:
            marked = customers.count_of(db, AccountId(account))
    if not marked:
        whom = f"has or had {email}" if email else "is staged"
        raise NotFound(f"No customer of account {account} {whom}.", "See what is staged: mailchimp-worker status")
    output.say(f"The next flush checks {counted(marked, 'customer')} of account {account} again.")
    if clear_suppressed:
        output.say(f"Cleared {counted(cleared, 'refusal')}.")
    if forget_version:
        output.say(
            f"Forgot the highest version of {counted(forgotten, 'customer')}; the next event of each counts again."
        )
    if lasting:
        output.say(
            f"{counted(lasting, 'refusal')} not cleared: Mailchimp forgot these people or holds them in compliance "
            "state. Only they can join again, by the list's form."
        )


def _mark(
    db: Database, account_id: AccountId, address: AddressKey | None, *, forget_version: bool
) -> Changed[tuple[int, int]]:
    nothing: Changed[int] = Changed(0, ())
    forgotten = ignored.forget_versions(db, account_id, address) if forget_version else nothing
    marked = customers.mark_changed(db, account_id, address)
    return Changed((forgotten.result, marked.result), [*forgotten.rows, *marked.rows])


def forget(
    email: Annotated[str, typer.Argument(metavar="EMAIL", help="The person's address.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Erase one person from the database: customers, ledger, receipts and dead letters. Mailchimp is not touched."""
    address = _address(email)
    app = wired()
    output.confirm(f"Erase everything known here of {address}?", yes=yes)
    with changing(app, lambda db: [one for one, _ in people_at(db, address)]) as db, Steps() as steps:
        gone = forget_person(db, app.changelog, address, secret=app.secret, at=app.clock(), told=steps.told)
    if not any(gone.values()):
        raise NotFound(f"No customer with the address {address}.", "Nothing was erased.")
    erased = ", ".join(
        _counted(count, _ERASED.get(what, what.removesuffix("s"))) for what, count in gone.items() if count
    )
    output.say(f"Erased of {address}: {erased}.")
    output.say("Its events stay in Kafka until billmywork publishes its deletion; its member stays in Mailchimp.")


_ERASED = {"places": "list entry"}


def _counted(number: int, noun: str) -> str:
    return counted(number, noun, "list entries" if noun == "list entry" else None)


def move_ledger() -> None:
    """Write what this database alone knows of ledger and settings to Kafka: once, after it was made without them."""
    app = wired()
    with (
        DatabaseLock(app.config.staging.path),
        closing(app.open_database()) as db,
        closing(app.open_reader(db)) as reader,
    ):
        moved = move(db, app.changelog, reader)
    names: dict[Kind, str] = {"place": "list entry", "customer": "customer", "account": "account"}
    written = ", ".join(_counted(moved[kind], name) for kind, name in names.items() if moved[kind])
    output.say(f"Written to Kafka: {written}." if written else "Kafka has everything that this database knows.")


def publish(
    file: Annotated[Path, typer.Argument(metavar="FILE.jsonl", help="Events, one JSON a line; - for standard input.")],
) -> None:
    """Publish events to Kafka, keyed and partitioned as the event contract says."""
    app = wired()
    with Progress("publishing") as progress:
        count = publish_file(app.config.kafka, file, progress.counted)
    output.say(f"Published {counted(count, 'event')} to {app.config.kafka.topic}.")


@letters.command("list")
def list_letters(
    limit: Annotated[int, typer.Option("--limit", min=1, help="How many, the newest.")] = 100, json: Json = False
) -> None:
    """List records that could not be understood."""
    app = wired()
    with existing(app) as db:
        found = dead_letters.all_letters(db, limit)
    if json:
        output.as_json([_as_data(one) for one in found])
    elif not found:
        output.say("There are no dead letters: every record was understood.")
    else:
        output.table(
            ("number", "read at", "partition", "offset", "key", "reason"),
            [(one.number, one.read_at, one.partition, one.offset, _text(one.key), one.reason) for one in found],
        )


@letters.command()
def show(number: Annotated[int, typer.Argument(metavar="N")], json: Json = False) -> None:
    """Show one record whole, and why it could not be understood."""
    app = wired()
    with existing(app) as db:
        one = _letter(db, number)
    if json:
        output.as_json(_as_data(one))
        return
    output.table(
        ("", ""),
        [
            ("number", str(one.number)),
            ("read", f"{one.topic}, partition {one.partition}, offset {one.offset}, at {one.read_at}"),
            ("reason", one.reason),
            ("key", _text(one.key)),
            ("headers", ", ".join(f"{name}={_text(value)}" for name, value in one.headers) or "none"),
        ],
    )
    output.say("value")
    for line in (_text(one.value) or "").splitlines():
        output.say(f"  {line}")


@letters.command()
def replay(numbers: NumbersArgument) -> None:
    """Read records again as this release understands them; those it does are staged and no longer kept."""
    app = wired()
    failed = 0
    with opened(app) as db:
        found = [_letter(db, number) for number in numbers]
        for one in found:
            reason = _replay(app, db, one)
            failed += reason is not None
            done = "staged" if one.account_id is None else "applied"
            output.say(f"{one.number}: {done if reason is None else f'still not understood: {reason}'}")
    if failed:
        raise WorkerError(
            f"Not understood still: {failed} of {counted(len(found), 'record')}.", "Correct and publish them again."
        )


@letters.command()
def drop(numbers: NumbersArgument) -> None:
    """Remove records for good."""
    app = wired()
    with opened(app) as db:
        found = [_letter(db, number) for number in numbers]
        with db.transaction():
            for one in found:
                dead_letters.drop(db, one.number)
    output.say(f"Removed {counted(len(found), 'dead letter')}.")


def _replay(app: App, db: Database, one: DeadLetter) -> str | None:
    if one.account_id is None:
        return replay_letter(db, one, as_text(app.clock()), app.hash_key)
    with closing(app.open_database()) as copy, closing(app.open_reader(copy)) as reader:
        reader.apply_letters()
    return None if dead_letters.find(db, one.number) is None else one.reason


def _letter(db: Database, number: int) -> DeadLetter:
    found = dead_letters.find(db, number)
    if found is None:
        raise NotFound(f"There is no dead letter {number}.", "List them: mailchimp-worker dead-letters list")
    return found


def _as_data(one: DeadLetter) -> dict[str, Any]:
    return {
        "number": one.number,
        "topic": one.topic,
        "partition": one.partition,
        "offset": one.offset,
        "read_at": one.read_at,
        "reason": one.reason,
        "key": _text(one.key),
        "value": _text(one.value),
        "value_base64": None if one.value is None else base64.b64encode(one.value).decode(),
        "headers": [[name, _text(value)] for name, value in one.headers],
    }


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("utf-8", "backslashreplace")


def _address(email: str) -> AddressKey:
    address = address_key(email)
    if address is None:
        raise UsageError("No address was given.", "Give the address that you mean.")
    return address
