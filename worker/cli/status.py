"""``mailchimp-worker status``: the current state, what waits, and what to do about it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict
from typing import Annotated, Any

import typer

from worker.app import App
from worker.cli import output
from worker.cli.context import Json, load_app
from worker.errors import SecretKeyError
from worker.plan.outcomes import MEANINGS, Outcome
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
    app = load_app()
    path = app.config.staging.path
    beat = seconds_since_beat(path)
    if alive:
        raise typer.Exit(0 if beat is not None and beat < ALIVE_SECONDS else 1)
    with closing(app.open_existing()) as db:
        live = read_live(path)
        data = overview(db, app.config, app.clock(), beat=beat, live=live)
        workers = all_workers(app.config, db, live if beat is not None else None)
        data["previous_key"] = _previous_key(app, db)
    data["workers"] = None if workers is None else [asdict(worker) for worker in workers]
    if json:
        output.as_json(data)
        return
    for label, text in (*_worker(data), *_attention(data), *_publishers(data), *_failures(data)):
        output.say(f"{label:<12} {text}")
    _print_partitions(data)
    if len(data["workers"] or ()) > 1:  # the only one is this worker
        output.say("")
        rows = [(worker["name"], ", ".join(map(str, worker["partitions"])) or "none") for worker in data["workers"]]
        output.table(("worker", "partitions"), rows, title="workers of the group now")
    _print_accounts(data)
    _print_runs(data["runs"])


def _previous_key(app: App, db: Database) -> dict[str, Any] | None:
    if app.config.previous_secret_key is None:
        return None
    try:
        previous = previous_key(db, app.secret, app.config.kafka.topic)
    except SecretKeyError as error:
        return {"needed": None, "words": f"not known: {error.message}", "advice": error.advice}
    return (
        asdict(previous) | {"needed": previous.needed, "words": previous.words, "advice": previous.advice}
        if previous
        else None
    )


def _worker(data: dict[str, Any]) -> Iterator[tuple[str, str]]:
    worker, beat = data["worker"], data["worker"]["seconds_since_heartbeat"]
    if beat is None:
        yield "worker", "not running"
    else:
        where = f" on {worker['host']}, process {worker['pid']}" if worker["host"] else ""
        silent = beat >= ALIVE_SECONDS and worker["host"] and data["broker"]["away_since"] is None
        stuck = f", but it has done nothing for {beat:.0f} s" if silent else ""
        yield "worker", f"running{where}{stuck}"
    yield "database", worker["database"]
    yield "Kafka", data["broker"]["words"]
    if worker["waits_for"] is not None and data["broker"]["away_since"] is None:
        yield "waiting", f"before it can flush: {worker['waits_for']}"
    for flush in data["flushes"]:
        yield "delivering", flush["words"]
    if (previous := data["previous_key"]) is not None:
        yield "previous key", " ".join(filter(None, (previous["words"], previous["advice"])))
    yield "next flush", f"{data['next_flush_in_words']} ({data['flush_at']})"
    later = f", {data['customers_retried_later']} tried later" if data["customers_retried_later"] else ""
    yield "customers", f"{data['customers']} staged, {data['customers_waiting']} waiting for the next flush{later}"
    yield (
        "receipts",
        f"complete {data['receipts_since_in_words']}; for earlier flushes, explain shows the last outcomes",
    )


def _attention(data: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for account in data["accounts"]:
        for held_count in account["held"]:
            yield "held", f"account {account['account_id']}: {held_count['words']}"
        for line in account["left_out_in_words"]:
            yield "left out", f"account {account['account_id']}, its last flush: {line}"
    if count := data["suppressed"]:
        without = count - data["refused_with_receipt"]
        missing = f" ({without} of them without a receipt in this database)" if without > 0 else ""
        yield "refused", f"{counted(count, 'customer')} refused by Mailchimp{missing}; see receipts --refused"
    run = data["runs"][0]["run"] if data["runs"] else None
    for outcome, count in data["needs_somebody"].items():
        text = f"{counted(count, 'customer')} {outcome} in the last run: {MEANINGS[outcome].sentence}"
        # Who is held again for the same reason keeps the receipt of the first time.
        of_run = "" if outcome == Outcome.HELD else f" --run {run}"
        yield "attention", f'{text} See receipts{of_run} --outcome "{outcome}"'
    for erasure in data["erasures"]:
        whom = f"account {erasure['account_id']}" if erasure["account_id"] else "a person"
        by = ", ".join(erasure["done_by"]) or "no worker yet"
        yield "erasing", f"{whom}, asked {erasure['age']} ago: carried out by {by}"
    if refused := data["records_refused"]:
        refused_text = f"{counted(refused, 'ledger or settings record')} refused: not signed with the secret key"
        yield "attention", f"{refused_text}; see check"
    if data["dead_letters"]:
        yield "dead letters", f"{counted(data['dead_letters'], 'record')} not understood; see dead-letters list"


def _publishers(data: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for kind, (noun, meaning) in NOTES.items():
        if count := data["counts"].get(kind):
            yield "publisher", f"{counted(count, noun)} {meaning}"
    if count := data["stuck_customers"]:
        yield (
            "publisher",
            f"{counted(count, 'customer')} with an older event in use, because the version of a later one is lower; "
            "check names them",
        )
    if misplaced := data["misplaced_accounts"]:
        named = ", ".join(account["account_id"] for account in misplaced[:NAMED])
        yield (
            "publisher",
            f"{counted(len(misplaced), 'account')} with events and ledger in different partitions: {named}; several "
            "workers do not deliver them, see check",
        )
    if scattered := data["scattered_accounts"]:
        named = ", ".join(sorted(scattered)[:NAMED])
        yield "publisher", f"{counted(len(scattered), 'account')} with events in more than one partition: {named}"


def _failures(data: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for flush in data["times_in_the_future"]:
        yield (
            "clock",
            f"account {flush['account_id']}'s last flush is recorded at {flush['completed_at']}, in the future: the "
            "clock was ahead, so it is ignored",
        )
    for account in data["failed_accounts"]:
        retry = f"tried again at {account['next_try']}, or by the" if account["next_try"] else "tried again by the"
        yield "failed", f"account {account['account_id']} at {account['failed_at']}; {retry} next daily flush"
    for request in data["requests"]:
        whom = f"account {request['account_id']}" if request["account_id"] else "all accounts"
        with_ = ", confirmed" if request["confirmed"] else ""
        state = "too old to be carried out" if request["expired"] else "waits for the worker"
        yield "request", f"a flush of {whom}{with_}, asked for at {request['requested_at']}: {state}"


def _print_partitions(data: dict[str, Any]) -> None:
    if not data["partitions"]:
        if data["worker"]["host"]:
            output.say("")
            yet = "now" if data["worker"]["waits_for"] is None else "yet"
            why = "while Kafka does not answer" if data["broker"]["away_since"] else yet
            output.say(f"This worker has no partition {why}.")
        return
    output.say("")
    live = data["worker"]["host"] is not None
    rows = [
        (
            partition["partition"],
            partition["next_offset"],
            *((_lag(partition),) if live else ()),
            f"{partition['age']} ago",
        )
        for partition in data["partitions"]
    ]
    columns = ("partition", "next offset", *(("lag",) if live else ()), "last read")
    topic = data["partitions"][0]["topic"]
    output.table(columns, rows, title=f"{topic}: partitions of this worker now" if live else f"{topic}: read so far")


def _lag(partition: dict[str, Any]) -> str:
    behind = f", {partition['behind']:.0f} s behind" if partition["lag"] and partition["behind"] is not None else ""
    return "not known yet" if partition["lag"] is None else f"{partition['lag']}{behind}"


def _print_accounts(data: dict[str, Any]) -> None:
    output.say("")
    if data["accounts"]:
        rows = [
            (
                account["account_id"],
                account["state"],
                account["customers_waiting"],
                account["waiting_since_in_words"],
                " ".join(filter(None, (account["what"], account["advice"], *account["notes"]))),
            )
            for account in data["accounts"]
        ]
        output.table(("account", "state", "waiting", "since", "what to do"), rows)
    else:
        output.say("No account is connected yet. Connect one: mailchimp-worker account connect ACCOUNT")
    if unconnected := data["customers_without_settings"]:
        output.say(f"Waiting: {counted(unconnected, 'changed customer')} of accounts that are not connected.")


def _print_runs(runs: list[dict[str, Any]]) -> None:
    if not runs:
        return
    output.say("")
    rows = []
    for run in runs:
        counts = sum((Counter(part["counts"]) for part in run["accounts"]), Counter[str]())
        nothing = "nothing to do" if not sum(part["to_do"] for part in run["accounts"]) else "none yet"
        outcomes = ", ".join(f"{count} {outcome}" for outcome, count in sorted(counts.items())) or nothing
        rows.append((run["run"], run["started_at"], run["trigger"], run["ended"] or "not ended", outcomes))
    output.table(("run", "started", "by", "ended", "receipts"), rows)
