"""Commands that repair, publish and copy: ``resync``, ``move-ledger``, ``publish`` and ``backup``."""

from __future__ import annotations

import time
from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from worker.accounts import settings
from worker.changelog.backfill import move
from worker.changelog.commit import commit_in_parts
from worker.cli import output
from worker.cli.context import AccountArgument, Json, address_of, changing, load_app
from worker.cli.drift import compare_with_mailchimp
from worker.cli.progress import Progress
from worker.errors import NotFound, UsageError
from worker.model import AccountId
from worker.publish import publish as publish_file
from worker.sqlite.backup import back_up
from worker.sqlite.lock import DatabaseLock
from worker.sqlite.rows import Changed, Kind
from worker.status.other_workers import elsewhere
from worker.store import customers, ignored, marking, refusals
from worker.system.signals import stop_on_signals
from worker.text.plural import counted


def resync(
    account: AccountArgument,
    email: Annotated[
        str | None, typer.Option("--email", metavar="EMAIL", help="Only customers who have or had this address.")
    ] = None,
    clear_suppressed: Annotated[
        bool,
        typer.Option("--clear-suppressed", help="Also retry what Mailchimp refused for a reason that may have passed."),
    ] = False,
    forget_version: Annotated[
        bool,
        typer.Option(
            "--forget-version",
            help="Also forget the highest version, so that the ignored event, or the next one, counts.",
        ),
    ] = False,
    from_mailchimp: Annotated[
        bool,
        typer.Option("--from-mailchimp", help="Read every list in full, and show what differs from what was sent."),
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="With --from-mailchimp: send fields again that were edited there.")
    ] = False,
    json: Json = False,
) -> None:
    """Let the next flush check an account's customers again, or one of them. People who left a list stay off it."""
    app = load_app()
    if overwrite and not from_mailchimp:
        raise UsageError("--overwrite was given without --from-mailchimp.", "Give both.")
    if from_mailchimp:
        if email is not None or clear_suppressed or forget_version:
            raise UsageError("--from-mailchimp compares whole lists.", "Give it without --email and the other options.")
        compare_with_mailchimp(app, AccountId(account), stop_on_signals(), overwrite=overwrite, json=json)
        return
    address = address_of(email) if email is not None else None
    # Only these write to the ledger, which ends a flush under way of all accounts of the partition.
    writes_ledger = address is not None or clear_suppressed or forget_version
    with changing(app, (lambda db: [AccountId(account)]) if writes_ledger else None) as db:
        settings.load(db, AccountId(account))
        cleared, lasting = 0, 0
        if clear_suppressed:
            lasting = refusals.lasting_count(db, AccountId(account), address)
            cleared = commit_in_parts(
                app.changelog,
                db,
                refusals.clearable(db, AccountId(account), address),
                lambda part: refusals.clear(db, AccountId(account), part),
            )

        def mark() -> Changed[tuple[int, int]]:
            nothing: Changed[int] = Changed(0, ())
            forgotten = ignored.forget_versions(db, AccountId(account), address) if forget_version else nothing
            marked = marking.mark_changed(db, AccountId(account), address)
            return Changed((forgotten.result, marked.result), [*forgotten.rows, *marked.rows])

        forgotten, marked = app.changelog.commit(db, mark)
        with Progress("marking") as progress:
            marking.mark_the_rest(db, progress.counted)
        other = elsewhere(app.config, db, AccountId(account)) if address is not None else None
        if marked and address is None:
            marked = customers.count_of(db, AccountId(account))
    if not marked:
        whom = f"has or had {email}" if email else "is staged"
        advice = "See how far the worker has read: mailchimp-worker status"
        if email:
            advice = f"Check the address, and see whether another account has it: mailchimp-worker explain {email}"
        raise NotFound(f"No customer of account {account} {whom}.", f"{other} {advice}" if other else advice)
    if other:
        output.note(other)
    if json:
        counts = {"customers": marked, "refusals_cleared": cleared, "refusals_lasting": lasting}
        output.as_json({"account_id": account, **counts, "versions_forgotten": forgotten})
        return
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
            "state. Only they can join again, through the list's form; the worker notices it with the next daily flush."
        )


def move_ledger(json: Json = False) -> None:
    """Copy ledger and settings from this database to Kafka. Run it once, for a database of a release without them."""
    app = load_app()
    with (
        DatabaseLock(app.config.staging.path),
        closing(app.open_database()) as db,
        closing(app.open_reader(db)) as reader,
        Progress("moving") as progress,
    ):
        moved = move(db, app.changelog, reader, progress.counted)
    names: dict[Kind, str] = {"place": "list entry", "customer": "customer", "account": "account"}
    written = ", ".join(counted(moved[kind], name) for kind, name in names.items() if moved[kind])
    line = f"Written to Kafka: {written}." if written else "Kafka has everything that this database knows."
    data = {"accounts": moved["account"], "customers": moved["customer"], "list_entries": moved["place"]}
    output.result(data, line, json=json)


def publish(
    file: Annotated[
        Path, typer.Argument(metavar="FILE.jsonl", help="Events, one JSON object on each line; - reads standard input.")
    ],
    json: Json = False,
) -> None:
    """Check events, and publish them to Kafka with the key and partition of the event contract."""
    app = load_app()
    topic, began = app.config.kafka.topic, time.monotonic()
    with Progress("publishing") as progress:
        count = publish_file(app.config.kafka, file, progress.counted)
    seconds = max(time.monotonic() - began, 0.001)
    rate = f"{count / seconds:,.0f} a second"
    line = f"Published {counted(count, 'event')} to {topic} in {seconds:.1f} s ({rate})."
    output.result({"published": count, "topic": topic, "seconds": round(seconds, 3)}, line, json=json)


def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The file to write. It must not exist yet.")],
    json: Json = False,
) -> None:
    """Copy the database to a file; the worker may be running. The copy does not include the secret key."""
    app = load_app()
    with closing(app.open_existing()) as db, Progress("copying") as progress:
        size = back_up(db, file, progress.update)
    line = f"Wrote {file} ({size / 1e6:.1f} MB). Keep the secret key too, in another place: it is not in the copy."
    output.result({"file": str(file), "bytes": size}, line, json=json)
