"""The data of `status`: the worker, its partitions, accounts, flushes and faults."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from worker.changelog.signatures import UNSIGNED, WRONG
from worker.clock import as_moment, as_text, text_or_none
from worker.config import Config
from worker.flush.schedule import (
    CLOCK_TOLERANCE,
    is_account_due,
    is_expired,
    latest_flush_time,
    next_flush_time,
    next_retry,
    takes_part,
)
from worker.kafka.partitioner import partition_of
from worker.model import AccountId
from worker.plan.outcomes import MEANINGS, Outcome
from worker.sqlite.database import Database
from worker.status.account_facts import facts_of, without_settings
from worker.status.account_state import AccountFacts, AccountState, State, held_in_words, state_of
from worker.status.json_data import missing_data
from worker.status.left_out import sentences
from worker.status.live import LiveWorker
from worker.status.misplaced import misplaced
from worker.status.next_flush import delivering, next_flush, running_flush, running_in_words
from worker.status.other_workers import accounts_elsewhere
from worker.status.receipts_since import complete_in_words, receipts_since_by_account
from worker.status.run_summary import run_data
from worker.status.times import in_words, span_in_words
from worker.store import counts, customers, dead_letters, erasure_requests, ignored, offsets, receipts, refusals, runs
from worker.store.erasure_requests import ErasureRequest
from worker.store.offsets import NextOffset
from worker.store.runs import Request, Run
from worker.text.plural import counted

RUNS_SHOWN = 5
ERASURES_SHOWN = 5


def overview(
    db: Database, config: Config, now: datetime, *, beat: float | None, live: LiveWorker | None
) -> dict[str, Any]:
    """Returns all of it as JSON data.

    Args:
        now: aware.
        beat: seconds since the worker's heartbeat; None if none is running.
    """
    topic, flush = config.kafka.topic, config.flush
    live = live if beat is not None else None
    last = runs.last(db, RUNS_SHOWN)
    own = live.partitions.keys() if live is not None else None
    since = receipts.complete_since(db, now, config.receipts.keep_days, topic, own)
    with db.snapshot():  # who is settled and who is left must add up
        under_way = runs.under_way(db) if beat is not None else []
        facts = facts_of(db, next_flush_time(now, flush.time_of_day, flush.zone), under_way)
    account_ids = [account.settings.account_id for account in facts]
    receipts_complete = receipts_since_by_account(db, config, now, account_ids)
    elsewhere = accounts_elsewhere(db, topic, live, account_ids)
    partitions = _partitions(offsets.of_topic(db, topic), live)
    waiting = {account.settings.account_id: account.waiting for account in facts}
    flushes = [_running(run, waiting, now, config) for run in under_way]
    is_due = _is_due(db, now, config, partitions, under_way)
    next_at, next_in_words = next_flush(now, flush.time_of_day, flush.zone, due=is_due, running=beat is not None)
    return {
        "worker": _worker(config, beat, live),
        "broker": _broker(live, now, config),
        "flush": flushes[0] if flushes else None,
        "flushes": flushes,
        "next_flush": as_text(next_at),
        "next_flush_due": is_due,
        "next_flush_in_words": next_in_words,
        "flush_at": f"daily at {flush.at} {flush.timezone}",
        **_customers(db, facts),
        "accounts": [
            account_data(account, now, config, elsewhere=elsewhere.get(account.settings.account_id))
            | {"receipts_since": as_text(receipts_complete[account.settings.account_id])}
            for account in facts
        ],
        "dead_letters": dead_letters.count(db),
        "records_refused": dead_letters.count_because(db, UNSIGNED, WRONG),
        "counts": counts.totals(db, topic),
        "stuck_customers": ignored.count(db),
        "misplaced_accounts": [
            asdict(account) | {"partitions": sorted(account.partitions)} for account in misplaced(db, topic)
        ],
        "scattered_accounts": offsets.scattered_accounts(db, topic),
        "suppressed": refusals.count(db),
        "refused_with_receipt": receipts.refused_count(db),
        "receipts_since": as_text(since),
        "receipts_since_in_words": complete_in_words(since, now, config),
        "faults": _needing(last[:1]).get(Outcome.FAULT, 0),
        "needs_somebody": _needing(last[:1]),
        "partitions": [partition | {"age": _age(partition["updated_at"], now)} for partition in partitions],
        "failed_accounts": [
            asdict(account) | {"next_try": text_or_none(next_retry(account.failures, as_moment(account.failed_at)))}
            for account in runs.failed_accounts(db)
        ],
        "erasures": [_erasure_data(request, now) for request in erasure_requests.all_requests(db)[:ERASURES_SHOWN]],
        "requests": [_request_data(request, now) for request in runs.open_requests(db)],
        "times_in_the_future": [
            {"account_id": account_id, "completed_at": moment}
            for account_id, moment in runs.completed_after(db, as_text(now + CLOCK_TOLERANCE))
        ],
        "runs": [run_data(run) for run in last],
    }


def _customers(db: Database, facts: Sequence[AccountFacts]) -> dict[str, int]:
    foreign = sum(without_settings(db).values())
    return {
        "customers": customers.total_count(db),
        "customers_waiting": sum(account.waiting for account in facts) + foreign,
        "customers_retried_later": sum(account.waits.later for account in facts),
        "customers_without_settings": foreign,
    }


def _worker(config: Config, beat: float | None, live: LiveWorker | None) -> dict[str, Any]:
    return {
        "running": beat is not None,
        "seconds_since_heartbeat": beat,
        "database": str(config.staging.path.absolute()),
        "host": live.host if live else None,
        "pid": live.pid if live else None,
        "since": live.since if live else None,
        "waits_for": live.waits_for if live else None,
    }


def _broker(live: LiveWorker | None, now: datetime, config: Config) -> dict[str, Any]:
    if live is None:
        return {"reached": None, "away_since": None, "words": "not known: no worker runs with this database"}
    if live.away_since is None:
        return {"reached": True, "away_since": None, "words": f"{config.kafka.bootstrap_servers} answers"}
    since = in_words(as_moment(live.away_since), now, config.flush.zone)
    words = f"{config.kafka.bootstrap_servers} has not answered since {since}"
    return {"reached": False, "away_since": live.away_since, "words": words}


def account_data(facts: AccountFacts, now: datetime, config: Config, *, elsewhere: int | None = None) -> dict[str, Any]:
    """Returns the account's state, what is waiting and what is held back.

    Args:
        elsewhere: the account's partition if another worker has it; its customers are in that worker's database.
    """
    settings, state = facts.settings, state_of(facts, now)
    since = facts.waits.since
    return {
        "account_id": settings.account_id,
        "state": state.state,
        "what": state.message or (_first_delivery(facts, state, now, config) if elsewhere is None else None),
        "advice": state.advice,
        "customers_waiting": facts.waits.known,
        "customers_retried_later": facts.waits.later,
        "waiting_since": since,
        "waiting_since_in_words": in_words(as_moment(since), now, config.flush.zone) if since else None,
        "held": [
            {
                "list_id": held_count.list_id,
                "what": held_count.kind,
                "count": held_count.count,
                "shown_at": held_count.shown_at,
                "words": held_in_words(settings, held_count),
            }
            for held_count in facts.held_counts
        ]
        if facts.waiting
        else [],
        "left_out": [asdict(row) for row in facts.part.left_out] if facts.part else [],
        "left_out_in_words": sentences(facts.part.left_out, settings) if facts.part else [],
        "tried_again_at": text_or_none(facts.retry_at),
        "missing": missing_data(settings),
        "paused_since": as_text(settings.pause.since) if settings.pause else None,
        "notes": [*_notes(facts, state, elsewhere)],
    }


def _first_delivery(facts: AccountFacts, state: AccountState, now: datetime, config: Config) -> str | None:
    at, zone = config.flush.time_of_day, config.flush.zone
    if state.state is not State.WAITING or takes_part(facts.settings.enabled_at, latest_flush_time(now, at, zone), now):
        return None
    return f"Takes part in daily flushes from {in_words(next_flush_time(now, at, zone), now, zone)}."


def _notes(facts: AccountFacts, state: AccountState, elsewhere: int | None) -> Iterator[str]:
    for mailing_list in facts.settings.stored:
        if f"({mailing_list.list_id})" in (state.message or ""):
            continue
        if mailing_list.gone_at:
            since = as_text(mailing_list.gone_at)
            yield (
                f"List {mailing_list.name} has been gone from Mailchimp since {since}; its customers wait. Each flush "
                "looks for it again."
            )
        if mailing_list.pause:
            since, reason = as_text(mailing_list.pause.since), mailing_list.pause.reason
            yield f"List {mailing_list.name} has been paused since {since}: {reason}."
        if mailing_list.marketing_permissions:
            yield f"List {mailing_list.name} asks for marketing permissions: contacts are added without any."
    if facts.waits.later:
        yield (
            f"{counted(facts.waits.later, 'customer')} refused by Mailchimp, not tried by the next daily flush: the "
            f"first is tried after {facts.waits.retry_at}. See why: mailchimp-worker receipts --account "
            f"{facts.settings.account_id} --refused"
        )
    if facts.bare is not None and (notice := facts.bare.in_words()) and notice != state.message:
        yield notice
    if elsewhere is not None:
        yield f"Another worker has this account now (partition {elsewhere}): run status there for what waits."


def _partitions(readings: Sequence[NextOffset], live: LiveWorker | None) -> list[dict[str, Any]]:
    # The running worker's own partitions; else how far each was read.
    if live is None:
        return [asdict(reading) | {"lag": None, "behind": None} for reading in readings]
    in_order = sorted(readings, key=lambda reading: reading.partition)
    lags = ((reading, live.partitions.get(reading.partition)) for reading in in_order)
    return [asdict(reading) | {"lag": lag.records, "behind": lag.seconds} for reading, lag in lags if lag is not None]


def _age(updated_at: str, now: datetime) -> str:
    return span_in_words(now - as_moment(updated_at))


def _is_due(
    db: Database, now: datetime, config: Config, partitions: Sequence[dict[str, Any]], under_way: Sequence[Run]
) -> bool:
    """Returns whether a daily flush has yet to start for an account of these partitions."""
    at, zone, topic = config.flush.time_of_day, config.flush.zone, config.kafka.topic
    size = offsets.size_of(db, topic)
    if size is None:
        return False
    flushes = runs.not_completed(db, as_text(latest_flush_time(now, at, zone)), as_text(now + CLOCK_TOLERANCE))
    due = {flush.account_id for flush in flushes if is_account_due(now, at, zone, flush)} - delivering(under_way)
    if not due:
        return False
    seen_in = offsets.account_partitions(db, topic, size.topic_id)
    numbers = {partition["partition"] for partition in partitions}
    return any(numbers & {*seen_in.get(account_id, ()), partition_of(account_id, size.ledger)} for account_id in due)


def _running(run: Run, waiting: Mapping[AccountId, int], now: datetime, config: Config) -> dict[str, Any]:
    flush = running_flush(run, waiting, now)
    return {
        "run": flush.run,
        "accounts": [part.account_id for part in run.accounts],
        **asdict(flush),
        "per_second": round(flush.per_second, 2),
        "ends_at": text_or_none(flush.ends_at),
        "words": running_in_words(flush, now, config.flush.zone),
    }


def _needing(last: Sequence[Run]) -> dict[str, int]:
    # Customers of the last run that need attention, by outcome.
    totals = sum((Counter(part.counts) for run in last for part in run.accounts), Counter[str]())
    return {
        outcome.value: totals[outcome] for outcome in Outcome if MEANINGS[outcome].needs_somebody and totals[outcome]
    }


def _erasure_data(request: ErasureRequest, now: datetime) -> dict[str, Any]:
    # A person's address is no longer stored here, if it ever was.
    return {
        "account_id": request.account_id or None,
        "requested_at": request.requested_at,
        "age": _age(request.requested_at, now),
        "done_by": dict(request.done_by),
    }


def _request_data(request: Request, now: datetime) -> dict[str, Any]:
    return {
        "request": request.request,
        "requested_at": request.requested_at,
        "account_id": request.account_id,
        "confirmed": request.confirmed,
        "expired": is_expired(now, as_moment(request.requested_at)),
    }
