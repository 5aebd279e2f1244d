"""From Kafka into staging, and on from where staging says."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.integration.reading import ACCOUNT, reading
from tests.integration.topic import Topic, event
from worker.kafka import admin
from worker.kafka.partitioner import partition_of
from worker.sqlite.database import open_database
from worker.store import counts, customers, dead_letters


def test_stages_what_the_topic_holds(topic: Topic, path: Path) -> None:
    """Customers of every account and partition, each once and as its newest event says."""
    people = [event(f"cus-{n}", f"acct-{n % 3}", version=round) for round in (1, 2) for n in range(300)]
    topic.publish(people)
    with reading(topic, path) as worker:
        worker.to_the_end()
        assert customers.accounts_with_changes(worker.db) == {f"acct-{n}": 100 for n in range(3)}
        assert set(worker.versions().values()) == {2}
        assert sum(worker.next_offsets().values()) == 600
        assert not counts.totals(worker.db, topic.name)


def test_a_record_that_is_not_understood_stops_nothing(topic: Topic, path: Path) -> None:
    """It becomes a dead letter as Kafka had it, and the event after it is staged."""
    topic.produce(b"\xff\x00hello", b"\xffkey", 1, [("h", b"\xff"), ("none", None)])
    topic.produce(None, b"nobody", 1)
    topic.produce(b"", None, 1)
    topic.publish([event("cus-1")])
    with reading(topic, path) as worker:
        worker.to_the_end()
        letters = {one.offset: one for one in dead_letters.all_letters(worker.db)}
        assert (letters[0].key, letters[0].value) == (b"\xffkey", b"\xff\x00hello")
        assert letters[0].headers == [("h", b"\xff"), ("none", None)]
        assert (letters[1].value, letters[2].value) == (None, b"")
        assert customers.total_count(worker.db) == 1


def test_goes_on_from_the_database_not_from_kafka(topic: Topic, path: Path, tmp_path: Path) -> None:
    """What the group committed does not matter: an empty database reads all, a full one nothing again."""
    topic.publish(event(f"cus-{n}") for n in range(10))
    with reading(topic, path) as worker:
        worker.to_the_end()
    with reading(topic, tmp_path / "empty.db", group_id=f"other-{topic.name}") as worker:
        worker.to_the_end()
        assert customers.total_count(worker.db) == 10
    topic.publish([event("cus-new")])
    with reading(topic, path) as worker:
        worker.to_the_end()
        assert customers.total_count(worker.db) == 11
        assert worker.owned_partitions.backlog() == (1, 1)
        assert not counts.totals(worker.db, topic.name)


def test_reads_again_what_was_not_staged(topic: Topic, path: Path) -> None:
    """A database without the last batch, as after a crash, gets that batch again and doubles nothing."""
    topic.publish(event(f"cus-{n}", version=1) for n in range(10))
    with reading(topic, path) as worker:
        worker.to_the_end()
    db = open_database(path)
    with db.transaction():
        db.execute("UPDATE next_offset SET next_offset = next_offset / 2")
    db.close()
    with reading(topic, path) as worker:
        worker.to_the_end()
        assert customers.total_count(worker.db) == 10
        assert {one.revision for one in customers.changed(worker.db, ACCOUNT, None, 100)} == {1}
        assert counts.totals(worker.db, topic.name) == {"repeated": 5}


def test_what_trickles_in_is_staged_within_a_second(topic: Topic, path: Path) -> None:
    """One event at a time, each staged before a second is over."""
    with reading(topic, path) as worker:
        worker.to_the_end()
        for n in range(5):
            topic.publish([event(f"cus-{n}")])
            began = time.monotonic()
            worker.until(lambda n=n: customers.total_count(worker.db) == n + 1)
            assert time.monotonic() - began < 1


def test_the_group_sees_how_far_the_worker_is(whole_kafka: object, topic: Topic, path: Path) -> None:
    """Offsets are committed for tools that measure lag, with the worker's name beside."""
    from confluent_kafka import Consumer as LibraryConsumer
    from confluent_kafka import TopicPartition

    topic.publish(event(f"cus-{n}") for n in range(10))
    partition = partition_of(ACCOUNT, topic.partitions)
    with reading(topic, path) as worker:
        worker.to_the_end()
    settings = topic.settings()
    asking = LibraryConsumer({"bootstrap.servers": settings.bootstrap_servers, "group.id": settings.group_id})
    (told,) = asking.committed([TopicPartition(topic.name, partition)], timeout=10)
    asking.close()
    assert told.offset == 10
    assert str(told.metadata).startswith("worker-")


