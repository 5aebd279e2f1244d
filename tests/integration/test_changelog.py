"""Settings of several workers in Kafka, and records that cannot be applied."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing

import pytest

from tests import setters
from tests.integration.changelog_worker import ACCOUNT, Worker
from tests.integration.topic import Topic
from worker.accounts import settings
from worker.changelog.topic_log import TopicLog
from worker.cli.context import changing
from worker.errors import KafkaError
from worker.sqlite.database import Database
from worker.sqlite.rows import Changed
from worker.store import accounts, dead_letters
from worker.store.accounts import AccountSettings
from worker.store.dead_letters import DeadLetter

pytestmark = pytest.mark.kafka


# Settings of several workers


def test_settings_that_another_worker_changed_meanwhile_are_not_undone(hire: Callable[[str], Worker]) -> None:
    """A change is made to the settings as they are, not as they were when the command began."""
    first, second = hire("first"), hire("second")
    first.make_account()
    second.settings()
    with changing(first.app) as slow:
        assert settings.load(slow, ACCOUNT).enabled
        with changing(second.app) as db:
            setters.disable(db, second.changelog, ACCOUNT)
        # As lists refresh does when Mailchimp has answered.
        first.changelog.commit(slow, lambda: rename(slow))
    for one in (first, second, hire("third")):
        found = one.settings()
        assert not found.enabled
        assert found.status_if_new == "pending"


def rename(db: Database) -> Changed[None]:
    """Changes one setting and leaves the others."""
    found = settings.load(db, ACCOUNT)
    pending = AccountSettings(ACCOUNT, found.enabled, found.key_hint, status_if_new="pending")
    return Changed(None, accounts.save(db, pending))


def test_two_workers_change_settings_in_turn(hire: Callable[[str], Worker]) -> None:
    """Each takes the settings from the other when it has something to write, and knows what that one wrote."""
    first, second = hire("first"), hire("second")
    first.make_account()
    second.settings()
    for worker, act in ((second, setters.disable), (first, setters.enable), (second, setters.disable)):
        act(worker.db, worker.changelog, ACCOUNT)
    assert not first.settings().enabled


# Records that cannot be applied


def test_a_record_that_cannot_be_applied_costs_its_account_only(hire: Callable[[str], Worker], topic: Topic) -> None:
    """It becomes a dead letter, its account waits, nothing is written over it; a newer record ends that."""
    first = hire("first")
    first.make_account()
    first.take()
    first.write("a@example.com")
    key = b'["place","acct-1","master","a@example.com"]'
    writer = first.writer(signed=True)
    writer.open()
    writer.write([(key, b'{"format":99}'), (b"no key of ours", b"?"), (b'["later","acct-2"]', b"{}")])
    first.take()
    assert first.ledger() == {"a@example.com": "cus-1"}
    letters = {one.key: one for one in dead_letters.all_letters(first.db)}
    assert letters[key].account_id == ACCOUNT
    assert "format 99" in letters[key].reason
    assert letters[b"no key of ours"].account_id is None
    assert letters[b'["later","acct-2"]'].account_id == "acct-2"
    assert settings.missing(settings.load(first.db, ACCOUNT))[0].code == "record_not_applied"
    with pytest.raises(KafkaError, match="This release cannot apply"):
        first.write("a@example.com", "older-state")
    first.write("b@example.com")
    writer = first.writer(signed=True)
    writer.open()
    writer.write([(key, b"{}")])
    first.take()
    assert first.ledger() == {"b@example.com": "cus-1"}
    assert {one.key for one in dead_letters.of_changelog(first.db)} == {b'["later","acct-2"]'}
    assert settings.load(first.db, ACCOUNT).unapplied is None


def test_a_release_that_can_applies_what_the_one_before_could_not(hire: Callable[[str], Worker]) -> None:
    """A release that can apply a former dead letter does so at its start."""
    first = hire("first")
    key = b'["place","acct-1","master","a@example.com"]'
    row = b'{"format":2,"customer_id":"cus-1","state":"gone","origin":"added","fields":"{}","sent_at":"now"}'
    name, signed = first.changelog.topics.ledger.name, first.app.signatures.headers_of("ledger", key, row)
    letter = DeadLetter(name, "", 0, 0, key, row, signed, "a later release wrote it", "now", account_id=ACCOUNT)
    with closing(first.app.open_database()) as copy, closing(first.app.open_reader(copy)) as reader:
        with copy.transaction():
            dead_letters.keep(copy, [letter])
        assert reader.apply_dead_letters() == 1
    assert first.ledger() == {"a@example.com": "cus-1"}
    assert dead_letters.count(first.db) == 0


def test_what_is_written_while_the_end_is_asked_is_not_taken_for_a_topic_that_was_cut(
    hire: Callable[[str], Worker], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Settings that are written while the end of the topic is queried do not make it look truncated."""
    worker, asked, written = hire("one"), TopicLog.bounds_beyond, []
    worker.make_account()
    worker.settings()

    def written_meanwhile(log: TopicLog, topic: str, partition: int, known: int) -> tuple[int, int]:
        found = asked(log, topic, partition, known)
        if not written:
            written.append(partition)
            worker.make_account()
        return found

    monkeypatch.setattr(TopicLog, "bounds_beyond", written_meanwhile)
    assert worker.settings().enabled
    assert written
