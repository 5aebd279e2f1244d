"""What persons and owners do to members outside this worker, by forms, mails and Mailchimp's own pages."""

from __future__ import annotations

from worker.sandbox.audience import Audience
from worker.sandbox.audit import BY_HAND

ACTS = ("subscribe", "confirm", "unsubscribe", "clean", "archive", "forget", "rename")


def do(audience: Audience, email: str, act: str, value: str | None) -> None:
    """Does one act to the member with an address; see :meth:`StandIn.by_hand`.

    Raises:
        KeyError: there is no such member.
        ValueError: nobody can do that.
    """
    member = audience.find(email)
    if act == "subscribe":
        if member is None:
            audience.insert(email, "subscribed", {}, BY_HAND)
        else:
            audience.set_status(member, "subscribed", BY_HAND)
        return
    if member is None:
        raise KeyError(email)
    match act:
        case "confirm" if member.status == "pending":
            audience.set_status(member, "subscribed", BY_HAND)
        case "unsubscribe":
            audience.set_status(member, "unsubscribed", BY_HAND)
            member.opted_out = True
        case "clean":
            audience.set_status(member, "cleaned", BY_HAND)
            member.opted_out = True
        case "archive":
            audience.set_status(member, "archived", BY_HAND)
        case "forget":
            audience.remove(member, BY_HAND)
        case "rename" if value and audience.find(value) is None:
            audience.move(member, value)
        case _:
            raise ValueError(f"{act} cannot be done to a member that is {member.status}")
