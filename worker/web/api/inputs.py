"""Validates what programs send: fields of JSON bodies and query parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from worker.accounts.requested_settings import RequestedSettings
from worker.fields.field_mapping import MOST_FIELDS, NOTHING
from worker.model import ListId
from worker.plan.outcomes import Outcome
from worker.store.accounts import StatusIfNew
from worker.web.call import Call
from worker.web.errors import BadInput

LARGEST = 2**53 - 1
MOST_LISTS = 1000
LONGEST_TEXT = 1000


def fields(call: Call, *allowed: str) -> dict[str, Any]:
    """Returns the fields of a JSON object; an empty one without a body.

    Raises:
        BadInput: the body is not a JSON object, or has other fields.
    """
    if not call.body:
        return {}
    body = call.json
    if not isinstance(body, dict):
        raise _bad("The body is not a JSON object.")
    if unknown := sorted(body.keys() - set(allowed)):
        raise _bad(f"There is no field {unknown[0][:50]!r}.")
    return body


def text(body: Mapping[str, Any], name: str, *, longest: int = LONGEST_TEXT) -> str:
    """Returns a required text.

    Raises:
        BadInput: it is missing or too long.
    """
    value = body.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= longest:
        raise _bad(f"The field {name} must be a text of 1 to {longest} characters.")
    return value


def optional_text(body: Mapping[str, Any], name: str, *, longest: int = LONGEST_TEXT) -> str | None:
    """Returns an optional text.

    Raises:
        BadInput: it is not a text, or too long.
    """
    return None if body.get(name) is None else text(body, name, longest=longest)


def flag(body: Mapping[str, Any], name: str, *, default: bool) -> bool:
    """Returns a boolean.

    Raises:
        BadInput: it is not a boolean.
    """
    value = body.get(name, default)
    if not isinstance(value, bool):
        raise _bad(f"The field {name} must be true or false.")
    return value


SETTINGS = ("enabled", "status_if_new", "stored_list_ids", "master_list_id", "confirmed")


def wanted_settings(call: Call) -> tuple[RequestedSettings, dict[ListId, int]]:
    """Returns the settings that a body requests, and how many members may leave each list.

    Raises:
        BadInput: a field is invalid.
    """
    body = fields(call, *SETTINGS)
    enabled, status, stored = body.get("enabled"), body.get("status_if_new"), body.get("stored_list_ids")
    if enabled is not None and not isinstance(enabled, bool):
        raise _bad("The field enabled must be true or false.")
    if status not in (None, "subscribed", "pending"):
        raise _bad("The field status_if_new must be subscribed or pending.")
    if stored is not None and not _is_texts(stored):
        raise _bad("The field stored_list_ids must be a list of ids.")
    master = optional_text(body, "master_list_id")
    return RequestedSettings(
        enabled=enabled,
        status_if_new=cast("StatusIfNew | None", status),
        stored=frozenset(ListId(list_id) for list_id in stored) if stored is not None else None,
        master_list=ListId(master) if master is not None else None,
    ), _confirmed(body.get("confirmed"))


def _confirmed(value: Any) -> dict[ListId, int]:
    if value is None:
        return {}
    if not isinstance(value, dict) or len(value) > MOST_LISTS:
        raise _bad("The field confirmed must be an object of numbers by list.")
    for count in value.values():
        if isinstance(count, bool) or not isinstance(count, int) or not 0 <= count <= LARGEST:
            raise _bad("The field confirmed must be an object of numbers by list.")
    return {ListId(list_id): count for list_id, count in value.items()}


def chosen_fields(call: Call) -> dict[str, str]:
    """Returns merge tag to source; null and "" for nothing.

    Raises:
        BadInput: a field is invalid.
    """
    mapping = fields(call, "fields").get("fields")
    if not isinstance(mapping, dict) or len(mapping) > MOST_FIELDS:
        raise _bad(f"The field fields must be an object of at most {MOST_FIELDS} texts by merge tag.")
    for tag, source in mapping.items():
        if not 0 < len(tag) <= LONGEST_TEXT or not isinstance(source, str | None) or len(source or "") > LONGEST_TEXT:
            raise _bad(f"The field fields must be an object of at most {MOST_FIELDS} texts by merge tag.")
    return {tag.upper(): source or NOTHING for tag, source in mapping.items()}


def _is_texts(value: Any) -> bool:
    return (
        isinstance(value, list) and len(value) <= MOST_LISTS and all(isinstance(text, str) and text for text in value)
    )


def number(call: Call, name: str, default: int | None, most: int) -> int | None:
    """Returns a positive integer from the query, or the default.

    Raises:
        BadInput: it is not one, or too large.
    """
    value = call.query.get(name)
    return default if value is None else _number(name, value, most)


def number_in_path(call: Call) -> int:
    """Returns the positive integer in the path.

    Raises:
        BadInput: it is not one, or too large.
    """
    return _number("number", call.path["number"], LARGEST)


def _number(name: str, value: str, most: int) -> int:
    if not (value.isascii() and value.isdigit() and len(value) <= 16 and 1 <= int(value) <= most):
        raise _bad(f"The parameter {name} must be a number from 1 to {most}.")
    return int(value)


def outcome(call: Call) -> Outcome | None:
    """Returns the outcome in the query.

    Raises:
        BadInput: there is no such outcome.
    """
    name = call.query.get("outcome")
    try:
        return Outcome(name) if name is not None else None
    except ValueError as error:
        raise _bad(f"There is no outcome {name!r:.50}. There are: {', '.join(Outcome)}.") from error


def _bad(message: str) -> BadInput:
    return BadInput(message, "See /api/v1/openapi.json.")
