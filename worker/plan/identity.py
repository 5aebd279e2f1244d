"""Whether a member is the contact that the ledger means, and what an unanswered write did to it.

Decided by Mailchimp's ``contact_id``, or if an answer has none by Mailchimp's own times, which are compared only with
each other and with its Date header (`answered_at`, None if there was none). An intent alone decides nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from worker.clock import as_moment, as_text, text_or_none
from worker.mailchimp.answers import Member
from worker.mailchimp.calls import ANSWER_WITHIN, FRESH_SECONDS
from worker.model import CustomerId, Origin
from worker.plan.names import names_agree
from worker.store.customer_outcomes import NO_MEMBER
from worker.store.ledger import OUT, Intent, IntentKind, LedgerEntry, has_left, status_left_with

# This worker sends no write later than that after the read that it depends on.
AT_ONCE = timedelta(seconds=FRESH_SECONDS)
"""An archive within this time of the preceding read is this worker's; its former status is the one read."""
ITS_OWN_AFTER = timedelta(days=30)
"""How long a found member must have belonged to a customer before it follows its new address or list."""
NOT_ADDED = "This worker did not add the member, so it stays on the list as it is."
FOUND_AND_LEFT = (
    "This worker did not add the member, and nothing shows that it is this customer's: it had other names or none when "
    "it was found, less than 30 days ago. So it stays on the list as it is."
)


def same_membership(entry: LedgerEntry, member: Member) -> bool:
    """Returns whether a member is the one in the ledger, and did not join again by itself.

    A member that confirmed Mailchimp's mail after an add is the same.
    """
    if entry.member_status in OUT and member.status not in OUT:
        return False  # whatever its times say: they are in whole seconds
    seen_at = _moment(entry.seen_at)
    # Who was pending may opt in by confirming. One that is pending all the same has left since, and filled in a form.
    may_confirm = entry.member_status == "pending" and member.status != "pending"
    opted_in = member.opted_in if not may_confirm else None
    signed_up = member.born if entry.member_status == member.status == "pending" else None
    if seen_at is not None and any(moment is not None and moment > seen_at for moment in (opted_in, signed_up)):
        return False
    if entry.contact_id is not None and member.contact_id is not None:
        return entry.contact_id == member.contact_id
    return seen_at is None or member.born is None or member.born <= seen_at


def status_after(status: str | None) -> str:
    """Returns the status of a member that this worker took off its list because no customer wants it there.

    Mailchimp refuses to archive a member that has not confirmed, so that one is unsubscribed.
    """
    return "unsubscribed" if status == "pending" else "archived"


def is_ours(entry: LedgerEntry, member: Member) -> bool:
    """Returns whether this worker took a member off its list, and nobody changed it since."""
    untouched = entry.last_changed is not None and entry.last_changed == member.last_changed
    return (
        entry.state == "archived"
        and _still_off(entry, member)
        and untouched
        and _may_be_contact(entry.contact_id, member)
    )


def _still_off(entry: LedgerEntry, member: Member) -> bool:
    return member.status == status_after(entry.status_before)


def was_done(entry: LedgerEntry, member: Member) -> bool:
    """Returns whether a member is in the state in which the intended write would have left it."""
    intent = entry.intent
    if intent is None or not _may_be_contact(intent.contact_id, member):
        return False
    match intent.kind:
        case "add":
            # Who was added as subscribed and opted in later came back by herself; who was pending then confirmed.
            back = intent.status == "subscribed" and member.opted_in is not None
            times = (member.born, member.opted_in) if back else (member.born,)
            return all(_within(intent, time, ANSWER_WITHIN) for time in times)
        case "rename":
            if intent.contact_id is not None and member.contact_id is not None:
                return True
            born = _moment(intent.born)
            return born is not None and born == member.born and _within(intent, member.changed, ANSWER_WITHIN)
        case "restore":
            times = (member.opted_in, member.changed)
            back = member.status != (intent.status or "archived")
            return back and any(_within(intent, time, ANSWER_WITHIN) for time in times)
        case "archive":
            # However long the call took: after a moment the status that was read may be outdated.
            off = member.status == status_after(intent.status)
            return off and _within(replace(intent, until=None), member.changed, AT_ONCE)
        case "unsubscribe":
            return member.status == "unsubscribed"


