"""Reads what is stored about accounts, for :mod:`worker.status.account_state`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from worker.clock import as_moment, as_text
from worker.flush.schedule import next_retry
from worker.model import AccountId
from worker.sqlite.database import Database
from worker.status.account_state import AccountFacts
from worker.status.next_flush import delivering
from worker.store import accounts, bare_customers, customers, held_counts, runs, waiting
from worker.store.accounts import AccountSettings
from worker.store.runs import Run


def facts_of(
    db: Database, next_flush: datetime, under_way: Sequence[Run] = (), account: AccountSettings | None = None
) -> list[AccountFacts]:
    """Returns what is stored about one account; without its settings, about all accounts that have settings, by id.

    Args:
        next_flush: who is tried after it does not wait.
    """
    only = account.account_id if account is not None else None
    waits = waiting.by_account(db, as_text(next_flush), only)
    held_by_account, parts = held_counts.all_shown(db), runs.last_parts(db, only)
    failed = runs.failed_accounts(db)
    retries = {part.account_id: next_retry(part.failures, as_moment(part.failed_at)) for part in failed}
    delivered, bare = delivering(under_way), bare_customers.of_connected(db, only)
    facts = []
    for settings in accounts.all_accounts(db) if account is None else [account]:
        account_id = settings.account_id
        run, part = parts.get(account_id, (None, None))
        facts.append(
            AccountFacts(
                settings=settings,
                waits=waits[account_id],
                held_counts=tuple(held_by_account.get(account_id, ())),
                run=run,
                part=part,
                retry_at=retries.get(account_id),
                delivering=account_id in delivered,
                bare=bare.get(account_id),
            )
        )
    return facts


def without_settings(db: Database) -> dict[AccountId, int]:
    """Returns how many customers wait per account that has no settings."""
    known = accounts.all_ids(db)
    changed = customers.accounts_with_changes(db)
    return {account_id: count for account_id, count in changed.items() if account_id not in known}
