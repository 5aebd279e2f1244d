"""Of each customer in a batch, keeps what its newest event changes, and what was ignored."""

from __future__ import annotations

from collections.abc import Iterable

from worker.consumer.decode import Event, Record, ids_of
from worker.consumer.erased_customers import ErasedCustomers, is_newer
from worker.consumer.event_order import Known, Verdict, came_later, judge, withdrawal_counts
from worker.consumer.pending import Pending, Stored, event_of, fills, ignored_row, pending_of, row_of, size_of, state_of
from worker.sqlite.database import Database
from worker.store import bare_customers, customers, ignored
from worker.store.counts import CountKind
from worker.store.forgotten import Forgotten

_COUNTED: dict[Verdict, CountKind] = {
    Verdict.REPEAT: "repeated",
    Verdict.OLDER: "older",
    Verdict.OUT_OF_ORDER: "out_of_order",
}
CUSTOMER_BYTES = 500
"""Memory that a customer takes beside the values of its records."""


class NewestEvents:
    """The customers of a batch: what is staged of them, and what their newest events change.

    Customers are identified by account_id/customer_id, as in the keys of their records.

    Attributes:
        memory_bytes: how much memory they take, about.
    """

    def __init__(self, db: Database, topic: str, topic_id: str, erased: ErasedCustomers) -> None:
        """Knows no customer yet."""
        self._db, self._log, self._erased_customers = db, (topic, topic_id), erased
        self._customers: dict[bytes, Stored | Pending] = {}
        self._erased: dict[bytes, Forgotten] = {}
        self._ignored: dict[bytes, tuple[Record, Known]] = {}
        self._fills: dict[bytes, Record] = {}  # of customers that are staged without their fields
        self._has_staged: dict[str, bool] = {}  # whether customers of each account are staged
        self._connected: dict[str, bool] = {}
        self.memory_bytes = 0

    def look_up(self, keys: Iterable[bytes]) -> None:
        """Looks up customers by the keys of their records.

        Raises:
            DatabaseError: they cannot be looked up.
        """
        # A key that is not UTF-8 is of nobody; its text may be of somebody else, whose row is read then too.
        unknown = [key.decode(errors="replace") for key in keys if key not in self._customers]
        if unknown:
            stored = customers.positions_of(self._db, [key for key in unknown if self._is_account_staged(key)])
            self._customers |= {key.encode(): Stored._make(row) for key, row in stored.items()}
            self.memory_bytes += CUSTOMER_BYTES * len(stored)
            self._erased |= self._erased_customers.among_keys(self._db, unknown)

    def _is_account_staged(self, key: str) -> bool:
        # Of an account that is new, no customer needs to be looked up.
        account_id = key.partition("/")[0]
        if account_id not in self._has_staged:
            self._has_staged[account_id] = customers.has_any(self._db, account_id)
        return self._has_staged[account_id]

    def add(self, record: Record, event: Event) -> CountKind | None:
        """Adds the event of a record, whose customer was looked up.

        Returns:
            Why nothing of it is staged; None if something is.
        """
        key, version = event.key, event.version
        if self._erased and key in self._erased and self._is_erased(record, event):
            return "erased"
        before = self._customers.get(key)
        if before is not None and (
            version is None or before.version is None or version <= before.version or before.null
        ):
            # Most events have a higher version than the staged one, and need no further comparison.
            known, new = self._known_of(before), self._known(record, version, event.event_time)
            verdict = judge(known, new)
            if verdict is not Verdict.NEWER:
                filled = self._fill(record, event, before, new, verdict)
                self._pass_over(record, event, before, new, verdict)
                return None if filled else _COUNTED[verdict]
            if version is None:
                version = known.version
        change = pending_of(record, version, event.event_time, event.deleted)
        if event.deleted and not event.withdraws and before is not None and before.changed and before.withdrawn:
            # A deletion does not replace an undelivered withdrawal, which unsubscribes where a deletion would not.
            change = change.withholding(before.state)
        if self._ignored:
            self._ignored.pop(key, None)
        self._put(key, change, before)
        return None

    def _is_erased(self, record: Record, event: Event) -> bool:
        # The deletion that follows an erasing brings nobody back; one who came again since is staged.
        if event.deleted and event.key not in self._customers and not event.withdraws:
            return True
        known = self._known(record, event.version, event.event_time)
        return not is_newer(self._erased[event.key], known, withdraws=event.withdraws)

    def _put(self, key: bytes, new: Pending, before: Stored | Pending | None) -> None:
        self._customers[key] = new
        self.memory_bytes += size_of(new)
        if before is None:
            self.memory_bytes += CUSTOMER_BYTES
        elif isinstance(before, Pending):
            self.memory_bytes -= size_of(before)

    def _fill(self, record: Record, event: Event, before: Stored | Pending, new: Known, verdict: Verdict) -> bool:
        if not isinstance(before, Stored) or not fills(before, event, new, verdict):
            return False
        if not self._is_connected(event.account_id):
            return False  # once it is, its customers are reread
        self._fills[event.key] = record
        self.memory_bytes += len(record.value or b"")
        self._customers[event.key] = before._replace(bare=False, changed=True)
        return True

    def _is_connected(self, account_id: str) -> bool:
        if account_id not in self._connected:
            self._connected[account_id] = bool(bare_customers.connected_among(self._db, [account_id]))
        return self._connected[account_id]

    def _pass_over(self, record: Record, event: Event, before: Stored | Pending, new: Known, verdict: Verdict) -> None:
        key, known = event.key, self._known_of(before)
        if event.withdraws and not before.withdrawn and withdrawal_counts(known, new):
            # Nothing else may be known about a deleted customer.
            change = pending_of(record, known.version, new.time, bool(before.deleted), before.newer)
            self._put(key, change.withholding(change if before.deleted else before.state), before)
        if verdict is Verdict.REPEAT or not came_later(known, new):
            return
        last = self._ignored[key][1] if key in self._ignored else self._ignored_before(key)
        if last is None or judge(last, new) is Verdict.NEWER:
            self._ignored[key] = record, new

    def _ignored_before(self, key: bytes) -> Known | None:
        if self._customers[key].newer:
            return None
        ids = ids_of(key)
        row = ignored.positions_of(self._db, [ids]).get(ids)
        return None if row is None else Known(*row)

    def _known(self, record: Record, version: int | None, event_time: str | None) -> Known:
        return Known(version, *self._log, record.partition, record.offset, event_time)

    def _known_of(self, customer: Stored | Pending) -> Known:
        if isinstance(customer, Stored):
            return customer.known
        return self._known(customer, customer.version, customer.time)._replace(null=customer.null)

    def write(self, at: str) -> None:
        """Stages what is new. Call it in a transaction.

        Args:
            at: the time, as text.
        """
        changes = {key: customer for key, customer in self._customers.items() if isinstance(customer, Pending)}
        ignored.drop(self._db, (ids_of(key) for key, pending in changes.items() if pending.newer))
        self.write_fills(at)
        connected = self._connected_now()
        whole, bare, withdrawn = list[Pending](), list[Pending](), list[Pending]()
        first = dict[tuple[str, int], int]()
        for key in sorted(changes):  # as the table is: its pages are written one after the other
            pending, account_id = changes[key], key.partition(b"/")[0].decode()
            if pending.state is None:
                withdrawn.append(pending)
            elif account_id in connected:
                whole.append(pending)
            else:
                bare.append(pending)
                account = account_id, pending.partition
                first[account] = min(pending.first_offset, first.get(account, pending.first_offset))
        customers.stage(self._db, (row_of(pending, self._log, at) for pending in whole))
        customers.stage(self._db, (row_of(pending, self._log, at, bare=True) for pending in bare), bare=True)
        customers.stage_withdrawals(self._db, (row_of(pending, self._log, at) for pending in withdrawn))
        bare_customers.note(self._db, *self._log, first)

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
        kept = (self._ignored[key] for key in sorted(self._ignored) if ids_of(key)[0] in connected)
        ignored.keep(self._db, (ignored_row(record, known.version, self._log, at) for record, known in kept))

    def _connected_now(self) -> set[str]:
        return bare_customers.connected_among(self._db, self._has_staged)
