"""Partial answers: the query parameters ``fields`` and ``exclude_fields`` of every read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_Tree = dict[str, Any]


def chosen(body: Mapping[str, Any], query: Mapping[str, str]) -> Mapping[str, Any]:
    """Returns the parts of an answer that ``fields`` names by dotted paths, without those in ``exclude_fields``."""
    picked: Any = body
    if query.get("fields"):
        picked = _pick(picked, _tree(query["fields"]))
    if query.get("exclude_fields"):
        picked = _drop(picked, _tree(query["exclude_fields"]))
    assert isinstance(picked, Mapping), "an answer is an object"
    return picked


def _tree(paths: str) -> _Tree:
    tree: _Tree = {}
    for path in paths.split(","):
        at = tree
        for part in path.strip().split("."):
            at = at.setdefault(part, {})
    return tree


def _pick(value: Any, tree: _Tree) -> Any:
    if not tree:
        return value
    if isinstance(value, list):
        return [_pick(item, tree) for item in value]
    if isinstance(value, Mapping):
        return {name: _pick(value[name], below) for name, below in tree.items() if name in value}
    return value


def _drop(value: Any, unwanted: _Tree) -> Any:
    if isinstance(value, list):
        return [_drop(item, unwanted) for item in value]
    if isinstance(value, Mapping):
        return {
            name: _drop(below, unwanted[name]) if name in unwanted else below
            for name, below in value.items()
            if unwanted.get(name) != {}
        }
    return value
