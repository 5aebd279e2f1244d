"""Collections that Mailchimp hands out a page at a time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from worker.mailchimp.call import Answer, Call, Sender

PAGE = 1000
"""The most that Mailchimp puts on a page."""


def read_all(sender: Sender, path: str, member: str, query: Mapping[str, str]) -> tuple[dict[str, Any], ...] | Answer:
    """Reads a whole collection.

    Args:
        path: of the collection.
        member: the member of the answer that holds it.
        query: beside ``count`` and ``offset``; where it names ``fields``, ``total_items`` must be among them.

    Returns:
        Every object of it, or the answer that ended the reading, which is never a good one: where it was 2xx and not
        what Mailchimp documents, it has the failure ``garbled``.
    """
    found: list[dict[str, Any]] = []
    while True:
        answer = sender.send(Call("GET", path, {**query, "count": str(PAGE), "offset": str(len(found))}))
        if not answer.ok:
            return answer
        page, total = (answer.body or {}).get(member), (answer.body or {}).get("total_items")
        if not isinstance(page, list) or not isinstance(total, int) or not all(isinstance(one, dict) for one in page):
            return garbled(answer)
        found.extend(page)
        if len(found) >= total:
            return tuple(found)
        if not page:
            return garbled(answer)  # a page that is empty too early: what is missing is not known to be gone


def garbled(answer: Answer) -> Answer:
    """Returns the answer as one that cannot be used."""
    return replace(answer, status=None, failure="garbled")
