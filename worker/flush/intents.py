"""The intents of one step group: each write whose answer could be lost is recorded before it is sent."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from worker.fields.field_hashes import not_sure
from worker.flush.step_result import StepResult
from worker.model import AccountId, CustomerId, MembershipKey
from worker.plan.identity import lost
from worker.plan.steps import Target, Update
from worker.sqlite.changed_rows import Rows
from worker.sqlite.database import Database
from worker.store import ledger, update_intents
from worker.store.ledger import LedgerEntry
from worker.store.update_intents import UpdateIntent

WriteAhead = Callable[[Sequence[LedgerEntry], Sequence[tuple[CustomerId, MembershipKey]]], None]
"""Writes entries with intents, and the memberships of customers who had none, in one transaction."""


@dataclass(slots=True)
class Intents:
    """What a step group is about to do. Not thread-safe.

    Attributes:
        known: ledger entries that are newer than the plan.
        refused: merge tag to title, of fields that Mailchimp refused at a place; the next try omits them.
    """

    write_ahead: WriteAhead
    known: dict[MembershipKey, LedgerEntry] = field(default_factory=dict)
    refused: dict[MembershipKey, dict[str, str]] = field(default_factory=dict)
    _before: dict[MembershipKey, LedgerEntry | None] = field(default_factory=dict)
    _taken_back: dict[MembershipKey, LedgerEntry | None] = field(default_factory=dict)
    _lost: dict[MembershipKey, LedgerEntry] = field(default_factory=dict)

    def begin(self, intended: LedgerEntry, before: LedgerEntry | None, targets: Iterable[Target]) -> None:
        """Records what is about to be done to a place.

        Args:
            intended: the entry with its intent.
            before: the entry to restore if nothing was done; None for none.
            targets: the customers who must be known there if the answer is lost.

        Raises:
            Halted: nothing may be written any more.
        """
        membership = intended.membership
        self.write_ahead([intended], [(target.customer_id, membership) for target in targets])
        self.known[membership], self._before[membership] = intended, before
        self._taken_back.pop(membership, None)
        self._lost.pop(membership, None)

    def note(self, seen: LedgerEntry, targets: Iterable[Target]) -> None:
        """Records at once what a read shows about a member: that it left, or what a write is about to change.

        Args:
            seen: the place's new entry, however the step ends.
            targets: the customers who are known there from now on, if they had no membership.

        Raises:
            Halted: nothing may be written any more.
        """
        known = self.known.get(seen.membership)
        if known is None or _said(known) != _said(seen):
            self.write_ahead([seen], [(target.customer_id, seen.membership) for target in targets])
            self.known[seen.membership] = seen

    def take_back(self, membership: MembershipKey) -> None:
        """Records that an answer proved that nothing was done."""
        if membership not in self._before:
            return
        before = self._taken_back[membership] = self._before.pop(membership)
        if before is not None:
            self.known[membership] = before
        else:
            self.known.pop(membership, None)

    def lose(self, membership: MembershipKey, date: datetime | None, seconds: float) -> None:
        """Records that it is unknown whether a write was done.

        Args:
            date: Mailchimp's time of the answer; None if there was none.
            seconds: how long the call took.
        """
        entry = self.known.get(membership)
        if entry is not None and entry.intent is not None:
            self.known[membership] = self._lost[membership] = replace(entry, intent=lost(entry.intent, date, seconds))

    def lose_fields(self, membership: MembershipKey, entry: LedgerEntry | None, fields: Iterable[str]) -> None:
        """Records that it is unknown whether fields were accepted.

        Args:
            entry: of the place; None if there was none.
            fields: merge tags of what was sent.
        """
        known = self.known.get(membership, entry)
        if known is not None:
            self.known[membership] = self._lost[membership] = replace(known, fields=not_sure(known.fields, fields))

    def close(self, result: StepResult) -> None:
        """Adds what was taken back to the result of the step that ended, and takes over what that wrote."""
        written = {entry.membership for entry in result.entries}.union(result.dropped, result.undone)
        for membership, before in self._taken_back.items():
            if membership in written:
                continue
            if before is None:
                result.undone.append(membership)
            else:
                result.entries.append(before)
        result.entries += [entry for membership, entry in self._lost.items() if membership not in written]
        self.known |= {entry.membership: entry for entry in result.entries}
        for membership in (*result.dropped, *result.undone):
            self.known.pop(membership, None)
        self._before.clear()
        self._taken_back.clear()
        self._lost.clear()


def note_updates(db: Database, account_id: AccountId, updates: Iterable[Update], at: str) -> None:
    """Stores which fields updates are about to send, in a transaction that is committed before the first call.

    Not stored in Kafka, unlike intents: another worker that takes over from a dead one does not know of them.
    """
    begun = [
        UpdateIntent(update.entry.customer_id, update.membership.list_id, list(update.changes), at)
        for update in updates
    ]
    update_intents.note(db, account_id, begun)


def doubt_update_intents(db: Database, account_id: AccountId) -> Rows:
    """Records in the ledger that updates of a dead process may have been done, in the caller's transaction."""
    begun = {(intent.customer_id, intent.list_id): intent for intent in update_intents.of_account(db, account_id)}
    doubtful = []
    for entry in ledger.owned_by(db, account_id, {intent.customer_id for intent in begun.values()}):
        update = begun.get((entry.customer_id, entry.membership.list_id))
        if update is not None and entry.sent_at < update.begun_at:  # otherwise its answer is known
            doubtful.append(replace(entry, fields=not_sure(entry.fields, update.fields)))
    update_intents.clear(db, account_id)
    return ledger.put_entries(db, account_id, doubtful)


def _said(entry: LedgerEntry) -> tuple[object, ...]:
    return entry.state, entry.member_status, entry.contact_id, entry.intent, entry.names_agreed, entry.member_tags