MAY_HAVE_ARCHIVED = "perhaps by a call of this worker whose answer was lost"


def may_have_archived(entry: LedgerEntry | None, member: Member | None) -> bool:
    """Returns whether an unanswered archive may have taken a member off, too late to be sure of it.

    Args:
        entry: of the member's place before it was read.
    """
    intent = entry.intent if entry is not None else None
    if entry is None or member is None or intent is None or intent.kind != "archive":
        return False
    return member.status == status_after(intent.status) and not was_done(entry, member)


def may_be_late(entry: LedgerEntry, read_at: datetime | None) -> bool:
    """Returns whether an unanswered archive of a member may be done only after a later read.

    Args:
        entry: of the member's place before that read.
        read_at: Mailchimp's time of it.
    """
    intent = entry.intent
    if entry.state != "present" or intent is None or intent.kind != "archive":
        return False
    return _within(replace(intent, until=None), read_at, ANSWER_WITHIN)


def is_still_there(before: Member, after: Member) -> bool:
    """Returns whether an archive between two reads of a member was not done, rather than undone by the person."""
    return after.status not in ("archived", "pending") and after.opted_in == before.opted_in


def add_was_done(entry: LedgerEntry, member: Member) -> bool:
    """Returns whether an unanswered add of this worker created a member."""
    kind = entry.intent.kind if entry.intent is not None else None
    return entry.state == "intended" and kind == "add" and was_done(entry, member)


def is_unconfirmed(entry: LedgerEntry, member: Member) -> bool:
    """Returns whether a member that was just read left before and is not subscribed again: pending, or transactional.

    Anybody can fill in a list's form for an address, so the departure lasts until the member is read as subscribed. A
    member that was subscribed when it was last read, or before this worker archived it, or another contact, left
    meanwhile. Pending members of this worker, and those that were pending when it first met them, have not left.
    """
    if member.status == "subscribed" or member.status in OUT:
        return False
    if entry.state == "archived":
        return has_left(entry) or (member.status == "pending" and entry.status_before != "pending")
    intent = entry.intent
    if entry.state == "intended":
        return intent is not None and intent.status == "subscribed" and was_done(entry, member)
    if intent is not None and intent.kind == "restore":
        return entry.status_before != "pending"
    if intent is not None and intent.kind == "unsubscribe" and intent.last_changed != member.last_changed:
        return True
    return has_left(entry) or entry.member_status == "subscribed" or not same_membership(entry, member)


def is_same_member(entry: LedgerEntry, member: Member) -> bool:
    """Returns whether a member that was just read is the one in the ledger, allowing for this worker's writes."""
    if is_unconfirmed(entry, member):
        return False
    if entry.state == "intended" or (entry.intent is not None and entry.intent.kind == "restore"):
        still_off = entry.state != "intended" and _still_off(entry, member)
        return still_off or was_done(entry, member)
    if entry.state == "gone" or (entry.state == "archived" and not _still_off(entry, member)):
        return False  # it joined again by itself
    return same_membership(entry, member)


def origin_of(entry: LedgerEntry | None, member: Member) -> Origin:
    """Returns the origin of a member that was just read: added if this worker's add, answered or not, created it."""
    return entry.origin if entry is not None and is_same_member(entry, member) else "found"


