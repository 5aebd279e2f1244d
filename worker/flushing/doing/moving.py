"""Takes a customer from where it is known to its new place: by a new address for its member, or by another member."""

from __future__ import annotations

from dataclasses import replace

from worker.flushing.deciding import member_calls
from worker.flushing.deciding.identity import new_intent, origin_of, was_done
from worker.flushing.deciding.steps import Add, Gate, Move
from worker.flushing.doing.consent import kept_out, pass_gates
from worker.flushing.doing.desk import Desk, Read, stumble
from worker.flushing.doing.placing import add_or_find, write_found
from worker.flushing.doing.report import Report
from worker.flushing.doing.writing import entry_after_changes, left_out, settled, write_after_read
from worker.flushing.outcomes import Sort, Verdict
from worker.staging.ledger import Entry


def move(desk: Desk, step: Move) -> Report:
    """Takes a customer from where it is known to its new place, unless it left there."""
    report = desk.report()
    # The new place first: what nobody may have left is read last, right before the write that depends on it.
    target = desk.read_member(step.place, step.entry, step.shares)
    if target.member is None and target.verdict.sort is not Sort.NOT_THERE:
        stumble(desk, report, step.shares, step.place, target.verdict, target.exchange)
        return report
    if _renamed_before(desk, report, step, target):
        return report
    passed = pass_gates(desk, report, step.contact, step.gates)
    if passed is None:
        return report
    if passed.renamed is not None and passed.renamed[0].entry is not None:
        gate, read = passed.renamed
        back = gate.entry is not None and _source(step, gate) == step.place
        if back and read.member is not None and read.member.status == "subscribed":
            # Its entry here is of the member that has the other address since.
            _rename(
                desk, report, replace(step, entry=None, rename_changes=step.contact.fields.values), gate, read, target
            )
            return report
    if step.rename is not None and passed.old is not None:
        gate, read = passed.old
        same = gate.entry is not None and gate.entry.state == "present"
        ours = step.rename.entry is None or gate.entry is None or gate.entry.origin == step.rename.entry.origin
        if same and ours and read.member is not None and read.member.status == "subscribed":
            _rename(desk, report, step, gate, read, target)
            return report
    add = Add(step.contact, step.entry)
    add_or_find(desk, report, add, passed.status, "Moved: added here", target, step.gates)
    return report


def _source(step: Move, gate: Gate) -> object:
    planned = next((one.entry for one in step.gates if one.place == gate.place), None)
    return planned.intent.source if planned is not None and planned.intent is not None else None


def _rename(desk: Desk, report: Report, step: Move, gate: Gate, old: Read, taken: Read) -> None:
    contact, entry = step.contact, gate.entry
    assert entry is not None
    if taken.member is not None:
        write_found(desk, report, contact, step.entry, taken.member, origin_of(step.entry, taken.member))
        return
    if kept_out(desk, report, contact, step.gates):
        return
    intent = replace(new_intent("rename", old.date, old.member), source=gate.place)
    written = write_after_read(
        desk,
        contact,
        lambda fields: member_calls.rename(gate.place, contact.email, fields),
        step.rename_changes,
        Entry(contact.place, contact.owner, "intended", entry.origin, desk.at(), intent=intent),
        None,
    )
    if written.member is None:
        if written.undone and _acted(desk, gate):
            # Its status is refused, not the address: somebody was quicker, so decide again.
            report.again = True
            again = Verdict(Sort.LATER, "the member changed while it was looked at")
            stumble(desk, report, contact.shares, contact.place, again, written.exchange)
            return
        stumble(desk, report, contact.shares, contact.place, written.verdict, written.exchange)
        return
    report.dropped.append(gate.place)
    report.entries.append(entry_after_changes(desk, contact, entry, written.member, written))
    detail = f"The member {gate.place.address} got the new address."
    detail += left_out(contact, written.refused)
    settled(desk, report, contact, written.exchange, "renamed", detail, written.member.status)


def _acted(desk: Desk, gate: Gate) -> bool:
    # Whether somebody took the old member off its list between the read and the rename.
    old = desk.read_member(gate.place, gate.entry)
    return old.verdict.sort is Sort.NOT_THERE or (old.member is not None and old.member.status != "subscribed")


def _renamed_before(desk: Desk, report: Report, step: Move, read: Read) -> bool:
    # Where the answer to a rename was lost: the member that stands at the new place is the one of the old place.
    entry = step.entry
    if entry is None or entry.intent is None or entry.intent.source is None:
        return False
    if read.member is None or not was_done(entry, read.member):
        return False
    report.dropped.append(entry.intent.source)
    write_found(desk, report, step.contact, entry, read.member, entry.origin)
    return True
