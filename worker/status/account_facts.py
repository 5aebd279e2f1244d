"""Reads what is stored about accounts, for :mod:`worker.status.account_state`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from worker.clock import as_moment
from worker.flush.schedule import next_retry
from worker.model import AccountId
from worker.sqlite.database import Database
from worker.status.account_state import AccountFacts, AccountState, state_of
from worker.status.next_flush import delivering
from worker.store import accounts, bare_customers, customers, held_counts, runs, totals
from worker.store.accounts import AccountSettings
from worker.store.runs import Run


def facts_of_all(db: Database, under_way: Sequence[Run] = ()) -> list[AccountFacts]:
    """Returns what is stored about each account that has settings, by id."""
    waiting, held, parts = customers.waiting(db), held_counts.all_shown(db), runs.last_parts(db)
    retries = {one.account_id: _retry(one.failures, one.failed_at) for one in runs.failed_accounts(db)}
    delivered, bare = delivering(under_way), bare_customers.of_connected(db)
    found = []
    for settings in accounts.all_accounts(db):
        who = settings.account_id
        count, since = waiting.get(who, (0, None))
        run, part = parts.get(who, (None, None))
        found.append(
            AccountFacts(
                settings=settings,
                waiting=count,
                waiting_since=since,
                held=tuple(held.get(who, ())),
                run=run,
                part=part,
                retry_at=retries.get(who),
                delivering=who in delivered,
                bare=bare.get(who),
            )
        )
    return found


def facts_of(db: Database, settings: AccountSettings, under_way: Sequence[Run] = ()) -> AccountFacts:
    """Returns what is stored about one account."""
    who = settings.account_id
    count, since = totals.waiting_of(db, who)
    run, part = runs.last_part(db, who)
    failed = next((one for one in runs.failed_accounts(db) if one.account_id == who), None)
    return AccountFacts(
        settings=settings,
        waiting=count,
        waiting_since=since,
        held=tuple(held_counts.shown_since(db, who, "")),
        run=run,
        part=part,
        retry_at=_retry(failed.failures, failed.failed_at) if failed is not None else None,
        delivering=who in delivering(under_way),
        bare=bare_customers.of_account(db, who),
    )


def states_of_all(db: Database, now: datetime) -> list[AccountState]:
    """Returns the state of each account that has settings, while no flush is running."""
    return [state_of(one, now) for one in facts_of_all(db)]


def without_settings(db: Database) -> dict[AccountId, int]:
    """Returns how many customers wait per account that has no settings."""
    known = {one.account_id for one in accounts.all_accounts(db)}
    return {one: count for one, count in customers.accounts_with_changes(db).items() if one not in known}


def _retry(failures: int, failed_at: str | None) -> datetime | None:
    return next_retry(failures, as_moment(failed_at)) if failed_at is not None else None