def as_read(entry: LedgerEntry, member: Member, answered_at: datetime | None) -> LedgerEntry:
    """Returns the ledger entry of a member that was just read. No write to it is in doubt any more."""
    seen_at = text_or_none(answered_at)
    same = is_same_member(entry, member)
    now = replace(
        entry,
        origin=entry.origin if same else "found",
        member_status=member.status,
        contact_id=member.contact_id or entry.contact_id,
        seen_at=seen_at or entry.seen_at,
        intent=None,
        address_now=None,
        fields=fields_of(entry, member),
        # A different member belongs to the customer only from now on, and its names were never compared.
        names_agreed=entry.names_agreed if same else None,
        customer_since=entry.customer_since if same else seen_at,
        member_tags=tags_of(entry, member),
    )
    if is_unconfirmed(entry, member):
        return as_unconfirmed(now)
    intent = entry.intent
    if entry.state == "archived" and intent is not None and intent.kind == "archive":
        return _as_archived(now, intent, member) if member.status == "archived" else _as_present(now)
    if intent is not None and intent.kind == "archive" and was_done(entry, member):
        before = intent.status or "unsubscribed"
        return replace(now, state="archived", status_before=before, last_changed=member.last_changed)
    if intent is not None and intent.kind == "restore" and is_ours(replace(entry, state="archived"), member):
        return replace(now, state="archived")
    if entry.state == "archived" and _still_off(entry, member):
        return now
    return _as_present(now)


def joined_again(entry: LedgerEntry) -> bool:
    """Returns whether the read that an entry is from showed that the member joined again by itself since the last one.

    Also if it is another contact. It may have left again by now, so its status is new even if it is the same.
    """
    return entry.seen_at is not None and entry.customer_since == entry.seen_at


def tags_of(entry: LedgerEntry | None, member: Member) -> Mapping[str, str] | None:
    """Returns a member's tags in the ledger; none if the entry means another contact."""
    if entry is None or not entry.member_tags:
        return None
    return entry.member_tags if _same_contact(entry, member) else None


def fields_of(entry: LedgerEntry | None, member: Member) -> Mapping[str, str]:
    """Returns the hashes of what this worker sent to a member; none if the entry means another contact."""
    if entry is None or not entry.fields:
        return {}
    return entry.fields if _same_contact(entry, member) else {}


def _same_contact(entry: LedgerEntry, member: Member) -> bool:
    ids = entry.contact_id, member.contact_id
    return ids[0] == ids[1] if None not in ids else is_same_member(entry, member)


def entry_if_left(entry: LedgerEntry, member: Member, answered_at: datetime | None) -> LedgerEntry | None:
    """Returns the ledger entry of a member that has left, after it was read; None if it has not left, or is back."""
    now = as_read(entry, member, answered_at)
    if is_unconfirmed(entry, member):
        return now
    if member.status not in OUT or is_ours(now, member):
        return None
    # Archived by this worker earlier, and by somebody else since: this is a departure.
    return _as_present(now) if now.state == "archived" else now


def as_gone(entry: LedgerEntry, at: str) -> LedgerEntry:
    """Returns the ledger entry of a member that Mailchimp no longer has, which settles any write to it."""
    return replace(entry, state="gone", sent_at=at, intent=None)


def as_unconfirmed(now: LedgerEntry) -> LedgerEntry:
    """Returns the ledger entry of a member that left before and is not subscribed again."""
    return replace(_as_present(now), state="gone", address_now=now.membership.address)


def awaits_confirmation(entry: LedgerEntry) -> bool:
    """Returns whether the ledger says so: somebody left, and is pending or transactional since."""
    return entry.state == "gone" and entry.address_now == entry.membership.address


def left_as(entry: LedgerEntry) -> str:
    """Returns how somebody left who is known to have left, as a key of :data:`worker.plan.outcomes.STATUS_MEANINGS`."""
    if awaits_confirmation(entry):
        return "unconfirmed"
    return "renamed" if entry.address_now is not None else status_left_with(entry) or NO_MEMBER


def _as_present(now: LedgerEntry) -> LedgerEntry:
    if now.state == "present" and now.status_before is None and now.last_changed is None:
        return now
    return replace(now, state="present", status_before=None, last_changed=None)


def _as_archived(now: LedgerEntry, intent: Intent, member: Member) -> LedgerEntry:
    # The archive was confirmed, so it is this worker's, unless the member was changed again afterwards.
    if not (_may_be_contact(intent.contact_id, member) and _within(intent, member.changed, ANSWER_WITHIN)):
        return replace(now, status_before="unsubscribed", last_changed=None)
    return replace(now, status_before=status_before_until(intent, member.changed), last_changed=member.last_changed)


