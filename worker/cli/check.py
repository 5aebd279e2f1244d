"""``mailchimp-worker check``: whether a flush now would deliver everything."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import typer

from worker.accounts.secrets import BESIDE_THE_DATA
from worker.app import App
from worker.cli import output
from worker.cli.context import Json, existing, wired
from worker.errors import KafkaError, WorkerError
from worker.kafka.admin import POLICY
from worker.private_files import is_open_to_others
from worker.status.account_facts import facts_of_all
from worker.status.check_accounts import check_account
from worker.status.check_kafka import check_changelog, check_staging, check_topics_of
from worker.status.checks import Finding, Level, exit_code, finding_data, ok
from worker.store.database import Database
from worker.store.existing import is_there, is_writable


def check(json: Json = False) -> None:
    """Check whether a flush now would deliver everything: config, database, Kafka, every account with Mailchimp.

    Exits with 0 if it would, 3 if somebody must look, 1 if something is wrong.
    """
    found = list(_findings(wired()))
    if json:
        output.as_json([finding_data(one) for one in found])
    else:
        output.table(("", "what", "found"), [(_mark(one), one.what, one.text) for one in found])
    raise typer.Exit(exit_code(found))


def _secret_key(app: App) -> Finding:
    where = f"read from {app.secret.where}"
    if app.config.secret_key is None and app.config.secret_key_file is None:
        return Finding("secret key", Level.ATTENTION, f"{where}.", BESIDE_THE_DATA, hinders=False)
    return ok("secret key", where)


def _database(path: Path) -> Finding:
    can = f"{path.absolute()} can be used"
    if is_open_to_others(path.absolute().parent):
        advice = "Its files are for the worker's user alone all the same. Better: chmod 700"
        found = f"{can}; other users may enter its folder."
        return Finding("database", Level.ATTENTION, found, f"{advice} {path.absolute().parent}", hinders=False)
    return ok("database", can)


def _mark(one: Finding) -> str:
    return one.level.upper() if one.level is Level.FAILED else one.level


def _findings(app: App) -> Iterator[Finding]:
    path = app.config.staging.path
    yield ok("config", "valid")
    if not is_there(path):
        advice = "Run this in the worker's folder, or connect the first account: mailchimp-worker account connect ID"
        yield Finding("database", Level.ATTENTION, f"There is none at {path.absolute()} yet.", advice)
        yield from check_topics_of(app.config.kafka, outcomes=app.config.outcomes.enabled)
        return
    with existing(app) as db:
        yield _database(path)
        try:
            yield _secret_key(app)
        except WorkerError as error:
            yield Finding("secret key", Level.FAILED, error.what, error.advice)
        topics = list(check_topics_of(app.config.kafka, outcomes=app.config.outcomes.enabled))
        yield from topics
        if not is_writable(path):
            what = "Not read: this user may not write the database."
            yield Finding("ledger", Level.ATTENTION, what, "Run check as the worker's user.")
        elif not any(one.hinders for one in topics if one.what != POLICY):
            with suppress(KafkaError):
                yield from _changelog(app)
        yield from check_staging(db, app.config.kafka.topic)
        yield from _accounts(app, db)


def _changelog(app: App) -> Iterator[Finding]:
    with closing(app.open_database()) as copy, closing(app.open_reader(copy)) as reader:
        yield check_changelog(reader)


def _accounts(app: App, db: Database) -> Iterator[Finding]:
    for facts in facts_of_all(db):
        yield check_account(app, db, facts)
