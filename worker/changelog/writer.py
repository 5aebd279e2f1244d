"""Commits changes: rows of ledger and settings to Kafka first, then everything to the database."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TypeVar

from worker.changelog.outcome_records import outcome_text
from worker.changelog.record_writer import OF_SETTINGS, Acknowledged, RecordWriter
from worker.changelog.records import key_of
from worker.changelog.table_rows import ChangelogRow, rows_of
from worker.errors import KafkaError, WriterFenced
from worker.sqlite.database import Database, Rehearsal
from worker.sqlite.rows import Changed, RowKey
from worker.store import customer_outcomes, dead_letters, offsets

MOST_TRIES = 10
"""How often a change is retried because another worker, command or thread changed what it depends on."""

_Result = TypeVar("_Result")
_Key = tuple[str, ...]


class RowClaims:
    """Claims on rows: one commit of this process at a time writes a row, from its rehearsal until it is committed.

    Otherwise Kafka could have two commits of a row in one order, and the database in the other. Thread-safe.
    """

    def __init__(self) -> None:
        self._claimed = set[RowKey]()
        self._changed = threading.Condition()

    @contextmanager
    def claim(self) -> Iterator[set[RowKey]]:
        """Provides the rows that one commit has claimed, none at first; they are released at the end of the block."""
        claimed = set[RowKey]()
        try:
            yield claimed
        finally:
            self.replace(claimed, ())

    def replace(self, claimed: set[RowKey], rows: Iterable[RowKey]) -> None:
        """Releases what a commit has claimed, then waits until nobody else has any of these rows, and claims them.

        Nothing is held while it waits, so two commits never wait for each other. Others may have written any row
        meanwhile: rehearse again if they did.
        """
        wanted = set(rows)
        with self._changed:
            self._claimed -= claimed
            claimed.clear()
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._claimed.isdisjoint(wanted))
            claimed |= wanted
            self._claimed |= wanted


@dataclass(slots=True)
class _Sent:
    """What Kafka may have of a commit that the database does not have yet.

    Attributes:
        outcome_keys: the keys of customers whose outcomes were sent.
    """

    keys: dict[RowKey, None] = field(default_factory=dict)
    outcome_keys: set[_Key] = field(default_factory=set)
    acknowledged: list[Acknowledged] = field(default_factory=list)


class _ChangedMeanwhile(Exception):
    """The transaction would write other rows than those sent to Kafka."""


@dataclass(eq=False)
class ChangelogWriter(RecordWriter):
    """Commits changes to Kafka and a database. Thread-safe.

    So Kafka is never behind the database: after a crash, the next start reads what only Kafka has. Both have the
    commits of a row in the same order: see :class:`RowClaims`.

    Attributes:
        take_settings: takes the settings topic over again and reads it to its end, after another writer took it over.
    """

    take_settings: Callable[[], None] | None = field(default=None, init=False)
    _claims: RowClaims = field(default_factory=RowClaims, init=False)
    _settings_lock: threading.Lock = field(default_factory=threading.Lock, init=False)

    # Commits: Kafka first, without locking the database meanwhile

    def commit(self, db: Database, write: Callable[[], Changed[_Result]], *, erase: bool = False) -> _Result:
        """Commits what a function writes in one transaction, after Kafka has its ledger and settings rows.

        The function is rehearsed in a transaction that is rolled back. Its rows are claimed and written to Kafka while
        the database is not locked. If nobody else has written meanwhile, a transaction repeats the rehearsed
        statements. Otherwise it calls the function again, and commits if the rows are the same.

        Args:
            db: outside of a transaction.
            write: only writes to the database, and returns which rows it wrote. May be called more than once.
            erase: whether deleted rows must be erased from Kafka too.

        Returns:
            The result of the function.

        Raises:
            DatabaseError: the transaction could not begin or commit.
            WriterFenced: another worker took over a ledger partition; nothing is committed.
            KafkaError: Kafka may not have accepted the rows, or they changed in every try; nothing is committed.
        """
        sent = _Sent()
        with self._claims.claim() as claimed:
            for _ in range(MOST_TRIES):
                rehearsal, changed, rows = self._rehearse(db, write, sent, claimed, erase=erase)
                deleted = {row.row_key for row in rows if row.row is None}
                # Those of an earlier try only Kafka may have; the database never had them.
                erased = deleted if erase else deleted.difference(changed.rows)
                outcome_rows = self._outcome_rows(db, rows, sent.outcome_keys, erase=erase)
                sent.keys |= dict.fromkeys(changed.rows)
                sent.outcome_keys |= {row.key for row in outcome_rows}
                try:
                    latest = self.write(rows, outcome_rows=outcome_rows, erased=erased) if rows else []
                except WriterFenced:
                    if not self._may_try_again(rows):
                        raise
                    continue
                sent.acknowledged += latest
                with suppress(_ChangedMeanwhile):
                    with db.transaction():
                        _refuse_if_read_further(db, latest)
                        if not db.repeat(rehearsal):
                            changed = write()
                            if not _same(rows, rows_of(db, [*sent.keys, *changed.rows])):
                                raise _ChangedMeanwhile
                        if changed.rest is not None:
                            changed.rest()
                        self._note(db, sent.acknowledged)
                    for part in sent.acknowledged:
                        part.writer.committed(part.offsets)
                    return changed.result
        raise KafkaError(
            f"Ledger or settings were changed by others each of {MOST_TRIES} times while Kafka was asked.",
            "Nothing was confirmed. Try again.",
        )

    def _rehearse(
        self, db: Database, write: Callable[[], Changed[_Result]], sent: _Sent, claimed: set[RowKey], *, erase: bool
    ) -> tuple[Rehearsal, Changed[_Result], list[ChangelogRow]]:
        """Returns an up-to-date rehearsal, and the rows that it would write, all of them claimed."""
        while True:
            with db.rehearsal() as rehearsal:
                changed = write()
                rows = rows_of(db, [*sent.keys, *changed.rows])
                _refuse_unread(db, rows, erase=erase)
            keys = {row.row_key for row in rows}
            if not claimed >= keys:
                self._claims.replace(claimed, claimed | keys)
                if not db.unchanged_since(rehearsal):
                    continue
            return rehearsal, changed, rows

    def _outcome_rows(
        self, db: Database, rows: Sequence[ChangelogRow], before_it: Collection[_Key], *, erase: bool
    ) -> list[ChangelogRow]:
        # The customer statuses whose outcome differs from the committed one, or from that of an earlier try.
        if not self.publishes_outcomes:
            return []
        customers = [row for row in rows if row.kind == "customer"]
        before = customer_outcomes.texts_of(db, [row.key for row in customers]) if customers else {}
        return [
            row
            for row in customers
            if outcome_text(row) != before.get(row.key) or row.key in before_it or (erase and row.row is None)
        ]

    def _may_try_again(self, rows: Sequence[ChangelogRow]) -> bool:
        # Only the settings are shared: a worker that lost a partition of the ledger must not continue.
        ledger = self.topics.ledger
        with self._lock:
            ledger_partitions = {partition for name, partition in self._writers if name == ledger.name}
        if self.take_settings is None or not ledger_partitions >= {
            ledger.partition_of(row.key[0]) for row in rows if row.kind not in (*OF_SETTINGS, "topic")
        }:
            return False
        partitions = self.topics.settings.partitions
        with self._settings_lock:
            with self._lock:
                holds_all = all(
                    (self.topics.settings.name, partition) in self._writers for partition in range(partitions)
                )
            if not holds_all:
                self.take_settings()
        return True


def _refuse_unread(db: Database, rows: Sequence[ChangelogRow], *, erase: bool) -> None:
    letters = [] if erase or not rows else dead_letters.of_changelog(db)
    unread = {letter.key: letter for letter in letters}
    for row in rows if unread else ():
        if (letter := unread.get(key_of(row))) is not None:
            raise KafkaError(
                "This release cannot apply the record that Kafka has, so the worker does not overwrite it: "
                f"{letter.reason}.",
                f"See mailchimp-worker dead-letters show {letter.number}. If a later release wrote it, run that one.",
            )


def _refuse_if_read_further(db: Database, acknowledged: Sequence[Acknowledged]) -> None:
    # Another process that works on this database, or another worker, has written after this commit's rows.
    for part in acknowledged:
        known = offsets.next_of(db, part.topic.name, part.topic.topic_id, part.partition)
        if known is not None and known > part.writer.end:
            raise _ChangedMeanwhile


def _same(rows: Sequence[ChangelogRow], other_rows: Sequence[ChangelogRow]) -> bool:
    return {(row.kind, row.key): row.row for row in rows} == {(row.kind, row.key): row.row for row in other_rows}