def status_before_until(intent: Intent, moment: datetime | None = None) -> str:
    """Returns the status before an archive that was done, whose own time was not read yet.

    Args:
        moment: when it was done; None for the time of its answer, which is the latest possible.
    """
    first, last = _moment(intent.at), moment or _moment(intent.until)
    at_once = first is not None and last is not None and last <= first + AT_ONCE
    return (intent.status or "unsubscribed") if at_once else "unsubscribed"


def status_before(seen: Member, seen_at: datetime | None, archived: Member) -> str:
    """Returns a member's status right before this worker archived it, as far as it can be known.

    Args:
        seen_at: Mailchimp's time of `seen`.
    """
    changed = archived.changed
    at_once = seen_at is not None and changed is not None and _second(seen_at) <= changed <= seen_at + AT_ONCE
    return seen.status if at_once and _may_be_contact(seen.contact_id, archived) else "unsubscribed"


def new_intent(
    kind: IntentKind,
    read_at: datetime | None,
    member: Member | None = None,
    before: Intent | None = None,
    status: str | None = None,
) -> Intent:
    """Returns the intent of a write that is about to be sent.

    Args:
        before: the intent of an earlier try of the same write, which may have been done too.
        status: of an add, as which it is sent.
    """
    at = as_text(read_at) if read_at is not None else ""
    intent = Intent(kind, at, status=status)
    if member is not None:
        born = text_or_none(member.born)
        intent = replace(
            intent, contact_id=member.contact_id, status=member.status, last_changed=member.last_changed, born=born
        )
    if before is not None and before.kind == kind == "add":
        intent = replace(intent, at=before.at, status=status if status == before.status else None)
    return intent


def lost(noted: Intent, answered_at: datetime | None, seconds: float) -> Intent:
    """Returns an intent with the time by which it was done, if it was."""
    at = _moment(noted.at)
    if answered_at is None and at is not None:
        answered_at = at + timedelta(seconds=seconds) + AT_ONCE
    return replace(noted, until=text_or_none(answered_at))


def is_new(member: Member, read_at: datetime | None) -> bool:
    """Returns whether a PUT created the member in its answer, which did not exist when it was read."""
    return read_at is None or member.born is None or member.born >= _second(read_at)


def is_first_sight(entry: LedgerEntry | None, member: Member) -> bool:
    """Returns whether this worker never wrote to a member that was just read; else its names may be the worker's."""
    if entry is None:
        return True
    return None not in (entry.contact_id, member.contact_id) and entry.contact_id != member.contact_id


def agreed_when_found(entry: LedgerEntry | None, member: Member, owner: CustomerId, values: Mapping[str, Any]) -> bool:
    """Returns whether a found member had its customer's names when it was found.

    Args:
        entry: of its place before it was read.
        member: as it was read, before anything is written to it.
    """
    if entry is None or is_first_sight(entry, member):
        return names_agree(values, member)
    return bool(entry.names_agreed) and entry.customer_id == owner and is_same_member(entry, member)


def is_its_own(entry: LedgerEntry, now: datetime) -> bool:
    """Returns whether a member certainly belongs to its customer, so that it follows to another address or list.

    A person who joined by herself may have a customer's address only by a typing error. So a found member counts only
    if its names were the customer's before anything was written to it, or after 30 days.
    """
    since = as_moment(entry.customer_since) if entry.customer_since is not None else None
    long = since is not None and since <= now - ITS_OWN_AFTER
    return entry.origin == "added" or bool(entry.names_agreed) or long


def _may_be_contact(contact_id: str | None, member: Member) -> bool:
    return contact_id is None or member.contact_id is None or contact_id == member.contact_id


def _within(intent: Intent, moment: datetime | None, span: timedelta) -> bool:
    first, until = _moment(intent.at), _moment(intent.until)
    if first is None or moment is None:
        return False
    last = first + span if until is None else until
    return _second(first) <= moment <= last


def _second(moment: datetime) -> datetime:
    # Mailchimp gives whole seconds.
    return moment.replace(microsecond=0)


def _moment(text: str | None) -> datetime | None:
    return as_moment(text) if text else None
