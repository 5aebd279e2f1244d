"""``mailchimp-worker status``: what is staged, due, paused and failing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

import typer

from worker.accounts import settings
from worker.app import App
from worker.cli import output
from worker.cli.context import Json, opened, wired
from worker.clock import as_moment, as_text
from worker.flush import eligibility
from worker.flush.outcomes import MEANINGS, Outcome
from worker.flush.schedule import CLOCK_TOLERANCE, is_expired, next_flush_time, next_retry
from worker.plural import counted
from worker.status.run_summary import run_data
from worker.store import accounts, counts, customers, dead_letters, ignored, ledger, offsets, runs
from worker.store.accounts import AccountSettings
from worker.store.database import Database
from worker.store.lock import seconds_since_beat
from worker.store.runs import AccountFlush, Request, Run

ALIVE_SECONDS = 60.0
RUNS_SHOWN = 5
NOTES = {
    "key_disagrees": ("event", "whose key names another customer than the data"),
    "out_of_order": ("event", "with a lower version at a higher offset: compaction may keep the wrong one"),
    "absent": ("customer", "in the ledger and not in the log; if they were deleted, publish them again as .deleted"),
    "misplaced": ("event", "in another partition than the account's by the contract"),
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
    """Show what is staged, due, paused and failing, and the last flushes."""
    app = wired()
    beat = seconds_since_beat(app.config.staging.path)
    if alive:
        raise typer.Exit(0 if beat is not None and beat < ALIVE_SECONDS else 1)
    with opened(app) as db:
        found = _gathered(app, db, beat)
        chosen = accounts.all_accounts(db)
        waiting = customers.accounts_with_changes(db)
    if json:
        output.as_json(found | {"accounts": [_account_data(one, waiting.get(one.account_id, 0)) for one in chosen]})
        return
    _tell(found)
    _tell_accounts(chosen, waiting, found["customers_without_settings"])
    _tell_runs(found["runs"])


def _gathered(app: App, db: Database, beat: float | None) -> dict[str, Any]:
    topic, flush = app.config.kafka.topic, app.config.flush
    waiting = customers.accounts_with_changes(db)
    known = {one.account_id for one in accounts.all_accounts(db)}
    needing = _needing(runs.last(db, 1))
    return {
        "worker": {"running": beat is not None, "seconds_since_heartbeat": beat},
        "next_flush": as_text(next_flush_time(app.clock(), flush.time_of_day, flush.zone)),
        "flush_at": f"daily at {flush.at} {flush.timezone}",
        "customers": customers.total_count(db),
        "customers_waiting": sum(waiting.values()),
        "customers_without_settings": sum(count for one, count in waiting.items() if one not in known),
        "dead_letters": dead_letters.count(db),
        "counts": counts.totals(db, topic),
        "stuck_customers": ignored.count(db),
        "misplaced_accounts": [
            {
                "account": one.account_id,
                "partitions": sorted(one.partitions),
                "expected": one.expected,
                "ledger": one.ledger,
            }
            for one in eligibility.misplaced(db, topic)
        ],
        "scattered_accounts": offsets.scattered_accounts(db, topic),
        "suppressed": ledger.refused_count(db),
        "faults": needing.get(Outcome.FAULT, 0),
        "needs_somebody": needing,
        "partitions": [
            {
                "topic": one.topic,
                "topic_id": one.topic_id,
                "partition": one.partition,
                "next_offset": one.next_offset,
                "updated_at": one.updated_at,
            }
            for one in offsets.of_topic(db, topic)
        ],
        "failed_accounts": [_failed_data(one) for one in runs.failed_accounts(db)],
        "requests": [_request_data(one, app.clock()) for one in runs.open_requests(db)],
        "times_in_the_future": [
            {"partition": partition, "completed_at": moment}
            for partition, moment in runs.completed_after(db, topic, as_text(app.clock() + CLOCK_TOLERANCE))
        ],
        "runs": [run_data(one) for one in runs.last(db, RUNS_SHOWN)],
    }


def _needing(last: Sequence[Run]) -> dict[str, int]:
    # How many customers of the last run need somebody, by outcome.
    found = sum((Counter(part.counts) for one in last for part in one.accounts), Counter[str]())
    return {one.value: found[one] for one in Outcome if MEANINGS[one].needs_somebody and found[one]}


def _failed_data(one: AccountFlush) -> dict[str, Any]:
    assert one.failed_at is not None, "only accounts that failed are shown"
    retry = next_retry(one.failures, as_moment(one.failed_at))
    return {
        "account": one.account_id,
        "failures": one.failures,
        "failed_at": one.failed_at,
        "next_try": as_text(retry) if retry else None,
    }


def _request_data(one: Request, now: datetime) -> dict[str, Any]:
    return {
        "request": one.request,
        "requested_at": one.requested_at,
        "account": one.account_id,
        "confirmed": one.confirmed,
        "expired": is_expired(now, as_moment(one.requested_at)),
    }


def _account_data(one: AccountSettings, waiting: int) -> dict[str, Any]:
    return {
        "account": one.account_id,
        "customers_waiting": waiting,
        "missing": [{"code": lack.code, "what": lack.what, "advice": lack.advice} for lack in settings.missing(one)],
        "paused_since": as_text(one.pause.since) if one.pause else None,
        "notes": _list_notes(one),
    }


def _list_notes(one: AccountSettings) -> list[str]:
    notes = []
    for each in one.stored:
        if each.gone_at:
            notes.append(f"List {each.name} is gone from Mailchimp since {as_text(each.gone_at)}; its customers wait.")
        if each.pause:
            notes.append(f"List {each.name} is paused since {as_text(each.pause.since)}: {each.pause.reason}.")
        if each.marketing_permissions:
            notes.append(f"List {each.name} asks for marketing permissions: contacts are added without any.")
    return notes


def _tell(found: dict[str, Any]) -> None:
    beat = found["worker"]["seconds_since_heartbeat"]
    working = "not running" if beat is None else f"running, at work {beat:.0f} s ago"
    output.say(f"worker       {working}")
    output.say(f"next flush   {found['next_flush']}, {found['flush_at']}")
    output.say(
        f"customers    {found['customers']} staged, {found['customers_waiting']} changed since they were delivered"
    )
    if found["suppressed"]:
        output.say(
            f"refused      {counted(found['suppressed'], 'customer')} refused by Mailchimp; see receipts --outcome "
            "refused"
        )
    for outcome, count in found["needs_somebody"].items():
        said = f"{counted(count, 'customer')} {outcome} in the last run: {MEANINGS[outcome].sentence}"
        output.say(f'attention    {said} See receipts --outcome "{outcome}"')
    if found["dead_letters"]:
        output.say(f"dead letters {counted(found['dead_letters'], 'record')} not understood; see dead-letters list")
    for what, (noun, meaning) in NOTES.items():
        if count := found["counts"].get(what):
            output.say(f"publisher    {counted(count, noun)} {meaning}")
    if found["stuck_customers"]:
        output.say(
            f"publisher    {counted(found['stuck_customers'], 'customer')} with an older event in use, because the "
            "version of a later one is lower; check names them"
        )
    if found["misplaced_accounts"]:
        named = ", ".join(one["account"] for one in found["misplaced_accounts"][:5])
        output.say(
            f"publisher    {counted(len(found['misplaced_accounts']), 'account')} with events and ledger in different "
            f"partitions: {named}; several workers do not deliver them, see check"
        )
    if found["scattered_accounts"]:
        output.say(
            f"publisher    {counted(len(found['scattered_accounts']), 'account')} with events in more than one "
            "partition: " + ", ".join(sorted(found["scattered_accounts"])[:5])
        )
    for one in found["times_in_the_future"]:
        output.say(
            f"clock        partition {one['partition']}'s last flush is noted for {one['completed_at']}: the clock was "
            "ahead, and it counts as none"
        )
    for one in found["failed_accounts"]:
        retry = f"tried again at {one['next_try']}, or by the" if one["next_try"] else "tried again by the"
        output.say(f"failed       account {one['account']} at {one['failed_at']}; {retry} next daily flush")
    for one in found["requests"]:
        whom = f"account {one['account']}" if one["account"] else "all accounts"
        with_ = ", confirmed" if one["confirmed"] else ""
        state = "too old to be carried out" if one["expired"] else "waits for the worker"
        output.say(f"request      a flush of {whom}{with_}, asked for at {one['requested_at']}: {state}")
    if found["partitions"]:
        output.say("")
        output.table(
            ("topic", "partition", "next offset", "as of"),
            [(one["topic"], one["partition"], one["next_offset"], one["updated_at"]) for one in found["partitions"]],
        )


def _tell_accounts(chosen: tuple[AccountSettings, ...], waiting: dict[Any, int], without: int) -> None:
    output.say("")
    if chosen:
        rows = []
        for one in chosen:
            lacking = settings.missing(one)
            state = f"{lacking[0].what} {lacking[0].advice}" if lacking else "ready"
            since = f" (since {as_text(one.pause.since)})" if one.pause else ""
            rows.append((one.account_id, waiting.get(one.account_id, 0), " ".join([state + since, *_list_notes(one)])))
        output.table(("account", "waiting", "state"), rows)
    else:
        output.say("No account is connected yet. Connect one: mailchimp-worker account connect ACCOUNT")
    if without:
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
        outcomes = ", ".join(f"{count} {outcome}" for outcome, count in sorted(counts.items())) or "nothing to do"
        rows.append((one["run"], one["started_at"], one["trigger"], one["ended"] or "not ended", outcomes))
    output.table(("run", "started", "by", "ended", "outcomes"), rows)
