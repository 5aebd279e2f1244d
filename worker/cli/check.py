"""``mailchimp-worker check``: whether a flush now would deliver everything."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from worker.accounts.secrets import BESIDE_THE_DATA
from worker.accounts.settings import missing
from worker.app import App
from worker.cli import output
from worker.cli.context import Json, load_app
from worker.cli.drift import differences
from worker.cli.progress import Progress
from worker.clock import Stop
from worker.errors import DatabaseError, KafkaError, WorkerError
from worker.kafka.admin import POLICY
from worker.model import AccountId
from worker.sqlite.database import Database
from worker.sqlite.existing import is_there, is_writable
from worker.sqlite.file import why_no_room
from worker.status.account_facts import facts_of
from worker.status.check_accounts import check_account
from worker.status.check_kafka import NUMBERS, CheckedTopics, check_changelog, check_staging, checked_topics
from worker.status.checks import Finding, Level, exit_code, ok
from worker.status.previous_key import finding, previous_key
from worker.store import accounts, offsets
from worker.store.totals import why_not_writable
from worker.system.private_files import is_open_to_others
from worker.system.signals import stop_on_signals
from worker.text.plural import counted


def check(
    deep: Annotated[
        bool, typer.Option("--deep", help="Also compare every Mailchimp list in full; print counts only.")
    ] = False,
    json: Json = False,
) -> None:
    """Check whether a flush now would deliver everything: config, database, Kafka, every account with Mailchimp.

    Exits with 0 if it would, 3 if somebody must look, 1 if something is wrong.
    """
    findings = list(_findings(load_app(), deep=deep))
    if json:
        names = {"subject": "what", "message": "found"}
        output.as_json(
            [{names.get(name, name): value for name, value in asdict(result).items()} for result in findings]
        )
    else:
        rows = [
            (result.level.upper() if result.level is Level.FAILED else result.level, result.subject, result.text)
            for result in findings
        ]
        output.table(("", "what", "found"), rows)
    raise typer.Exit(exit_code(findings))


def _secret_key(app: App) -> Finding:
    where = f"read from {app.secret.where}"
    if app.config.secret_key is None and app.config.secret_key_file is None:
        return Finding("secret key", Level.ATTENTION, f"{where}.", BESIDE_THE_DATA, hinders=False)
    return ok("secret key", where)


def _database(db: Database, path: Path) -> Finding:
    writable = is_writable(path)
    db.must_end = lambda: True  # a probe waits for no lock
    why = why_not_writable(db) if writable else why_no_room(path)
    db.must_end = None
    if why is not None:
        advice = "Make room on the disk, or make the file system and the file writable."
        return Finding("database", Level.FAILED, f"Nothing can be written. {why}", advice)
    can = f"{path.absolute()} can be {'used' if writable else 'read'}"
    if is_open_to_others(path.absolute().parent):
        advice = "Only the worker's user can read its files anyway. To close the folder: chmod 700"
        text = f"{can}; other users may enter its folder."
        return Finding("database", Level.ATTENTION, text, f"{advice} {path.absolute().parent}", hinders=False)
    return ok("database", can)


def _findings(app: App, *, deep: bool) -> Iterator[Finding]:
    path = app.config.staging.path
    yield ok("config", "valid")
    if not is_there(path):
        advice = "Run this in the worker's folder, or connect the first account: mailchimp-worker account connect ID"
        yield Finding("database", Level.ATTENTION, f"There is no database at {path.absolute()} yet.", advice)
        yield from checked_topics(app.config.kafka, outcomes=app.config.outcomes.enabled).findings
        return
    try:
        opened = app.open_existing()
    except DatabaseError as error:
        message = f"{error.message} {why_no_room(path) or ''}".rstrip()
        yield Finding("database", Level.FAILED, message, error.advice)
        yield from checked_topics(app.config.kafka, outcomes=app.config.outcomes.enabled).findings
        return
    with closing(opened) as db:
        database = _database(db, path)
        yield database
        try:
            yield _secret_key(app)
            if (before := previous_key(db, app.secret, app.config.kafka.topic)) is not None:
                yield finding(before)
        except WorkerError as error:
            yield Finding("secret key", Level.FAILED, error.message, error.advice)
        kafka = app.config.kafka
        has_read = any(offsets.of_topic(db, name) for name in (kafka.ledger_topic, kafka.settings_topic))
        used = has_read or bool(accounts.all_ids(db))
        topics = checked_topics(kafka, outcomes=app.config.outcomes.enabled, used=used)
        yield from topics.findings
        yield from _ledger(app, database, topics)
        yield from check_staging(db, app.config.kafka.topic, topics.partitions)
        for facts in facts_of(db, app.clock()):
            yield check_account(app, db, facts)
        if deep:
            stop = stop_on_signals()
            with Progress("comparing") as progress:
                for account_settings in accounts.all_accounts(db):
                    if not missing(account_settings):
                        yield from _drift_of(app, db, account_settings.account_id, stop, progress)


def _ledger(app: App, database: Finding, topics: CheckedTopics) -> Iterator[Finding]:
    if database.level is Level.FAILED:
        yield Finding("ledger", Level.ATTENTION, "Not checked: nothing can be written to the database.")
    elif not is_writable(app.config.staging.path):
        text = "Not checked: this user may not write to the database."
        yield Finding("ledger", Level.ATTENTION, text, "Run check as the worker's user.")
    elif any(result.hinders for result in topics.findings if result.subject not in (POLICY, NUMBERS)):
        return
    elif not topics.absent:
        with suppress(KafkaError), closing(app.open_database()) as copy, closing(app.open_reader(copy)) as reader:
            yield check_changelog(reader)
    elif topics.partitions is not None:
        text = f"Not checked: there is no topic {', '.join(topics.absent)}."  # a reader would create it
        yield Finding("ledger", Level.ATTENTION, text, "Start the worker, and run check again.")


def _drift_of(app: App, db: Database, account_id: AccountId, stop: Stop, progress: Progress) -> Iterator[Finding]:
    subject, advice = f"account {account_id}", f"See what: mailchimp-worker resync {account_id} --from-mailchimp"
    try:
        for drift in differences(app, db, account_id, stop, progress, writes=False):
            counts = (
                f"{counted(drift.members, 'member')} of list {drift.list_id}, {drift.unknown} of them unknown here; "
                f"edited by hand: {drift.edited}, statuses not known yet: {drift.statuses}, "
                f"vanished: {drift.vanished}, appeared: {drift.appeared}."
            )
            yield Finding(subject, Level.ATTENTION, counts, advice, hinders=False) if drift.any else ok(subject, counts)
    except WorkerError as error:
        yield Finding(subject, Level.FAILED, error.message, error.advice)
