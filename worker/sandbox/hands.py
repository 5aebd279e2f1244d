"""What persons and owners do to members outside this worker, by forms, mails and Mailchimp's own pages."""

from __future__ import annotations

from worker.sandbox.audience import Audience
from worker.sandbox.audit import BY_HAND
from worker.sandbox.merge import merged

ACTS = ("subscribe", "sign up", "confirm", "unsubscribe", "clean", "archive", "forget", "rename")


def do(audience: Audience, email: str, act: str, value: str | None) -> None:
    """Does one act to the member with an address; see :meth:`StandIn.by_hand`.

    Raises:
        KeyError: there is no such member.
        ValueError: nobody can do that.
    """
    member = audience.find(email)
    if act in ("subscribe", "sign up"):
        status = "subscribed" if act == "subscribe" else "pending"
        if member is None:
            audience.insert(email, status, {}, BY_HAND)
        else:
            audience.set_status(member, status, BY_HAND)
        return
    if member is None:
        raise KeyError(f"{email} is no member of {audience.list_id}")
    match act:
        case "confirm" if member.status == "pending":
            audience.set_status(member, "subscribed", BY_HAND)
        case "unsubscribe":
            audience.set_status(member, "unsubscribed", BY_HAND)
        case "clean":
            audience.set_status(member, "cleaned", BY_HAND)
        case "archive":
            audience.set_status(member, "archived", BY_HAND)
        case "forget":
            audience.remove(member, BY_HAND)
        case "rename" if value and audience.find(value) is None:
            audience.move(member, value)
        case _:
            raise ValueError(f"{act} cannot be done to a member that is {member.status}")


def edit(audience: Audience, email: str, tag: str, value: object) -> None:
    """Writes one merge field of a member, as it or the owner does on a form; an empty text clears it.

    Raises:
        KeyError: there is no such member or merge field.
        Problem: the field does not take the value.
    """
    member = audience.find(email)
    if member is None or tag not in audience.fields:
        raise KeyError(f"{audience.list_id} has no member {email} or no merge field {tag}")
    member.merge_fields = merged(audience.fields, member.merge_fields, {tag: value}, validate_required=False)
    audience.touch(member)
