"""The calls that a step may make, each with its condition, for a plan that is only shown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from worker.fields.member_tags import Tags, differs, in_doubt, needed
from worker.mailchimp import calls
from worker.mailchimp.calls import Call, member_path
from worker.model import AddressKey, CustomerId, MembershipKey
from worker.plan.names import has_names
from worker.plan.steps import (
    Add,
    AfterPriors,
    Archive,
    Contact,
    Found,
    Move,
    PriorMembership,
    Recheck,
    Restore,
    Step,
    Tag,
    Unsubscribe,
    Update,
    touched,
)
from worker.store.ledger import LedgerEntry

ONCE_THERE = "once it is on the list"
ANOTHER_MEMBER = "if the address has another member now"
STILL_NEEDED = "if its tags differ"
TAGS_IN_DOUBT = "since the answer to an earlier call about its tags was lost"


@dataclass(frozen=True, slots=True)
class PlannedCall:
    """A call that a flush would make.

    Attributes:
        when: the condition; None if the call is made in any case.
        address: of the member that it reads or writes; None if it is about a list, or many members.
        customers: the customers on whose behalf it is made.
    """

    call: Call
    when: str | None = None
    address: AddressKey | None = None
    customers: tuple[CustomerId, ...] = ()


def planned_calls(step: Step) -> Iterator[PlannedCall]:
    """Yields the calls of a step, each with its address and customers."""
    if isinstance(step, AfterPriors) and step.kept_out_by is not None:
        return  # a reading already shows that somebody left
    addresses = {member_path(*place): place.address for place in touched(step)}
    addresses[f"{member_path(*step.membership)}/tags"] = step.membership.address
    customers = tuple(target.customer_id for target in step.targets)
    for planned in _calls_of(step):
        yield replace(planned, address=addresses.get(planned.call.path), customers=customers)


def tag_calls(contact: Contact, *known: LedgerEntry | None, when: str = ONCE_THERE) -> Iterator[PlannedCall]:
    """Yields the calls for the tags of a member: the reads, and the write that may follow.

    Args:
        known: the entries that the member may have, the most likely first.
        when: the condition if it has the first of them; empty for none.
    """
    shown: set[tuple[str, str]] = set()
    for number, entry in enumerate((*known, None)):
        tags = entry.member_tags if entry is not None else None
        for planned in _tag_calls(contact, tags, ANOTHER_MEMBER if number else when):
            if (key := (planned.call.method, planned.call.path)) not in shown:
                shown.add(key)
                yield planned


def _tag_calls(contact: Contact, tags: Tags | None, when: str) -> Iterator[PlannedCall]:
    if not differs(contact.tags, tags):
        return
    yield PlannedCall(calls.read_tags(contact.membership), when or None)
    there = when or "if it is on the list"
    if in_doubt(tags):
        yield PlannedCall(calls.read_all_tags(contact.membership), f"{there}, {TAGS_IN_DOUBT}")
    if changes := needed(contact.tags, tags):
        yield PlannedCall(calls.tag(contact.membership, changes.add, changes.remove), f"{there}, {STILL_NEEDED}")


def _calls_of(step: Step) -> Iterator[PlannedCall]:
    match step:
        case Add():
            yield PlannedCall(calls.read(step.membership))
            yield PlannedCall(_add(step.contact), "if it is not a member")
            yield _write_found(step.contact, step.entry, "if it is a member already")
            yield from tag_calls(step.contact, step.entry)
        case Found():
            named = has_names(step.contact.fields.values)
            if named:
                yield PlannedCall(calls.read(step.membership))
            yield _write_found(step.contact, step.entry if named else None, None)
            yield from tag_calls(step.contact, step.entry)
        case Move():
            yield from _move_calls(step)
        case Update():
            yield PlannedCall(calls.update(step.membership, step.changes))
            yield from tag_calls(step.contact, step.entry)
        case Tag():
            yield from tag_calls(step.contact, step.entry, when="")
        case Restore():
            contact, status = step.contact, step.entry.status_before or "unsubscribed"
            whole = contact.fields.to_send(step.entry.fields)
            yield from _read_after(step)
            yield PlannedCall(
                calls.restore(contact.membership, contact.email, status, whole),
                "if it is still archived, and by this worker",
            )
            yield _write_found(contact, step.entry, "if it is back, or somebody else archived it")
            yield from tag_calls(contact, step.entry)
        case Recheck():
            yield from _read_after(step)
            yield _write_found(step.contact, step.entry, "if the member is back")
            yield from tag_calls(step.contact, step.entry)
        case Archive():
            yield from _archive_calls(step)
        case Unsubscribe():
            yield PlannedCall(calls.read(step.membership))
            yield PlannedCall(calls.unsubscribe(step.membership), "if it is subscribed or pending")


def _move_calls(step: Move) -> Iterator[PlannedCall]:
    contact = step.contact
    yield PlannedCall(calls.read(step.membership))
    yield from _prior_calls(step.priors)
    yield _write_found(contact, step.entry, "if nobody left the old place and the new one is taken")
    free = "and the new place is free"
    if step.rename is not None:
        rename = calls.rename(step.rename.membership, contact.email, step.rename_changes)
        yield PlannedCall(rename, f"if the old member is subscribed {free}")
        yield PlannedCall(calls.read(step.rename.membership), "if Mailchimp refuses that")
        yield PlannedCall(_add(contact), f"if the old member was cleaned at another address {free}")
    else:
        yield PlannedCall(_add(contact), f"if the old member is subscribed, or was cleaned at another address, {free}")
    begun = [prior for prior in step.priors if _began_at(prior) == step.membership]
    for prior in begun:
        back = calls.rename(prior.membership, contact.email, contact.fields.values)
        yield PlannedCall(back, f"if an earlier change of its address was done {free}")
    if contact.status_if_new != "pending":
        yield PlannedCall(_add(contact, "pending"), f"if the old member is pending {free}")
    renamed = [step.rename.entry] if step.rename is not None else []
    yield from tag_calls(contact, *renamed, step.entry, *(prior.entry for prior in begun))


def _began_at(prior: PriorMembership) -> MembershipKey | None:
    # Where a member was whose change of address has no answer yet.
    return prior.entry.intent.source if prior.entry is not None and prior.entry.intent is not None else None


def _archive_calls(step: Archive) -> Iterator[PlannedCall]:
    first = "if the new address was taken" if step.after_rename else None
    first = "if nobody may come here from elsewhere" if step.successors else first
    yield PlannedCall(calls.read(step.membership), first)
    statuses = "subscribed" if step.customers_moved else "subscribed or unsubscribed"
    yield PlannedCall(calls.archive(step.membership), f"if it is {statuses}")
    yield PlannedCall(calls.read(step.membership), "once it is archived, or if Mailchimp refuses that")
    yield PlannedCall(calls.unsubscribe(step.membership), "if it is pending")


def _read_after(step: AfterPriors) -> Iterator[PlannedCall]:
    yield from _prior_calls(step.priors)
    yield PlannedCall(calls.read(step.membership), "if nobody left the old place" if step.priors else None)


def _prior_calls(priors: Iterable[PriorMembership]) -> Iterator[PlannedCall]:
    for number, prior in enumerate(priors):
        if not prior.list_gone:
            yield PlannedCall(calls.read(prior.membership), "if nobody left an earlier place" if number else None)


def _add(contact: Contact, status: str | None = None) -> Call:
    return calls.add_one(contact.membership, contact.email, status or contact.status_if_new, contact.fields.values)


def _write_found(contact: Contact, entry: LedgerEntry | None, when: str | None) -> PlannedCall:
    # For a contact that turns out to be a member already: writes its fields, never its status.
    whole = contact.fields.to_send(entry.fields if entry is not None else {})
    return PlannedCall(calls.update(contact.membership, whole), when)
