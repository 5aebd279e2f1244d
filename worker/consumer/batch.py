"""Stages records in batches: rows, dead letters, counts and next_offset in one transaction."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from worker.consumer.decode import Event, Record, Skipped, Undecodable, decode, ids_of, named_by
from worker.consumer.erased_customers import ErasedCustomers, HashKey, is_newer, no_key
from worker.consumer.event_order import Known, Verdict, came_later, judge, withdrawal_counts
from worker.consumer.messages import letter_of
from worker.consumer.pending import Pending, Stored, bare_state_of, event_of, fills, pending_of, size_of, state_of
from worker.kafka.partitioner import partition_of
from worker.sqlite.database import Database
from worker.store import bare_customers, counts, customers, dead_letters, first_reading, ignored, offsets
from worker.store.counts import CountKind
from worker.store.dead_letters import DeadLetter
from worker.store.forgotten import Forgotten

_COUNTED: dict[Verdict, CountKind] = {
    Verdict.REPEAT: "repeated",
    Verdict.OLDER: "older",
    Verdict.OUT_OF_ORDER: "out_of_order",
}
NOT_STAGED: tuple[CountKind, ...] = ("skipped", "repeated", "older", "out_of_order", "erased")
RESULTS = ("staged", "dead_letter", *NOT_STAGED)
"""The result of a record; see CountKind for those that are not staged."""
CUSTOMER_BYTES = 500
"""Memory that a customer takes beside the values of its records."""


class Batch:
    """Records that were read and not written yet, folded as they come: of each customer only the newest event is kept.

    Customers are identified by account_id/customer_id, as in the keys of their records.

    Attributes:
        size: records in it.
        memory_bytes: how much memory it takes, about.
        next_offsets: of each partition in it.
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
        self._db, self._topic, self._topic_id, self._partitions = db, topic, topic_id, partitions
        self._erased_customers = erased or ErasedCustomers(no_key)
        self._erased: dict[bytes, Forgotten] = {}
        self._stored: dict[bytes, Stored] = {}  # of those who are in the database, and not in newest
        self._newest: dict[bytes, Pending] = {}
        self._ignored: dict[bytes, tuple[Record, Known]] = {}
        self._fills: dict[bytes, Record] = {}  # of customers that are staged without their fields
        self._connected: dict[str, bool] = {}
        self._known_accounts: dict[str, bool] = {}  # whether customers of each account are staged
        self._misplaced: dict[tuple[str, int], bool] = {}  # of each account and partition that was seen
        self._not_staged: set[tuple[int, str, str]] = set()
        self._letters: list[tuple[Record, str]] = []
        self._counts: defaultdict[int, Counter[CountKind]] = defaultdict(Counter)
        self.size = 0
        self.memory_bytes = 0
        self.next_offsets: dict[int, int] = {}

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
        self._look_up({record.key for record in records if record.key is not None})
        for record in records:
            event = decode(record)
            if not isinstance(event, Event):
                self._set_aside(record, event)
                continue
            self._count_faults(event, record)
            if event.key is not record.key:
                self._look_up({event.key})
            self._fold(record, event)

    def _set_aside(self, record: Record, decoded: Skipped | Undecodable) -> None:
        if (name := named_by(record.key)) is not None:
            self._not_staged.add((record.partition, *name))
        if isinstance(decoded, Skipped):
            self._counts[record.partition]["skipped"] += 1
        else:
            self._letters.append((record, decoded.reason))
            self.memory_bytes += len(record.value or b"")

    def _look_up(self, keys: set[bytes]) -> None:
        # A key that is not UTF-8 is of nobody; its text may be of somebody else, whose row is read then too.
        unknown = [key.decode(errors="replace") for key in keys.difference(self._newest).difference(self._stored)]
        if unknown:
            stored = customers.positions_of(self._db, [key for key in unknown if self._has_staged(key)])
            self._stored |= {key.encode(): Stored._make(row) for key, row in stored.items()}
            self.memory_bytes += CUSTOMER_BYTES * len(stored)
            self._erased |= self._erased_customers.among_keys(self._db, unknown)

    def _has_staged(self, key: str) -> bool:
        # Of an account that is new, no customer needs to be looked up.
        account_id = key.partition("/")[0]
        if account_id not in self._known_accounts:
            self._known_accounts[account_id] = customers.has_any(self._db, account_id)
        return self._known_accounts[account_id]

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

    def _fold(self, record: Record, event: Event) -> None:
        key, version = event.key, event.version
        if self._erased and key in self._erased and self._is_erased(record, event):
            self._counts[record.partition]["erased"] += 1
            return
        pending = self._newest.get(key)
        before = pending or self._stored.get(key)
        if before is not None and (
            version is None or before.version is None or version <= before.version or before.null
        ):
            # Most events have a higher version than the staged one, and need no further comparison.
            known, new = self._known_of(before), self._known(record, version, event.event_time)
            verdict = judge(known, new)
            if verdict is not Verdict.NEWER:
                if not self._fill(record, event, new, verdict):
                    self._counts[record.partition][_COUNTED[verdict]] += 1
                self._pass_over(record, event, known, new, verdict)
                return
            if version is None:
                version = known.version
        change = pending_of(record, version, event.event_time, event.deleted)
        if event.deleted and not event.withdraws and self._withdrawal_waits(key):
            # A deletion does not replace an undelivered withdrawal, which unsubscribes where a deletion would not.
            change = change.withholding(None if pending is None else pending.state)
        if self._ignored:
            self._ignored.pop(key, None)
        self._put(key, change, pending)

    def _is_erased(self, record: Record, event: Event) -> bool:
        # The deletion that follows an erasing brings nobody back; one who came again since is staged.
        again = event.key in self._stored or event.key in self._newest
        if event.deleted and not again and not event.withdraws:
            return True
        known = self._known(record, event.version, event.event_time)
        return not is_newer(self._erased[event.key], known, withdraws=event.withdraws)

    def _put(self, key: bytes, new: Pending, before: Pending | None) -> None:
        self._newest[key] = new
        if before is not None:
            self.memory_bytes += size_of(new) - size_of(before)
        else:
            self.memory_bytes += size_of(new) if self._stored.pop(key, None) else size_of(new) + CUSTOMER_BYTES

    def _fill(self, record: Record, event: Event, new: Known, verdict: Verdict) -> bool:
        stored = self._stored.get(event.key)
        if stored is None or not fills(stored, event, new, verdict):
            return False
        if not self._is_connected(event.account_id):
            return False  # once it is, its customers are reread
        self._fills[event.key] = record
        self.memory_bytes += len(record.value or b"")
        self._stored[event.key] = stored._replace(bare=False, changed=True)
        return True

    def _is_connected(self, account_id: str) -> bool:
        if account_id not in self._connected:
            self._connected[account_id] = bool(bare_customers.connected_among(self._db, [account_id]))
        return self._connected[account_id]

    def _withdrawal_waits(self, key: bytes) -> bool:
        if (pending := self._newest.get(key)) is not None:
            return pending.withdrawn
        stored = self._stored.get(key)
        return stored is not None and bool(stored.withdrawn and stored.changed)

    def _pass_over(self, record: Record, event: Event, before: Known, new: Known, verdict: Verdict) -> None:
        key = event.key
        if event.withdraws and withdrawal_counts(before, new):
            self._withdraw(key, record, before, new)
        if verdict is Verdict.REPEAT or not came_later(before, new):
            return
        known = self._ignored[key][1] if key in self._ignored else self._ignored_before(key)
        if known is None or judge(known, new) is Verdict.NEWER:
            self._ignored[key] = record, new

    def _ignored_before(self, key: bytes) -> Known | None:
        pending = self._newest.get(key)
        if pending is not None and pending.newer:
            return None
        ids = ids_of(key)
        row = ignored.positions_of(self._db, [ids]).get(ids)
        return None if row is None else Known(*row)

    def _withdraw(self, key: bytes, record: Record, before: Known, new: Known) -> None:
        pending, stored = self._newest.get(key), self._stored.get(key)
        if pending is not None:
            withdrawn, deleted, state, newer = pending.withdrawn, pending.deleted, pending.state, pending.newer
        else:
            assert stored is not None, "there is something that is newer"
            withdrawn, deleted, state, newer = bool(stored.withdrawn), bool(stored.deleted), None, False
        if not withdrawn:
            # Nothing else may be known about a deleted customer.
            change = pending_of(record, before.version, new.time, deleted, newer)
            self._put(key, change.withholding(change if deleted else state), pending)

    def _known(self, record: Record, version: int | None, event_time: str | None) -> Known:
        return Known(version, self._topic, self._topic_id, record.partition, record.offset, event_time)

    def _known_of(self, customer: Pending | Stored) -> Known:
        if isinstance(customer, Stored):
            return customer.known
        return self._known(customer, customer.version, customer.time)._replace(null=customer.null)

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
            log = self._topic, self._topic_id
            dead_letters.keep(self._db, [letter_of(*log, record, reason, at) for record, reason in letters])
            for partition in self.next_offsets.keys() - read.keys():
                write = offsets.read_on if partition in behind else offsets.move_on
                write(self._db, self._topic, self._topic_id, partition, self.next_offsets[partition], at)

    def write_customers(self, at: str) -> None:
        """Writes only customers and counts. Call it in a transaction."""
        ignored.drop(self._db, (ids_of(key) for key, pending in self._newest.items() if pending.newer))
        self.write_fills(at)
        self._write_newest(at)
        first_reading.note_not_staged(self._db, self._topic, self._topic_id, self._not_staged)
        offsets.note_accounts(self._db, self._topic, self._topic_id, self._misplaced)
        for partition, counted in self._counts.items():
            counts.add(self._db, self._topic, partition, counted)

    def _connected_now(self) -> set[str]:
        return bare_customers.connected_among(self._db, {account_id for account_id, _ in self._misplaced})

    def _write_newest(self, at: str) -> None:
        whole, bare, withdrawn = list[Pending](), list[Pending](), list[Pending]()
        first = dict[tuple[str, int], int]()
        connected = {account_id.encode() for account_id in self._connected_now()}
        for key in sorted(self._newest):  # as the table is: its pages are written one after the other
            pending = self._newest[key]
            if pending.state is None:
                withdrawn.append(pending)
            elif key.partition(b"/")[0] in connected:
                whole.append(pending)
            else:
                bare.append(pending)
                account = ids_of(key)[0], pending.partition
                first[account] = min(pending.first_offset, first.get(account, pending.first_offset))
        customers.stage(self._db, (self._row(pending, at) for pending in whole))
        customers.stage(self._db, (self._row(pending, at, bare=True) for pending in bare), bare=True)
        customers.stage_withdrawals(self._db, (self._row(pending, at) for pending in withdrawn))
        bare_customers.note(self._db, self._topic, self._topic_id, first)

    def write_fills(self, at: str) -> None:
        """Writes only the fields of bare customers and ignored events. Call it in a transaction."""
        connected = self._connected_now()
        rows = (
            (*state_of(event_of(record).customer), at, *ids_of(key))
            for key, record in self._fills.items()
            if ids_of(key)[0] in connected
        )
        bare_customers.fill(self._db, rows)
        # Ignored events of an account that is not connected are not kept: they are reread with the others.
        kept = (key for key in sorted(self._ignored) if ids_of(key)[0] in connected)
        ignored.keep(self._db, (self._ignored_row(*self._ignored[key], at) for key in kept))

    def _row(self, pending: Pending, at: str, *, bare: bool = False) -> tuple[Any, ...]:
        event = event_of(pending)
        if bare:
            return self._columns(event, bare_state_of(pending), pending.deleted, pending.version, pending, at)
        customer, state = event.customer, pending.state
        if state is not pending:
            customer = None if state is None else event_of(state).customer
        if customer is not None and pending.withheld:
            customer.marketing_consent = False
        return self._columns(event, state_of(customer), pending.deleted, pending.version, pending, at)

    def _ignored_row(self, record: Record, known: Known, at: str) -> tuple[Any, ...]:
        event = event_of(record)
        return self._columns(event, state_of(event.customer), event.deleted, known.version, record, at)

    def _columns(
        self,
        event: Event,
        state: tuple[str | None, bytes | None],
        deleted: bool,
        version: int | None,
        record: Record,
        at: str,
    ) -> tuple[Any, ...]:
        return (
            event.account_id,
            event.customer_id,
            *state,
            deleted,
            version,
            event.event_id,
            event.event_time,
            self._topic,
            self._topic_id,
            record.partition,
            record.offset,
            at,
        )


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
