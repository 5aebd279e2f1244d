"""What check finds where it needs neither Kafka nor Mailchimp, and with which code it ends."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from tests.unit.consumer.test_batch import event, stage
from worker.changelog import signatures
from worker.clock import as_text
from worker.kafka.partitioner import partition_of
from worker.model import AccountId, ListId
from worker.sqlite.database import Database
from worker.status.check_accounts import lists_not_there
from worker.status.check_kafka import check_staging
from worker.status.checks import Finding, Level, exit_code, ok
from worker.store import dead_letters, offsets
from worker.store.accounts import AccountList, AccountSettings
from worker.store.dead_letters import DeadLetter
from worker.store.offsets import TopicSize

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
LISTS = tuple(AccountList(ListId(one), one.title(), True, 0, False, NOW) for one in ("master", "other"))
RIGHT = partition_of("acct-1", 6)
WRONG = (RIGHT + 1) % 6


@pytest.fixture
def db(db: Database) -> Database:
    """A staging database of a topic with six partitions."""
    with db.transaction():
        offsets.note_size(db, "t", TopicSize("id", 6, 6))
    return db


@pytest.mark.parametrize(
    ("findings", "code"),
    [
        ([ok("config", "valid")], 0),
        ([ok("config", "valid"), Finding("topic", Level.ATTENTION, "one broker", hinders=False)], 0),
        ([ok("config", "valid"), Finding("account", Level.ATTENTION, "held")], 3),
        ([Finding("account", Level.ATTENTION, "held"), Finding("Kafka", Level.FAILED, "no answer")], 1),
        ([Finding("topic", Level.FAILED, "one copy", hinders=False)], 1),
    ],
)
def test_check_is_green_only_where_a_flush_now_would_deliver_everything(findings: list[Finding], code: int) -> None:
    """What hinders no delivery is shown and changes no exit code."""
    assert exit_code(findings) == code


def test_an_account_seen_in_two_partitions_is_no_fault_once_it_is_published_properly(db: Database) -> None:
    """It is named while its newest event is in another partition than the contract's, and no longer after that."""
    stage(db, event(0, partition=RIGHT, time="2026-11-22T10:00:00Z"))
    stage(db, event(0, "cus-2", partition=WRONG, time="2026-11-22T11:00:00Z"))
    assert [finding.subject for finding in check_staging(db, "t")] == ["partitions", "misplaced accounts"]
    stage(db, event(1, "cus-3", partition=RIGHT, time="2026-11-22T12:00:00Z"))
    assert list(check_staging(db, "t")) == []


@pytest.mark.parametrize(
    ("there", "found", "advice"),
    [
        (["master", "other", "more"], None, None),
        (["master"], "no longer has 1 stored list: Other (other)", "lists store acct-1"),
        (["somebody-elses"], "none of its stored lists in Mailchimp", "account connect acct-1"),
        ([], "none of its stored lists in Mailchimp", "account connect acct-1"),
    ],
)
def test_stored_lists_that_mailchimp_does_not_have_are_named(
    there: list[str], found: str | None, advice: str | None
) -> None:
    """Where it has none of them, the key may be another Mailchimp user's."""
    settings = AccountSettings(AccountId("acct-1"), lists=LISTS)
    told = lists_not_there(settings, [ListId(one) for one in there])
    if found is None or advice is None:
        assert told is None
    else:
        assert told is not None
        assert found in told[0]
        assert advice in told[1]


def test_where_the_secret_key_was_changed_nobody_is_told_to_write_over_newer_records(db: Database) -> None:
    """Records that are signed with another key may be the newer ones; those without a signature are somebody else's."""
    letter = DeadLetter("t.settings", "id", 0, 0, b"key", b"{}", (), signatures.UNSIGNED, as_text(NOW))
    dead_letters.keep(db, [letter])
    (found,) = (finding for finding in check_staging(db, "t") if finding.subject == "signatures")
    assert "WORKER_PREVIOUS_SECRET_KEY" not in (found.advice or "")
    dead_letters.keep(db, [replace(letter, offset=1, reason=signatures.WRONG)])
    (found,) = (finding for finding in check_staging(db, "t") if finding.subject == "signatures")
    assert (found.advice or "").startswith("If the secret key was changed, set the new one here")
