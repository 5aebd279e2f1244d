"""Which members of a list are to be read: from when on, and whether departures of strangers first."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import get_args

from worker.clock import as_moment, as_text
from worker.model import ListId
from worker.sqlite.database import Database
from worker.store import accounts, readings, strangers
from worker.store.accounts import AccountSettings
from worker.store.readings import DepartedStatus, Reading, ReadStatus
from worker.store.strangers import AddressHashes

OVERLAP = timedelta(minutes=10)
"""How long before the start of the last reading the next one begins, as Mailchimp's own servers may lag."""
_FIRST = datetime.min.replace(tzinfo=UTC) + OVERLAP
DEPARTED: tuple[ReadStatus, ...] = get_args(DepartedStatus)
"""The statuses of departures, in the order of reading."""
WHOLE: tuple[ReadStatus, ...] = ("all", "archived")
"""The statuses of a full reading."""


@dataclass(frozen=True, slots=True)
class MembersToRead:
    """The members of a list that are not known yet.

    Attributes:
        start: where to start or continue.
        base: the time from which members of each status are read, as text; None for all.
        fields: whether to read their merge fields too.
    """

    list_id: ListId
    start: Reading
    base: str | None
    fields: bool = False


def members_to_read(
    db: Database, settings: AccountSettings, list_id: ListId, hashes: AddressHashes, *, whole: bool = False
) -> Iterator[MembersToRead]:
    """Yields which members of a list are to be read; read them before requesting more.

    Strangers' departures are read first, from the time up to which they are known here, if another list needs them: the
    hashes may be lost with the database or the key, or the list was read by another worker or an earlier release.

    Args:
        whole: whether to read all members: those too whose contacts are not known here, for the same reasons. A list
            that was once read in full always is, from the last time on: that costs less.
    """
    on_list, this = settings.list_of(list_id), _ListToRead(db, list_id, hashes)
    departures = on_list.departures_read_at if on_list is not None else None
    members = on_list.members_read_at if on_list is not None else None
    ours = list_id not in accounts.stored_by_others(db, settings.account_id)
    if whole and ours:
        members = this.contacts_known_at(members)
    whole = whole or members is not None
    usual = this.since(members if whole else departures, whole=whole)
    needed = any(stored.list_id != list_id and not stored.gone for stored in settings.stored)
    if needed and not usual.start.strangers and ours:
        yield this.departures_of_strangers()
        if not whole:
            return  # that was more than the usual
        usual = this.since(members, whole=True)
    yield usual


@dataclass(frozen=True, slots=True)
class _ListToRead:
    """Finds where to start or continue a reading of one list."""

    db: Database
    list_id: ListId
    hashes: AddressHashes

    def contacts_known_at(self, members_read_at: datetime | None) -> datetime | None:
        known_at = strangers.contacts_read_at(self.db, self.hashes, self.list_id)
        return None if members_read_at is None or known_at is None else min(members_read_at, known_at)

    def since(self, read_at: datetime | None, *, whole: bool) -> MembersToRead:
        base, begun = _before(read_at), self._begun(whole=whole)
        if begun is None or (whole and base is None and not begun.contacts):
            begun = self._new(base, whole=whole)
        return MembersToRead(self.list_id, begun, base)

    def departures_of_strangers(self) -> MembersToRead:
        base, begun = _before(strangers.read_at(self.db, self.hashes, self.list_id)), self._begun(whole=False)
        start = begun if begun is not None and begun.strangers else self._new(base, whole=False)
        return MembersToRead(self.list_id, start, base)

    def _begun(self, *, whole: bool) -> Reading | None:
        begun = readings.find(self.db, self.hashes.account_id, self.list_id, whole=whole)
        if begun is None:
            return None
        # Of one that began with another key, the first pages are lost.
        known = strangers.is_known(self.db, self.hashes, self.list_id)
        return replace(begun, strangers=begun.strangers and known, contacts=begun.contacts and known)

    def _new(self, base: str | None, *, whole: bool) -> Reading:
        departures = _reaches(base, strangers.read_at(self.db, self.hashes, self.list_id))
        contacts = whole and _reaches(base, strangers.contacts_read_at(self.db, self.hashes, self.list_id))
        return Reading((WHOLE if whole else DEPARTED)[0], base, None, whole, departures, contacts)


def _reaches(base: str | None, known_to: datetime | None) -> bool:
    # Whether a reading that starts at `base` leaves no gap after what is known.
    return base is None or (known_to is not None and as_moment(base) <= known_to)


def _before(read_at: datetime | None) -> str | None:
    return as_text(read_at - OVERLAP) if read_at is not None and read_at > _FIRST else None
