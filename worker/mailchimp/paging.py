"""Reads Mailchimp's paged collections."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from worker.mailchimp.answers import Answer
from worker.mailchimp.calls import Call, Sender

PAGE = 1000
"""Mailchimp's largest page."""


def read_all(sender: Sender, path: str, member: str, query: Mapping[str, str]) -> tuple[dict[str, Any], ...] | Answer:
    """Reads a whole collection.

    Args:
        member: the answer's field that holds the collection.
        query: in addition to ``count`` and ``offset``; if it has ``fields``, they must include ``total_items``.

    Returns:
        Every object, or the failed answer. One that was 2xx but not what Mailchimp documents has the failure
        ``garbled``.
    """
    objects: list[dict[str, Any]] = []
    while True:
        answer = sender.send(Call("GET", path, {**query, "count": str(PAGE), "offset": str(len(objects))}))
        if not answer.ok:
            return answer
        page, total = (answer.body or {}).get(member), (answer.body or {}).get("total_items")
        if not isinstance(page, list) or not isinstance(total, int) or not all(isinstance(item, dict) for item in page):
            return garbled(answer)
        objects.extend(page)
        if len(objects) >= total:
            return tuple(objects)
        if not page:
            return garbled(answer)  # the page ended too early: missing objects may still exist


def garbled(answer: Answer) -> Answer:
    """Returns the answer marked as unusable."""
    return replace(answer, status=None, failure="garbled")
