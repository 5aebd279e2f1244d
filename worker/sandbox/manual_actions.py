"""Actions of people and list owners on members, by forms, emails and Mailchimp's own pages."""

from __future__ import annotations

from worker.sandbox import tags
from worker.sandbox.audit import BY_HAND
from worker.sandbox.mailing_list import MailingList
from worker.sandbox.merge import merged


def do(mailing_list: MailingList, email: str, action: str, value: str | None) -> None:
    """Applies an action to the member with an address; see :meth:`StandIn.by_hand`.

    Raises:
        KeyError: there is no such member.
        ValueError: the action is unknown, or not possible for this member.
    """
    member = mailing_list.find(email)
    if action in ("subscribe", "sign up"):
        status = "subscribed" if action == "subscribe" else "pending"
        if member is None:
            mailing_list.insert(email, status, {}, BY_HAND)
        else:
            mailing_list.set_status(member, status, BY_HAND)
        return
    if member is None:
        raise KeyError(f"{email} is not a member of {mailing_list.list_id}")
    match action:
        case "confirm" if member.status == "pending":
            mailing_list.set_status(member, "subscribed", BY_HAND)
        case "unsubscribe":
            mailing_list.set_status(member, "unsubscribed", BY_HAND)
        case "clean":
            mailing_list.set_status(member, "cleaned", BY_HAND)
        case "archive":
            mailing_list.set_status(member, "archived", BY_HAND)
        case "forget":
            mailing_list.remove(member, BY_HAND)
        case "rename" if value and mailing_list.find(value) is None:
            mailing_list.move(member, value)
        case _:
            raise ValueError(f"{action} cannot be done to a member that is {member.status}")


def edit(mailing_list: MailingList, email: str, tag: str, value: object) -> None:
    """Writes a merge field of a member, as the person or the owner does on a form; an empty text clears it.

    Raises:
        KeyError: there is no such member or merge field.
        Problem: the value is not valid for the field.
    """
    member = mailing_list.find(email)
    if member is None or tag not in mailing_list.fields:
        raise KeyError(f"{mailing_list.list_id} has no member {email} or no merge field {tag}")
    member.merge_fields = merged(mailing_list.fields, member.merge_fields, {tag: value}, validate_required=False)
    mailing_list.touch(member)


def tag(mailing_list: MailingList, email: str, name: str, *, active: bool) -> None:
    """Adds a tag to a member or removes it, as the owner does on Mailchimp's pages.

    Raises:
        KeyError: there is no such member.
    """
    member = mailing_list.find(email)
    if member is None:
        raise KeyError(f"{mailing_list.list_id} has no member {email}")
    tags.put(mailing_list, member, name, active=active)
