"""Since when the receipts of an account are complete."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from worker.clock import as_moment, as_text
from worker.config import Config
from worker.kafka.partitioner import partition_of
from worker.model import AccountId
from worker.sqlite.database import Database
from worker.status.receipts_since import none_in_words, receipts_since
from worker.store import offsets
from worker.store.offsets import TopicSize

ACCOUNT, OTHER = AccountId("acct-1"), AccountId("acct-2")
TOPIC = Config().kafka.topic


def test_receipts_are_complete_since_the_account_was_taken_over_last(db: Database) -> None:
    """What was flushed elsewhere before is missing here: of this account, and of all if nobody is named."""
    config, now = Config(), datetime.now(UTC)
    made = receipts_since(db, config, now, ACCOUNT)
    first, last = made + timedelta(hours=1), made + timedelta(hours=2)
    with db.transaction():
        offsets.note_accounts(db, TOPIC, "id", [(ACCOUNT, 0), (OTHER, 1)])
        offsets.note_taken(db, TOPIC, [(0, as_text(first)), (2, as_text(last))])
    assert receipts_since(db, config, now, ACCOUNT) == as_moment(as_text(first))
    assert receipts_since(db, config, now, OTHER) == made
    assert receipts_since(db, config, now) == as_moment(as_text(last))
    with db.transaction():
        offsets.note_taken(db, TOPIC, [(0, as_text(last + timedelta(hours=1)))])
    assert receipts_since(db, config, now, ACCOUNT) == as_moment(as_text(last + timedelta(hours=1)))
    with db.transaction():
        offsets.note_size(db, TOPIC, TopicSize("id", 3, 3))
    own = partition_of(AccountId("acct-3"), 3)
    assert (receipts_since(db, config, now, AccountId("acct-3")) == made) == (own == 1), "nothing of it was read yet"


def test_an_empty_list_says_since_when_it_is_complete() -> None:
    """What another worker flushed before a take-over is missing here, and must not seem not to have happened."""
    now = datetime(2026, 11, 22, 12, tzinfo=UTC)
    words = none_in_words(now - timedelta(minutes=5), now, Config())
    assert words.startswith("No receipt matches. Receipts here are complete since today at 11:55, 5 minutes ago; ")
    assert "explain" in words


def test_a_time_that_lies_ahead_is_not_told_as_past() -> None:
    """Calls of a former owner may be under way until then, and have their receipts there."""
    now = datetime(2026, 11, 22, 12, tzinfo=UTC)
    words = none_in_words(now + timedelta(minutes=2), now, Config())
    assert "Receipts here are complete from today at 12:02 on, in 2 minutes; " in words
