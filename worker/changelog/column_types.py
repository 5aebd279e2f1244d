"""The values that columns may have, so that a row from Kafka can always be stored and read. Does no I/O."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from worker.clock import as_moment
from worker.sqlite.rows import Kind
from worker.store.ledger import intent_of

LARGEST = 2**63 - 1
"""SQLite's largest integer."""


@dataclass(frozen=True, slots=True)
class Column:
    """The values that one column may have.

    Attributes:
        fits: raises ValueError, TypeError or KeyError for a value that is not valid.
        default: used for a record of a release that did not have the column.
    """

    fits: Callable[[Any], object]
    required: bool = False
    default: Any = None


def _text(value: Any) -> None:
    if not isinstance(value, str):
        raise TypeError("is not a text")
    value.encode()  # a lone surrogate cannot be stored


def _whole(value: Any) -> None:
    if not isinstance(value, int) or abs(value) > LARGEST:
        raise TypeError("is not a whole number")


def _time(value: Any) -> None:
    _text(value)
    as_moment(value)


def _bytes(value: Any) -> None:
    _text(value)
    base64.b64decode(value, validate=True)


def _texts(value: Any) -> None:
    _text(value)
    data = json.loads(value)
    if not isinstance(data, dict) or not all(isinstance(text, str) for text in data.values()):
        raise TypeError("is not a JSON object of texts")


def _counts(value: Any) -> None:
    _text(value)
    data = json.loads(value)
    if not isinstance(data, dict):
        raise TypeError("is not a JSON object")
    for count in data.values():
        _whole(count)


def _intent(value: Any) -> None:
    _text(value)
    intent = intent_of({"intent": value})
    if intent is None or intent.kind not in ("add", "rename", "restore", "archive", "unsubscribe"):
        raise ValueError("is not an intent that this release knows")


def _position(value: Any) -> None:
    _text(value)
    data = json.loads(value)
    log, version = data["log"], data["version"]
    if version is not None:
        _whole(version)
    if log is not None:
        topic, topic_id, partition, offset = log
        for text in (topic, topic_id):
            _text(text)
        for number in (partition, offset):
            _whole(number)


def _outcome(value: Any) -> None:
    _text(value)
    data = json.loads(value)
    if not isinstance(data, dict):
        raise TypeError("is not a JSON object")
    for name in ("member_status", "outcome", "reason", "next", "caused_by", "since", "at"):
        _text(data.get(name))


def _one_of(*allowed: str) -> Callable[[Any], None]:
    def fits(value: Any) -> None:
        if value not in allowed:
            raise ValueError(f"is none of {', '.join(allowed)}")

    return fits


_PAUSE = {"paused_reason": Column(_text), "paused_at": Column(_time)}
LIST_SHAPE = {
    "list_id": Column(_text, required=True),
    "name": Column(_text, required=True),
    "stored": Column(_whole, required=True, default=0),
    "member_count": Column(_whole, required=True, default=0),
    "marketing_permissions": Column(_whole, required=True, default=0),
    "refreshed_at": Column(_time, required=True),
    "gone_at": Column(_time),
    "departures_read_at": Column(_time),
    "merge_fields": Column(_texts),
    "members_read_at": Column(_time),
    **_PAUSE,
}


def _lists(value: Any) -> None:
    if not isinstance(value, list) or not all(isinstance(data, dict) for data in value):
        raise TypeError("is not a list of objects")
    for number, data in enumerate(value):
        value[number] = _checked(LIST_SHAPE, data)
    if len({data["list_id"] for data in value}) < len(value):
        raise ValueError("names a list twice")


SHAPES: Mapping[Kind, Mapping[str, Column]] = {
    "place": {
        "customer_id": Column(_text, required=True),
        "state": Column(_one_of("intended", "present", "archived", "gone"), required=True),
        "origin": Column(_one_of("added", "found"), required=True),
        "member_status": Column(_text),
        "fields": Column(_texts, required=True),
        "sent_at": Column(_text, required=True),
        "status_before": Column(_text),
        "last_changed": Column(_text),
        "contact_id": Column(_text),
        "address_now": Column(_text),
        "seen_at": Column(_text),
        "intent": Column(_intent),
        "names_agreed": Column(_whole),
        "customer_since": Column(_text),
        "member_tags": Column(_texts),
    },
    "customer": {
        "list_id": Column(_text),
        "address": Column(_text),
        "refusal": Column(_text),
        "refused_address": Column(_text),
        "attempts": Column(_whole, required=True, default=0),
        "retry_at": Column(_time),
        "settled": Column(_text),
        "waits_for": Column(_text),
        "version": Column(_whole),
        "deleted": Column(_whole),
        "outcome": Column(_outcome),
    },
    "forgotten": {
        "forgotten_at": Column(_text, required=True),
        "has_left": Column(_whole, required=True),
        "position": Column(_position),
    },
    "account": {
        "api_key": Column(_bytes),
        "key_hint": Column(_text),
        "enabled": Column(_whole, required=True, default=0),
        "master_list": Column(_text),
        "status_if_new": Column(_one_of("subscribed", "pending"), required=True, default="subscribed"),
        "connected_at": Column(_time),
        "refreshed_at": Column(_time),
        "enabled_at": Column(_time),
        "confirmed": Column(_counts),
        "resyncs": Column(_whole, required=True, default=0),
        "lists": Column(_lists, required=True, default=()),
        **_PAUSE,
    },
    "topic": {"note": Column(_text, required=True)},
    "erasure": {"requested_at": Column(_time, required=True), "done_by": Column(_texts, required=True, default="{}")},
}


def checked(kind: Kind, row: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a row whose known columns have valid values, with defaults.

    Raises:
        ValueError: a value is not valid; says which and why.
    """
    return _checked(SHAPES[kind], row)


def _checked(shape: Mapping[str, Column], row: Mapping[str, Any]) -> dict[str, Any]:
    values = dict(row)
    for name, column in shape.items():
        value = values.get(name, column.default)
        values[name] = list(value) if isinstance(value, tuple) else value
        if values[name] is None:
            if column.required:
                raise ValueError(f"{name} is missing")
            continue
        try:
            column.fits(values[name])
        except (ValueError, TypeError, KeyError, AttributeError, IndexError) as error:
            raise ValueError(f"{name} {error}") from error
    return values
