"""``mailchimp-worker check``: whether everything that the worker needs is in place."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, dataclass

import typer

from worker.accounts import settings
from worker.app import App
from worker.changelog.topics import check_topics
from worker.cli import output
from worker.cli.context import Json, opened, wired
from worker.errors import KafkaError, LedgerLost, NotMoved, WorkerError
from worker.flush import eligibility
from worker.kafka import admin
from worker.mailchimp.errors import explained
from worker.mailchimp.lists import PING
from worker.plural import counted
from worker.store import accounts, dead_letters, ignored, offsets
from worker.store.accounts import AccountSettings
from worker.store.database import Database

NAMED = 5
"""Customers and accounts that are named where more may be concerned."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was checked.

    Attributes:
        ok: None where it could not be checked.
        warning: whether it is right, but an operator should know of it.
    """

    what: str
    ok: bool | None
    found: str
    warning: bool = False


def check(json: Json = False) -> None:
    """Check config, database, secret key, Kafka and every account with Mailchimp. Exits with 1 if anything is wrong."""
    app = wired()
    with opened(app) as db:
        found = [Finding("config", True, "valid"), *_findings(app, db)]
    if json:
        output.as_json([asdict(one) for one in found])
    else:
        marks = {True: "ok", False: "FAILED", None: "not known"}
        rows = [("warning" if one.warning else marks[one.ok], one.what, one.found) for one in found]
        output.table(("", "what", "found"), rows)
    raise typer.Exit(1 if any(one.ok is False for one in found) else 0)


def _findings(app: App, db: Database) -> Iterator[Finding]:
    yield Finding("database", True, f"{app.config.staging.path} can be used")
    try:
        yield Finding("secret key", True, f"read from {app.secret.where}")
    except WorkerError as error:
        yield Finding("secret key", False, f"{error.what} {error.advice}")
    yield from (Finding(one.what, one.ok, one.found) for one in admin.check(app.config.kafka))
    with contextlib.suppress(KafkaError):  # reported above
        yield from _topics(app)
    scattered = offsets.scattered_accounts(db, app.config.kafka.topic)
    if scattered:
        count = counted(len(scattered), "account")
        what = f"{count} with events in more than one partition. Publish them as the event contract says."
        yield Finding("partitions", False, what)
    yield from _placement(db, app.config.kafka.topic)
    if stuck := _stuck(db):
        yield Finding("versions", False, stuck)
    if letters := dead_letters.of_changelog(db):
        numbers = ", ".join(str(one.number) for one in letters[:5])
        what = f"Cannot apply {counted(len(letters), 'record')} (dead letters {numbers}); their accounts wait. "
        yield Finding("ledger and settings", False, f"{what}See mailchimp-worker dead-letters show {letters[0].number}")
    for one in accounts.all_accounts(db):
        yield _account(app, db, one)


def _placement(db: Database, topic: str) -> Iterator[Finding]:
    size = offsets.size_of(db, topic)
    differs = eligibility.what_differs(topic, size) if size is not None else None
    if differs is not None:
        yield Finding("numbers of partitions", False, differs)
    found = eligibility.misplaced(db, topic)
    if found:
        named = ", ".join(map(str, found[:NAMED]))
        count = counted(len(found), "account")
        what = f"{count} with events and ledger in different partitions: {named}. {eligibility.REMEDY}"
        yield Finding("misplaced accounts", False, what)


def _topics(app: App) -> Iterator[Finding]:
    there = True
    for topic in check_topics(app.config.kafka):
        found = topic.wrong or topic.weak or f"{counted(topic.partitions, 'partition')}, compacted"
        if topic.warning:
            found += f"; {topic.warning}"
        ok = topic.wrong is None and topic.weak is None
        yield Finding(f"topic {topic.name}", ok, found, warning=ok and topic.warning is not None)
        there = there and topic.partitions > 0 and topic.wrong is None
    if there:
        try:
            with closing(app.open_database()) as copy, closing(app.open_reader(copy)) as reader:
                reader.read_settings()
                reader.check_topics()
                reader.check_ledger()
        except (LedgerLost, NotMoved) as error:
            yield Finding("ledger", False, f"{error.what} {error.advice}")
        else:
            yield Finding("ledger", True, "complete, from its beginning")


def _stuck(db: Database) -> str | None:
    found = ignored.stuck(db, NAMED)
    if not found:
        return None
    named = ", ".join(
        f"{one.account_id}/{one.customer_id} ({one.address or 'without an address'}: version {one.ignored_version} "
        f"came after {one.version})"
        for one in found
    )
    return (
        f"{counted(ignored.count(db), 'customer')} with an older event in use, because a later one has a lower "
        f"version: {named}. If the higher version is wrong: mailchimp-worker resync ACCOUNT --email EMAIL "
        "--forget-version"
    )


def _account(app: App, db: Database, one: AccountSettings) -> Finding:
    what = f"account {one.account_id}"
    if lacking := settings.missing(one):
        # An account that was never enabled is no fault; a paused one waits for somebody.
        unfinished = all(lack.code in ("not_enabled",) for lack in lacking)
        return Finding(what, unfinished or False, f"{lacking[0].what} {lacking[0].advice}")
    try:
        with app.open_client_of(db, one.account_id) as sender:
            answer = sender.send(PING)
        if not answer.ok:
            raise explained(answer)
    except WorkerError as error:
        return Finding(what, False, f"{error.what} {error.advice}")
    gone = [each.name for each in one.stored if each.gone]
    paused = [each.name for each in one.stored if each.pause]
    if gone or paused:
        return Finding(what, False, f"Lists gone or paused: {', '.join([*gone, *paused])}.")
    return Finding(what, True, "Mailchimp accepts its API key")
