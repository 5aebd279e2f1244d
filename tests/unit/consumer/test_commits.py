"""Who had a partition last: whose calls are waited for, and whose receipts are missing here."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from confluent_kafka import KafkaError as LibraryError
from confluent_kafka import TopicPartition

from tests.unit.consumer.test_owned_partitions import Timer
from worker.clock import as_text
from worker.config import Kafka
from worker.consumer.assignment import Reading
from worker.consumer.commits import Commits
from worker.consumer.group_session import GroupSession
from worker.kafka.client import Problems
from worker.sqlite.database import Database
from worker.store import offsets

TOPIC, NOW, WAIT = "customers", datetime(2026, 11, 20, 10, tzinfo=UTC), 120.0


class Group:
    """What the group has of each partition."""

    def __init__(self) -> None:
        self.positions: dict[int, TopicPartition] = {}

    def committed(self, asked: Sequence[TopicPartition], timeout: float) -> list[TopicPartition]:
        """Returns it."""
        return [self.positions.get(one.partition, one) for one in asked]

    def commit(self, *, offsets: Sequence[TopicPartition], asynchronous: bool) -> None:
        """Takes offsets."""
        self.positions |= {one.partition: one for one in offsets}


@pytest.fixture
def db(db: Database) -> Database:
    """The database of worker-2."""
    offsets.instance_id(db, "worker-2")
    return db


def commits_of(name: str, session: GroupSession | None = None) -> Commits:
    """Commits of a worker."""
    return Commits(Kafka(topic=TOPIC), Problems(), name, session or GroupSession(), WAIT)


def reading() -> Reading:
    """Of partition 0, which is read to offset 5."""
    made = Reading(0)
    made.find_start(5, 5)
    made.start(0.0)
    return made


@pytest.mark.parametrize(
    ("last", "released", "seconds"),
    [
        (None, False, None),
        ("worker-2-here", False, None),
        ("worker-2-here", True, None),
        ("worker-2-before-the-reboot", True, None),
        ("worker-1-there", False, WAIT),
        ("worker-1-there", True, 0.0),
    ],
)
def test_receipts_begin_where_the_calls_of_another_owner_end(
    db: Database, last: str | None, released: bool, seconds: float | None
) -> None:
    """At once if it had ended in order; what this database delivered itself stays complete."""
    group = Group()
    if last is not None:
        commits, read = commits_of(last), [reading()]
        commits.claim(read)
        commits.released = released
        commits.commit(group, read)
    owners = commits_of("worker-2-here").last_owners(group, [0, 1])
    owners.note(db, TOPIC, [0, 1], NOW)
    since = None if seconds is None else as_text(NOW + timedelta(seconds=seconds))
    assert offsets.taken_since(db, TOPIC, [0]) == since
    assert offsets.taken_since(db, TOPIC, [1]) is None
    waits = not released and last not in (None, "worker-2-here")
    assert owners.waits == ({0: WAIT} if waits else {})


def test_a_partition_that_an_earlier_release_gave_back_may_have_been_anybodys(db: Database) -> None:
    """It left no name then."""
    group = Group()
    group.commit(offsets=[TopicPartition(TOPIC, 0, 5, metadata="")], asynchronous=True)
    owners = commits_of("worker-2-here").last_owners(group, [0])
    owners.note(db, TOPIC, [0], NOW)
    assert owners.waits == {}
    assert offsets.taken_since(db, TOPIC, None) == as_text(NOW)


def test_only_the_answer_to_a_commit_sent_after_a_silence_shows_that_the_worker_is_a_member() -> None:
    """An answer from before may come after it; a refusal shows nothing, and another commit follows a second later."""
    timer = Timer()
    session, group = GroupSession(timer, 48), Group()
    commits, read = commits_of("worker-2-here", session), [reading()]
    session.polled()
    commits.claim(read)
    commits.commit(group, read)
    timer.now = 50
    session.polled()
    assert commits.due()
    commits.answered(None, [])
    assert session.doubted_at is not None
    refused = LibraryError(LibraryError.REBALANCE_IN_PROGRESS)
    for answer in (refused, None):
        group.positions.clear()
        commits.claim(read)
        commits.commit(group, read)
        assert group.positions
        assert session.doubted_at is not None
        commits.claim(read)
        assert read[0].uncommitted is None
        commits.answered(answer, [])
        timer.now += 1.1
    assert session.doubted_at is None
    assert not commits.due()
