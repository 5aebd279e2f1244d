"""What Kafka has of ledger and settings, compared with what a database has."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from worker.changelog.records import value_of
from worker.changelog.rows_in_kafka import RowsInKafka, TopicRow
from worker.changelog.table_rows import ChangelogRow
from worker.sqlite.database import open_database


@pytest.fixture
def in_kafka() -> Iterator[RowsInKafka]:
    """None yet."""
    with closing(open_database(":memory:")) as db:
        yield RowsInKafka(db)


def status(customer: str, address: str | None = "a@example.com") -> ChangelogRow:
    """A customer's status; None for a deleted one."""
    return ChangelogRow("customer", ("acct-1", customer), None if address is None else {"address": address})


def record(row: ChangelogRow, *, stray: bool = False) -> TopicRow:
    """The row as a topic has it."""
    return TopicRow(row, value_of(row, erase=False), stray)


def left(in_kafka: RowsInKafka, *, stray: bool) -> list[str]:
    """The customers of the rows that are to be written to the database."""
    return [row.key[1] for rows in in_kafka.pages(stray=stray) for row in rows]


def test_what_only_one_side_has_is_told_apart(in_kafka: RowsInKafka) -> None:
    """Kafka lacks one row, the database another; of one both have the same, and of one they differ."""
    in_kafka.add([record(status(customer)) for customer in ("same", "other", "only")])
    rows = [status("same"), status("other", "b@example.com"), status("missing")]
    assert in_kafka.compare(rows) == [status("missing")]
    assert left(in_kafka, stray=False) == ["other", "only"]


def test_the_last_record_of_a_key_counts_and_deletes_too(in_kafka: RowsInKafka) -> None:
    """A row that Kafka has as deleted is not one that it lacks."""
    in_kafka.add([record(status("ann")), record(status("bob"))])
    in_kafka.add([record(status("ann", None))])
    assert in_kafka.compare([status("ann"), status("bob")]) == []
    assert [row for rows in in_kafka.pages(stray=False) for row in rows] == [status("ann", None)]
    assert in_kafka.find(status("ann").row_key) == status("ann", None)
    assert in_kafka.find(status("eve").row_key) is None


def test_a_row_in_its_own_partition_counts_before_a_stray_one(in_kafka: RowsInKafka) -> None:
    """In any order; a stray row that is in no other partition stays one."""
    old, new = status("ann", "old@example.com"), status("ann", "new@example.com")
    in_kafka.add([record(new), record(old, stray=True), record(status("bob"), stray=True), record(status("eve"))])
    in_kafka.add([record(status("eve", "old@example.com"), stray=True)])
    assert left(in_kafka, stray=True) == ["bob"]
    assert left(in_kafka, stray=False) == ["ann", "eve"]
    assert in_kafka.compare([new, status("eve")]) == []
    assert left(in_kafka, stray=False) == []


def test_notes_on_the_topics_themselves_are_found_and_not_copied(in_kafka: RowsInKafka) -> None:
    """They are valid for no other topics."""
    note = ChangelogRow("topic", ("copied", "worker-1"), {"note": "[]"})
    in_kafka.add([record(note)])
    assert in_kafka.find(note.row_key) == note
    assert left(in_kafka, stray=False) == []
