"""The intents of one lane: each write that could lose its answer is noted before it is sent."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from worker.flushing.deciding.identity import lost
from worker.flushing.deciding.steps import Share
from worker.flushing.doing.report import Report
from worker.model import CustomerId, Place
from worker.staging.ledger import Entry

WriteAhead = Callable[[Sequence[Entry], Sequence[tuple[CustomerId, Place]]], None]
"""Writes entries with intents, and where customers are known who were known nowhere, in one transaction."""


@dataclass(slots=True)
class Intents:
    """What a lane is about to do. Used by one thread.

    Attributes:
        known: what the ledger says of places by now, where that is more than when the flush was planned.
        refused: merge tag to title, of fields that Mailchimp refused at a place: left out by the next try.
    """

    write_ahead: WriteAhead
    known: dict[Place, Entry] = field(default_factory=dict)
    refused: dict[Place, dict[str, str]] = field(default_factory=dict)
    _before: dict[Place, Entry | None] = field(default_factory=dict)
    _taken_back: dict[Place, Entry | None] = field(default_factory=dict)
    _lost: dict[Place, Entry] = field(default_factory=dict)

    def begin(self, intended: Entry, before: Entry | None, shares: Iterable[Share]) -> None:
        """Writes what is about to be done to a place.

        Args:
            intended: the entry with its intent.
            before: what the ledger says again if nothing was done; None for nothing.
            shares: the customers who must be known there, should the answer be lost.

        Raises:
            Halted: nothing may be written any more.
        """
        place = intended.place
        self.write_ahead([intended], [(share.customer.customer_id, place) for share in shares])
        self.known[place], self._before[place] = intended, before
        self._taken_back.pop(place, None)
        self._lost.pop(place, None)

    def note(self, departed: Entry, shares: Iterable[Share]) -> None:
        """Writes at once what a read told of a departure, whatever becomes of the step that read it.

        Args:
            departed: what the ledger says of the place from now on.
            shares: the customers who are known by it from now on, if they are known nowhere.

        Raises:
            Halted: nothing may be written any more.
        """
        known = self.known.get(departed.place)
        if known is None or _said(known) != _said(departed):
            self.write_ahead([departed], [(share.customer.customer_id, departed.place) for share in shares])
            self.known[departed.place] = departed

    def take_back(self, place: Place) -> None:
        """Notes that an answer proved that nothing was done."""
        if place not in self._before:
            return
        before = self._taken_back[place] = self._before.pop(place)
        if before is not None:
            self.known[place] = before
        else:
            self.known.pop(place, None)

    def lose(self, place: Place, date: datetime | None, seconds: float) -> None:
        """Notes that an answer did not tell whether it was done.

        Args:
            place: where.
            date: Mailchimp's time of that answer; None where none came.
            seconds: how long the call took.
        """
        entry = self.known.get(place)
        if entry is not None and entry.intent is not None:
            self.known[place] = self._lost[place] = replace(entry, intent=lost(entry.intent, date, seconds))

    def close(self, report: Report) -> None:
        """Puts what was taken back into the report of the step that ended, and learns what that wrote."""
        written = {entry.place for entry in report.entries}.union(report.dropped, report.undone)
        for place, before in self._taken_back.items():
            if place in written:
                continue
            if before is None:
                report.undone.append(place)
            else:
                report.entries.append(before)
        report.entries += [entry for place, entry in self._lost.items() if place not in written]
        self.known |= {entry.place: entry for entry in report.entries}
        for place in (*report.dropped, *report.undone):
            self.known.pop(place, None)
        self._before.clear()
        self._taken_back.clear()
        self._lost.clear()


def _said(entry: Entry) -> tuple[object, ...]:
    return entry.state, entry.member_status, entry.contact_id, entry.intent
