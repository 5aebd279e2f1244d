"""The lists of a Mailchimp user, as Mailchimp describes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from worker.mailchimp.answers import Answer
from worker.mailchimp.calls import Sender
from worker.mailchimp.paging import garbled, read_all
from worker.model import ListId

# Oldest first: a list created during the reading comes last and shifts no other to a page that was read already.
_QUERY = {
    "fields": "lists.id,lists.name,lists.stats.member_count,lists.marketing_permissions,total_items",
    "sort_field": "date_created",
    "sort_dir": "ASC",
}


@dataclass(frozen=True, slots=True)
class MailchimpList:
    """A list in Mailchimp.

    Attributes:
        member_count: its subscribed members.
        marketing_permissions: whether the list has GDPR marketing permissions.
    """

    list_id: ListId
    name: str
    member_count: int
    marketing_permissions: bool


def all_lists(sender: Sender) -> tuple[MailchimpList, ...] | Answer:
    """Returns every list that the API key can access, each once, or the failed answer (see :func:`paging.read_all`)."""
    objects = read_all(sender, "/lists", "lists", _QUERY)
    if isinstance(objects, Answer):
        return objects
    lists = [_list(body) for body in objects]
    by_id = {mailchimp_list.list_id: mailchimp_list for mailchimp_list in lists if mailchimp_list is not None}
    return tuple(by_id.values()) if None not in lists else garbled(Answer(200))


def _list(body: Mapping[str, Any]) -> MailchimpList | None:
    list_id, name = body.get("id"), body.get("name")
    if not isinstance(list_id, str) or not list_id or not isinstance(name, str):
        return None
    stats = body.get("stats")
    count = stats.get("member_count") if isinstance(stats, dict) else None
    return MailchimpList(
        list_id=ListId(list_id),
        name=name,
        member_count=count if isinstance(count, int) else 0,
        marketing_permissions=body.get("marketing_permissions") is True,
    )
