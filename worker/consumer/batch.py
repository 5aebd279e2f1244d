"""Stages records in batches: rows, dead letters, counts and next_offset in one transaction."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence

from worker.consumer.decode import Event, Record, Skipped, Undecodable, decode, named_by
from worker.consumer.erased_customers import ErasedCustomers, HashKey, no_key
from worker.consumer.messages import letter_of
from worker.consumer.newest_events import NewestEvents
from worker.kafka.partitioner import partition_of
from worker.sqlite.database import Database
from worker.store import counts, dead_letters, first_reading, offsets
from worker.store.counts import CountKind
from worker.store.dead_letters import DeadLetter

NOT_STAGED: tuple[CountKind, ...] = ("skipped", "repeated", "older", "out_of_order", "erased")
RESULTS = ("staged", "dead_letter", *NOT_STAGED)
"""The result of a record; see CountKind for those that are not staged."""


class Batch:
    """Records that were read and not written yet, folded as they come: of each customer only the newest event is kept.

    Attributes:
        size: records in it.
        next_offsets: of each partition in it.
        customers: those of its events.
    """

    def __init__(
        self,
        db: Database,
        topic: str,
        topic_id: str,
        partitions: int | None = None,
        erased: ErasedCustomers | None = None,
    ) -> None:
        """Starts an empty batch.

        Args:
            db: the staging database, which is only read until :meth:`write`.
            topic_id: Kafka's id of the topic; "" if the broker does not report it.
            partitions: of the topic, to count records that are in another one than the contract's; None not to count.
            erased: looks up erased customers; None if nobody was erased.
        """
        self._db, self._log, self._partitions = db, (topic, topic_id), partitions
        self._misplaced: dict[tuple[str, int], bool] = {}  # of each account and partition that was seen
        self._not_staged: set[tuple[int, str, str]] = set()
        self._letters: list[tuple[Record, str]] = []
        self._counts: defaultdict[int, Counter[CountKind]] = defaultdict(Counter)
        self._letter_bytes = 0
        self.size = 0
        self.next_offsets: dict[int, int] = {}
        self.customers = NewestEvents(db, topic, topic_id, erased or ErasedCustomers(no_key))

    @property
    def memory_bytes(self) -> int:
        """How much memory it takes, about."""
        return self.customers.memory_bytes + self._letter_bytes

    @property
    def reason(self) -> str | None:
        """Why the first undecodable record could not be decoded; None if all could."""
        return self._letters[0][1] if self._letters else None

    @property
    def results(self) -> dict[str, int]:
        """How many records had each of RESULTS."""
        results: dict[str, int] = {
            result: sum(counted[result] for counted in self._counts.values()) for result in NOT_STAGED
        }
        results["dead_letter"] = len(self._letters)
        return {"staged": self.size - sum(results.values()), **results}

    def add(self, records: Sequence[Record]) -> None:
        """Adds records, in the order in which they were read.

        Raises:
            DatabaseError: their customers cannot be looked up.
        """
        self.size += len(records)
        self.next_offsets |= {record.partition: record.offset + 1 for record in records}
        look_up, add = self.customers.look_up, self.customers.add
        look_up({record.key for record in records if record.key is not None})
        for record in records:
            event = decode(record)
            if not isinstance(event, Event):
                self._set_aside(record, event)
                continue
            self._count_faults(event, record)
            if event.key is not record.key:
                look_up({event.key})
            if (result := add(record, event)) is not None:
                self._counts[record.partition][result] += 1

    def _set_aside(self, record: Record, decoded: Skipped | Undecodable) -> None:
        if (name := named_by(record.key)) is not None:
            self._not_staged.add((record.partition, *name))
        if isinstance(decoded, Skipped):
            self._counts[record.partition]["skipped"] += 1
        else:
            self._letters.append((record, decoded.reason))
            self._letter_bytes += len(record.value or b"")

    def _count_faults(self, event: Event, record: Record) -> None:
        where = event.account_id, record.partition
        misplaced = self._misplaced.get(where)
        if misplaced is None:
            misplaced = bool(self._partitions) and partition_of(where[0], self._partitions) != where[1]
            self._misplaced[where] = misplaced
        if misplaced:
            self._counts[record.partition]["misplaced"] += 1
        if event.key_disagrees:
            self._counts[record.partition]["key_disagrees"] += 1

    def write(self, at: str, behind: Collection[int] = (), again: Mapping[int, int] | None = None) -> None:
        """Stages the whole batch, or nothing. It cannot be used afterwards.

        Args:
            behind: partitions that are not read to their end yet.
            again: partitions that are being reread, each with the offset from which it was never read. Their next
                offset stays until that is done, and their former dead letters are not stored again.

        Raises:
            DatabaseError: nothing was staged.
        """
        read = again or {}
        letters = [letter for letter in self._letters if letter[0].offset >= read.get(letter[0].partition, 0)]
        with self._db.transaction():
            self.write_customers(at)
            dead_letters.keep(self._db, [letter_of(*self._log, record, reason, at) for record, reason in letters])
            for partition in self.next_offsets.keys() - read.keys():
                write = offsets.read_on if partition in behind else offsets.move_on
                write(self._db, *self._log, partition, self.next_offsets[partition], at)

    def write_customers(self, at: str) -> None:
        """Writes only customers and counts. Call it in a transaction."""
        self.customers.write(at)
        first_reading.note_not_staged(self._db, *self._log, self._not_staged)
        offsets.note_accounts(self._db, *self._log, self._misplaced)
        for partition, counted in self._counts.items():
            counts.add(self._db, self._log[0], partition, counted)


def replay(db: Database, letter: DeadLetter, at: str, hash_key: HashKey = no_key) -> str | None:
    """Decodes a dead letter again with this release; deletes it once it is staged or skipped.

    An event of a customer who was erased since is skipped.

    Args:
        db: outside of a transaction.

    Returns:
        Why it still cannot be decoded; None if it can.
    """
    with db.transaction():
        batch = Batch(db, letter.topic, letter.topic_id, erased=ErasedCustomers(hash_key))
        batch.add([Record(letter.partition, letter.offset, letter.key, letter.value, letter.headers)])
        if batch.reason is None:
            batch.write_customers(at)
            dead_letters.drop(db, letter.number)
    return batch.reason
