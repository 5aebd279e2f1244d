"""Passes a contact by the places where its customers are known: nobody is put elsewhere who left there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from worker.flushing.deciding.gate import Passage, passage, passage_by_ledger
from worker.flushing.deciding.identity import as_read, was_done
from worker.flushing.deciding.steps import Contact, Gate
from worker.flushing.doing.desk import Desk, Read, stumble
from worker.flushing.doing.report import Exchange, Report
from worker.flushing.outcomes import Sort
from worker.staging.ledger import has_left


@dataclass(frozen=True, slots=True)
class Passed:
    """A contact that nobody's departure keeps from its place.

    Attributes:
        status: to add it with.
        old: the last of the old members that was read, and its gate with the entry as the ledger should have it now;
            None where there was none.
        date: Mailchimp's time of that.
        renamed: the gate of a rename whose answer was lost, and which was done.
    """

    status: str
    old: tuple[Gate, Read] | None
    renamed: tuple[Gate, Read] | None


def pass_gates(desk: Desk, report: Report, contact: Contact, gates: Sequence[Gate]) -> Passed | None:
    """Reads the old members; returns None after noting why the contact may not pass."""
    status, found_begun = contact.status_if_new, False
    old: tuple[Gate, Read] | None = None
    renamed: tuple[Gate, Read] | None = None
    for gate in gates:
        if gate.list_gone:
            verdict = passage_by_ledger(gate.place, gate.entry, contact.place, contact.status_if_new)
            if verdict.status is None:
                _blocked(desk, report, contact, gate, verdict, None)
                return None
            status = "pending" if verdict.status == "pending" else status
            continue
        read = desk.read_member(gate.place, gate.entry)
        if read.member is None and read.verdict.sort is not Sort.NOT_THERE:
            stumble(desk, report, contact.shares, gate.place, read.verdict, read.exchange)
            return None
        begun = gate.entry is not None and gate.entry.state == "intended"
        done = begun and read.member is not None and was_done(gate.entry, read.member)  # type: ignore[arg-type]
        now = _as_read(gate, read)
        verdict = passage(gate.place, now.entry, read.member, contact.place, contact.status_if_new)
        if verdict.status is None and (gate.others or not (found_begun and not verdict.here)):
            if now.entry is not None and now.entry.state != "archived" and read.member is not None:
                report.entries.append(replace(now.entry, sent_at=desk.at()))
            _blocked(desk, report, contact, gate, verdict, read.exchange)
            return None
        if gate.others:
            # Whoever left there is back, or never left.
            if now.entry is not None and now.entry != gate.entry and not begun:
                report.entries.append(now.entry)
            continue
        if begun and not done:
            # Never done; whoever is there by now is somebody else. That it left is known already.
            if not has_left(now.entry):
                report.dropped.append(gate.place)
            continue
        if done:
            # What stood at the place before it is the same contact, or one that this customer left for it.
            found_begun = True
            if gate.entry is not None and gate.entry.intent is not None and gate.entry.intent.source is not None:
                renamed = now, read
                report.dropped.append(gate.entry.intent.source)
        old = now, read
        status = "pending" if verdict.status == "pending" else status
    return Passed(status, old, renamed)


def kept_out(desk: Desk, report: Report, contact: Contact, asked: Sequence[Gate]) -> bool:
    """Tells whether somebody is known by now to have left, for whose sake the contact is not put at its place.

    Asked right before the call: what another step of this flush read a moment ago counts.

    Args:
        desk: the account's.
        report: takes the note.
        contact: who is about to be put somewhere.
        asked: the gates that this try has read itself.
    """
    places = {gate.place for gate in asked}
    for gate in desk.departures_of([contact]).get(contact.place, ()):
        if gate.place not in places:
            note_departed(desk, report, contact, gate)
            return True
    return False


def note_departed(desk: Desk, report: Report, contact: Contact, gate: Gate) -> None:
    """Notes that a departure which the ledger knows keeps a contact from its place."""
    entry = gate.entry
    status = "gone" if entry is None or entry.state == "gone" else entry.member_status
    reason = f"the member {gate.place.address} is {status} on list {gate.place.list_id}"
    _blocked(desk, report, contact, gate, Passage(None, reason, here=True), None)


def _as_read(gate: Gate, read: Read) -> Gate:
    if gate.entry is None or read.member is None:
        return gate
    return replace(gate, entry=as_read(gate.entry, read.member, read.date))


def _blocked(
    desk: Desk, report: Report, contact: Contact, gate: Gate, verdict: Passage, exchange: Exchange | None
) -> None:
    detail = f"Not put on list {contact.place.list_id} as {contact.email}: {verdict.reason}, and an opt-out follows."
    report.write(
        contact.shares,
        gate.place,
        exchange,
        at=desk.at(),
        outcome="left",
        detail=detail,
        then="Only the person can join again, by the list's form.",
    )
    report.blocked |= {share.customer.customer_id for share in contact.shares}
    if gate.others:
        report.kept_out |= {share.customer.customer_id for share in contact.shares}
    for customer in (share.customer for share in contact.shares if share.customer.customer_id not in gate.known):
        if customer.address == gate.place.address:
            report.places.append((customer.customer_id, gate.place))
        elif gate.known:
            report.waits.append((customer.customer_id, gate.known[0]))
