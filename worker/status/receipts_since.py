"""Since when the receipts of an account are in this database, for whom an empty list must not look complete."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from worker.config import Config
from worker.model import AccountId
from worker.sqlite.database import Database
from worker.status.times import in_words, moment_in_words, span_in_words
from worker.store import offsets, receipts


def receipts_since(db: Database, config: Config, now: datetime, account_id: AccountId | None = None) -> datetime:
    """Returns since when this database has all receipts of an account; of None, of all accounts."""
    topic = config.kafka.topic
    partitions = None if account_id is None else offsets.partitions_of(db, topic, account_id)
    return receipts.complete_since(db, now, config.receipts.keep_days, topic, partitions)


def receipts_since_by_account(
    db: Database, config: Config, now: datetime, account_ids: Iterable[AccountId]
) -> dict[AccountId, datetime]:
    """Returns the same for each of these accounts. Quick if this worker took no partition over."""
    if offsets.taken_since(db, config.kafka.topic, None) is None:
        return dict.fromkeys(account_ids, receipts_since(db, config, now))
    return {account_id: receipts_since(db, config, now, account_id) for account_id in account_ids}


def complete_in_words(since: datetime, now: datetime, config: Config) -> str:
    """Returns since when receipts are complete: "since today at 10:00, 5 minutes ago", or from a time ahead on."""
    if since > now:
        # Calls of a former owner may be under way until then.
        moment = moment_in_words(since, now, config.flush.zone)
        return f"from {moment} on, in {span_in_words(since - now)}"
    return f"since {in_words(since, now, config.flush.zone)}"


def none_in_words(since: datetime, now: datetime, config: Config) -> str:
    """Returns what to say instead of an empty list of receipts."""
    return (
        f"No receipt matches. Receipts here are complete {complete_in_words(since, now, config)}; "
        "for earlier flushes, explain shows the last outcomes."
    )
