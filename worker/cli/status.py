"""``mailchimp-worker status``: what is so now, what waits, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Annotated, Any

import typer

from worker.app import App
from worker.cli import output
from worker.cli.context import Json, existing, wired
from worker.errors import SecretKeyError
from worker.plan.outcomes import MEANINGS
from worker.sqlite.database import Database
from worker.sqlite.lock import seconds_since_beat
from worker.status.live import read_live
from worker.status.other_workers import all_workers
from worker.status.overview import overview
from worker.status.previous_key import previous_key
from worker.text.plural import counted

ALIVE_SECONDS = 60.0
NAMED = 5
NOTES = {
    "key_disagrees": ("event", "whose key names a different customer from the data"),
    "out_of_order": ("event", "with a lower version at a higher offset: compaction may keep the wrong one"),
    "absent": ("customer", "in the ledger and not in the log; if they were deleted, publish them again as .deleted"),
    "misplaced": ("event", "in another partition than the contract says"),
    "recreated": ("time", "that the topic was recreated"),
    "expired": ("time", "that events expired unread"),
    "away": (
        "time",
        "that no worker read a partition for longer than it keeps deletions; the log shows what was missed",
    ),
}


def status(
    alive: Annotated[
        bool, typer.Option("--alive", help="Print nothing; exit with 0 if a worker is at work, else with 1.")
    ] = False,
    json: Json = False,
) -> None:
    """Show the worker, what it reads, what waits and since when, each account's state and what to do, and past flushes.

    Run it as the worker's user. Accounts and flushes are those of this database's worker.
    """
    app = wired()
    path = app.config.staging.path
    beat = seconds_since_beat(path)
    if alive:
        raise typer.Exit(0 if beat is not None and beat < ALIVE_SECONDS else 1)
    with existing(app) as db:
        live = read_live(path)
        found = overview(db, app.config, app.clock(), beat=beat, live=live)
        workers = all_workers(app.config, db, live if beat is not None else None)
        found["previous_key"] = _previous_key(app, db)
    found["workers"] = None if workers is None else [asdict(one) for one in workers]
    if json:
        output.as_json(found)
        return
    for what, text in (*_worker(found), *_attention(found), *_publishers(found), *_failures(found)):
        output.say(f"{what:<12} {text}")
    _tell_partitions(found)
    _tell_workers(found["workers"])
    _tell_accounts(found)
    _tell_runs(found["runs"])


def _previous_key(app: App, db: Database) -> dict[str, Any] | None:
    if app.config.previous_secret_key is None:
        return None
    try:
        found = previous_key(db, app.secret, app.config.kafka.topic)
    except SecretKeyError as error:
        return {"needed": None, "words": f"not known: {error.what}", "advice": error.advice}
    return asdict(found) | {"needed": found.needed, "words": found.words, "advice": found.advice} if found else None


def _worker(found: dict[str, Any]) -> Iterator[tuple[str, str]]:
    worker, beat = found["worker"], found["worker"]["seconds_since_heartbeat"]
    if beat is None:
        yield "worker", "not running"
    else:
        where = f" on {worker['host']}, process {worker['pid']}" if worker["host"] else ""
        stuck = f", but it has done nothing for {beat:.0f} s" if beat >= ALIVE_SECONDS and worker["host"] else ""
        yield "worker", f"running{where}{stuck}"
    yield "database", worker["database"]
    yield "Kafka", found["broker"]["words"]
    for one in found["flushes"]:
        yield "delivering", one["words"]
    if (before := found["previous_key"]) is not None:
        yield "previous key", " ".join(filter(None, (before["words"], before["advice"])))
    yield "next flush", f"{found['next_flush_in_words']} ({found['flush_at']})"
    yield "customers", f"{found['customers']} staged, {found['customers_waiting']} changed since the last delivery"
    yield (
        "receipts",
        f"complete since {found['receipts_since_in_words']}; for earlier flushes, explain shows the last outcomes",
    )


def _attention(found: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for one in found["accounts"]:
        for held in one["held"]:
            yield "held", f"account {one['account_id']}: {held['words']}"
        for line in one["left_out_in_words"]:
            yield "left out", f"account {one['account_id']}, its last flush: {line}"
    if count := found["suppressed"]:
        without = count - found["refused_with_receipt"]
        missing = f" ({without} of them without a receipt in this database)" if without > 0 else ""
        yield "refused", f"{counted(count, 'customer')} refused by Mailchimp{missing}; see receipts --refused"
    run = found["runs"][0]["run"] if found["runs"] else None
    for outcome, count in found["needs_somebody"].items():
        said = f"{counted(count, 'customer')} {outcome} in the last run: {MEANINGS[outcome].sentence}"
        yield "attention", f'{said} See receipts --run {run} --outcome "{outcome}"'
    for one in found["erasures"]:
        whom = f"account {one['account_id']}" if one["account_id"] else "a person"
        by = ", ".join(one["done_by"]) or "no worker yet"
        yield "erasing", f"{whom}, asked {one['age']} ago: carried out by {by}"
    if refused := found["records_refused"]:
        refused_text = f"{counted(refused, 'ledger or settings record')} refused: not signed with the secret key"
        yield "attention", f"{refused_text}; see check"
    if found["dead_letters"]:
        yield "dead letters", f"{counted(found['dead_letters'], 'record')} not understood; see dead-letters list"


def _publishers(found: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for what, (noun, meaning) in NOTES.items():
        if count := found["counts"].get(what):
            yield "publisher", f"{counted(count, noun)} {meaning}"
    if count := found["stuck_customers"]:
        yield (
            "publisher",
            f"{counted(count, 'customer')} with an older event in use, because the version of a later one is lower; "
            "check names them",
        )
    if misplaced := found["misplaced_accounts"]:
        named = ", ".join(one["account_id"] for one in misplaced[:NAMED])
        yield (
            "publisher",
            f"{counted(len(misplaced), 'account')} with events and ledger in different partitions: {named}; several "
            "workers do not deliver them, see check",
        )
    if scattered := found["scattered_accounts"]:
        named = ", ".join(sorted(scattered)[:NAMED])
        yield "publisher", f"{counted(len(scattered), 'account')} with events in more than one partition: {named}"


def _failures(found: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for one in found["times_in_the_future"]:
        yield (
            "clock",
            f"account {one['account_id']}'s last flush is recorded at {one['completed_at']}, in the future: the "
            "clock was ahead, so it is ignored",
        )
    for one in found["failed_accounts"]:
        retry = f"tried again at {one['next_try']}, or by the" if one["next_try"] else "tried again by the"
        yield "failed", f"account {one['account_id']} at {one['failed_at']}; {retry} next daily flush"
    for one in found["requests"]:
        whom = f"account {one['account_id']}" if one["account_id"] else "all accounts"
        with_ = ", confirmed" if one["confirmed"] else ""
        state = "too old to be carried out" if one["expired"] else "waits for the worker"
        yield "request", f"a flush of {whom}{with_}, asked for at {one['requested_at']}: {state}"


def _tell_partitions(found: dict[str, Any]) -> None:
    if not found["partitions"]:
        if found["worker"]["host"]:
            output.say("")
            output.say("This worker has no partition now; other workers have them.")
        return
    output.say("")
    live = found["worker"]["host"] is not None
    rows = [
        (
            one["partition"],
            one["next_offset"],
            *((_lag(one),) if live else ()),
            f"{one['age']} ago",
        )
        for one in found["partitions"]
    ]
    columns = ("partition", "next offset", *(("lag",) if live else ()), "last read")
    topic = found["partitions"][0]["topic"]
    output.table(columns, rows, title=f"{topic}: partitions of this worker now" if live else f"{topic}: read so far")


def _tell_workers(workers: list[dict[str, Any]] | None) -> None:
    if workers is not None:
        output.say("")
        rows = [(one["name"], ", ".join(map(str, one["partitions"])) or "none") for one in workers]
        output.table(("worker", "partitions"), rows, title="workers of the group now")


def _lag(one: dict[str, Any]) -> str:
    behind = f", {one['behind']:.0f} s behind" if one["lag"] and one["behind"] is not None else ""
    return "not known yet" if one["lag"] is None else f"{one['lag']}{behind}"


def _tell_accounts(found: dict[str, Any]) -> None:
    output.say("")
    if found["accounts"]:
        rows = [
            (
                one["account_id"],
                one["state"],
                one["customers_waiting"],
                one["waiting_since_in_words"],
                " ".join(filter(None, (one["what"], one["advice"], *one["notes"]))),
            )
            for one in found["accounts"]
        ]
        output.table(("account", "state", "waiting", "since", "what to do"), rows)
    else:
        output.say("No account is connected yet. Connect one: mailchimp-worker account connect ACCOUNT")
    if without := found["customers_without_settings"]:
        output.say(f"Waiting: {counted(without, 'changed customer')} of accounts that are not connected.")


def _tell_runs(last: list[dict[str, Any]]) -> None:
    if not last:
        return
    output.say("")
    rows = []
    for one in last:
        counts: dict[str, int] = {}
        for part in one["accounts"]:
            for outcome, count in part["counts"].items():
                counts[outcome] = counts.get(outcome, 0) + count
        nothing = "nothing to do" if not sum(part["to_do"] for part in one["accounts"]) else "none yet"
        outcomes = ", ".join(f"{count} {outcome}" for outcome, count in sorted(counts.items())) or nothing
        rows.append((one["run"], one["started_at"], one["trigger"], one["ended"] or "not ended", outcomes))
    output.table(("run", "started", "by", "ended", "outcomes"), rows)
