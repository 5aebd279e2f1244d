"""Partial answers: the query parameter ``fields`` of every read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_Wanted = dict[str, Any]


def chosen(body: Mapping[str, Any], query: Mapping[str, str]) -> Mapping[str, Any]:
    """Returns the parts of an answer that ``fields`` names by dotted paths; all of it without that parameter."""
    if not query.get("fields"):
        return body
    wanted: _Wanted = {}
    for path in query["fields"].split(","):
        at = wanted
        for part in path.strip().split("."):
            at = at.setdefault(part, {})
    picked = _pick(body, wanted)
    assert isinstance(picked, dict), "an answer is an object"
    return picked


def _pick(value: Any, wanted: _Wanted) -> Any:
    if not wanted:
        return value
    if isinstance(value, list):
        return [_pick(one, wanted) for one in value]
    if isinstance(value, Mapping):
        return {name: _pick(value[name], below) for name, below in wanted.items() if name in value}
    return value
