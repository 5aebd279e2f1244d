"""Whether ledger and settings in Kafka are whole, and kept so that they stay whole."""

from __future__ import annotations

import json

import pytest

from worker.changelog.loss import Note, check_beginning, check_identity
from worker.changelog.topics import ChangelogTopic, durability_of, new_topic
from worker.errors import LedgerLost

TOPIC = ChangelogTopic("x.ledger", "id-1", 6)


def test_the_same_topic_is_whole() -> None:
    """Also where nothing was said of it yet, or where the broker tells no ids."""
    check_identity(TOPIC, Note("x.ledger", "id-1", 6), "x.settings")
    check_identity(TOPIC, None, "x.settings")
    check_identity(ChangelogTopic("x.ledger", "", 4), Note("x.ledger", "id-1", 6), "x.settings")
    check_identity(TOPIC, Note("x.ledger", ""), "x.settings")


@pytest.mark.parametrize(
    ("note", "told"), [(Note("x.ledger", "id-0", 6), "recreated"), (Note("x.ledger", "id-1", 3), "had 3")]
)
def test_another_topic_is_a_loss(note: Note, told: str) -> None:
    """One that was recreated, and one with other partitions, in which accounts' ledgers are not found."""
    with pytest.raises(LedgerLost, match=told) as lost:
        check_identity(TOPIC, note, "x.settings")
    assert "mailchimp-worker ledger accept-loss" in lost.value.advice


def test_a_log_that_begins_later_is_a_loss_until_that_is_accepted() -> None:
    """A compacted log begins at offset 0 forever."""
    check_beginning(TOPIC, 2, 0, {})
    check_beginning(TOPIC, 2, 7, {2: 7})
    for accepted in ({}, {1: 7}, {2: 6}):
        with pytest.raises(LedgerLost, match="begins at offset 7"):
            check_beginning(TOPIC, 2, 7, accepted)


def test_a_note_comes_back_as_it_was() -> None:
    """Also one that a later release wrote more into; what is no note counts as none."""
    note = Note("x.ledger", "id-1", 6, {2: 7}, {0: 3})
    (text,) = (note.of_ledger().row or {}).values()
    assert Note.from_text(text) == note
    assert Note.from_text(json.dumps(json.loads(text) | {"more": 1})) == note
    for other in (None, "", "null", "[]", "{}", '{"name": "y", "topic_id": "x", "partitions": "many"}'):
        assert Note.from_text(other) is None


@pytest.mark.parametrize(
    ("brokers", "replicas", "min_insync", "weak", "warned"),
    [
        (1, 1, 1, False, True),
        (3, 1, 1, True, False),
        (3, 3, 1, True, False),
        (3, 2, 2, False, True),
        (3, 3, 2, False, False),
    ],
)
def test_how_a_topic_may_be_kept(brokers: int, replicas: int, min_insync: int, weak: bool, warned: bool) -> None:
    """Check fails where one disk or one broker can take the ledger with it; a single broker is for trying out."""
    found = durability_of("x.ledger", brokers, replicas, min_insync)
    assert [one is not None for one in found] == [weak, warned]


def test_a_new_topic_is_kept_on_as_many_brokers_as_there_are_up_to_three() -> None:
    """Two of them must have a record before it counts as written."""
    assert "min.insync.replicas" not in new_topic("x", 6, 1).config
    for brokers in (2, 3, 5):
        made = new_topic("x", 6, brokers)
        assert made.replication_factor == min(brokers, 3)
        assert {"cleanup.policy": "compact", "min.insync.replicas": "2"}.items() <= made.config.items()