@pytest.mark.parametrize("released", [True, False], ids=["ended in order", "with calls under way"])
def test_a_new_owner_waits_for_calls_of_the_one_before(
    whole_kafka: object, topic: Topic, path: Path, tmp_path: Path, released: bool
) -> None:
    """It reads on, and delivers nothing until they must be over; unless the one before had none, or was itself."""
    topic.publish(event(f"cus-{n}") for n in range(10))
    for _ in range(2):
        with reading(topic, path) as first:
            first.to_the_end()
            first.consumer.commits.released = released
    with reading(topic, tmp_path / "second.db") as second:
        second.until(lambda: not second.owned_partitions.behind() and customers.total_count(second.db) == 10)
        waits = second.owned_partitions.waiting_seconds() > 0
        assert waits != released
        partition = partition_of(ACCOUNT, topic.partitions)
        assert (partition in second.owned_partitions.ready()) == released


def test_partitions_move_to_a_worker_that_joins(whole_kafka: object, topic: Topic, path: Path, tmp_path: Path) -> None:
    """Two workers share the partitions; each goes on from its own database, and what one loses it may not call for."""
    topic.publish(event(f"cus-{n}", account) for account in ("acct-1", "acct-2") for n in range(10))
    with reading(topic, path) as first:
        first.to_the_end()
        assert first.owned_partitions.owned() == {0, 1}
        with reading(topic, tmp_path / "second.db") as second:
            second.until(
                lambda: (
                    second.owned_partitions.owned()
                    and first.owned_partitions.owned()
                    and not second.owned_partitions.behind()
                )
            )
            mine, yours = first.owned_partitions.owned(), second.owned_partitions.owned()
            assert mine | yours == {0, 1}
            assert not mine & yours
            assert not first.owned_partitions.held(yours)
            assert second.owned_partitions.may_call(second.owned_partitions.held(yours))
            assert sum(customers.accounts_with_changes(second.db).values()) == sum(
                count
                for account, count in customers.accounts_with_changes(first.db).items()
                if partition_of(account, topic.partitions) in yours
            )


def test_a_worker_that_was_killed_gets_its_partitions_back_at_once(topic: Topic, path: Path) -> None:
    """The name in the group is kept with the database, so nobody waits for the old session to time out."""
    topic.publish([event("cus-1")])
    slow = {"session.timeout.ms": "45000"}
    with reading(topic, path, **slow) as worker:
        worker.to_the_end()
    # A worker with a name of its own does not say that it leaves: to the group this end looks like a kill.
    began = time.monotonic()
    with reading(topic, path, **slow) as worker:
        worker.to_the_end()
    assert time.monotonic() - began < 15


def test_a_topic_recreated_is_read_from_its_beginning(whole_kafka: object, topic: Topic, path: Path) -> None:
    """A recreated topic is recognised by its id, even if its offsets look unchanged."""
    topic.publish(event(f"old-{n}") for n in range(5))
    with reading(topic, path) as worker:
        worker.to_the_end()
    topic.delete()
    _create_again(topic)
    topic.publish(event(f"new-{n}") for n in range(8))
    with reading(topic, path) as worker:
        worker.to_the_end()
        assert {one for one in worker.versions() if one.startswith("new-")} == {f"new-{n}" for n in range(8)}
        assert counts.totals(worker.db, topic.name) == {"recreated": 1}


def test_a_topic_recreated_while_it_is_read_is_read_from_its_beginning(
    whole_kafka: object, topic: Topic, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that is running notices by itself that the topic was recreated."""
    monkeypatch.setattr(admin, "WATCH_SECONDS", 0.2)
    topic.publish(event(f"old-{n}") for n in range(5))
    with reading(topic, path) as worker:
        worker.to_the_end()
        topic.delete()
        _create_again(topic)
        topic.publish(event(f"new-{n}") for n in range(8))
        worker.until(lambda: {f"new-{n}" for n in range(8)} <= set(worker.versions()))
        assert counts.totals(worker.db, topic.name)["recreated"] == 1


def test_records_that_expired_unread_are_reported_and_reading_goes_on(
    whole_kafka: object, topic: Topic, path: Path
) -> None:
    """The log was truncated past next_offset: it is counted, and read from where it begins now."""
    topic.publish(event(f"cus-{n}") for n in range(5))
    with reading(topic, path) as worker:
        worker.to_the_end()
    topic.publish(event(f"cus-{n}") for n in range(5, 10))
    topic.truncate(partition_of(ACCOUNT, topic.partitions), 8)
    with reading(topic, path) as worker:
        worker.to_the_end()
        assert customers.total_count(worker.db) == 7
        assert counts.totals(worker.db, topic.name) == {"expired": 1}


def _create_again(topic: Topic) -> None:
    # Deleting goes on for a moment after it was answered.
    from confluent_kafka import KafkaException

    for _ in range(100):
        try:
            topic.create()
        except KafkaException:
            time.sleep(0.1)
        else:
            return
    raise AssertionError("the topic could not be made again")
