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
from worker.web.problems import BadInput

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
    found = call.json
    if not isinstance(found, dict):
        raise _bad("The body is not a JSON object.")
    if unknown := sorted(found.keys() - set(allowed)):
        raise _bad(f"There is no field {unknown[0][:50]!r}.")
    return found


def text(given: Mapping[str, Any], name: str, *, longest: int = LONGEST_TEXT) -> str:
    """Returns a required text.

    Raises:
        BadInput: it is missing or too long.
    """
    value = given.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= longest:
        raise _bad(f"The field {name} must be a text of 1 to {longest} characters.")
    return value


def optional_text(given: Mapping[str, Any], name: str, *, longest: int = LONGEST_TEXT) -> str | None:
    """Returns an optional text.

    Raises:
        BadInput: it is not a text, or too long.
    """
    return None if given.get(name) is None else text(given, name, longest=longest)


def flag(given: Mapping[str, Any], name: str, *, default: bool) -> bool:
    """Returns a boolean.

    Raises:
        BadInput: it is not a boolean.
    """
    value = given.get(name, default)
    if not isinstance(value, bool):
        raise _bad(f"The field {name} must be true or false.")
    return value


SETTINGS = ("enabled", "status_if_new", "stored_list_ids", "master_list_id", "confirmed")


def wanted_settings(call: Call) -> tuple[RequestedSettings, dict[ListId, int]]:
    """Returns the settings that a body requests, and how many members may leave each list.

    Raises:
        BadInput: a field is invalid.
    """
    given = fields(call, *SETTINGS)
    enabled, status, stored = given.get("enabled"), given.get("status_if_new"), given.get("stored_list_ids")
    if enabled is not None and not isinstance(enabled, bool):
        raise _bad("The field enabled must be true or false.")
    if status not in (None, "subscribed", "pending"):
        raise _bad("The field status_if_new must be subscribed or pending.")
    if stored is not None and not _is_texts(stored):
        raise _bad("The field stored_list_ids must be a list of ids.")
    master = optional_text(given, "master_list_id")
    return RequestedSettings(
        enabled=enabled,
        status_if_new=cast("StatusIfNew | None", status),
        stored=frozenset(ListId(one) for one in stored) if stored is not None else None,
        master_list=ListId(master) if master is not None else None,
    ), _confirmed(given.get("confirmed"))


def _confirmed(given: Any) -> dict[ListId, int]:
    if given is None:
        return {}
    if not isinstance(given, dict) or len(given) > MOST_LISTS:
        raise _bad("The field confirmed must be an object of numbers by list.")
    for count in given.values():
        if isinstance(count, bool) or not isinstance(count, int) or not 0 <= count <= LARGEST:
            raise _bad("The field confirmed must be an object of numbers by list.")
    return {ListId(one): count for one, count in given.items()}


def chosen_fields(call: Call) -> dict[str, str]:
    """Returns merge tag to source; null and "" for nothing.

    Raises:
        BadInput: a field is invalid.
    """
    given = fields(call, "fields").get("fields")
    if not isinstance(given, dict) or len(given) > MOST_FIELDS:
        raise _bad(f"The field fields must be an object of at most {MOST_FIELDS} texts by merge tag.")
    for tag, source in given.items():
        if not 0 < len(tag) <= LONGEST_TEXT or not isinstance(source, str | None) or len(source or "") > LONGEST_TEXT:
            raise _bad(f"The field fields must be an object of at most {MOST_FIELDS} texts by merge tag.")
    return {tag.upper(): source or NOTHING for tag, source in given.items()}


def _is_texts(given: Any) -> bool:
    return isinstance(given, list) and len(given) <= MOST_LISTS and all(isinstance(one, str) and one for one in given)


def number(call: Call, name: str, default: int | None, most: int) -> int | None:
    """Returns a positive integer from the query, or the default.

    Raises:
        BadInput: it is not one, or too large.
    """
    given = call.query.get(name)
    return default if given is None else _number(name, given, most)


def number_in_path(call: Call) -> int:
    """Returns the positive integer in the path.

    Raises:
        BadInput: it is not one, or too large.
    """
    return _number("number", call.path["number"], LARGEST)


def _number(name: str, given: str, most: int) -> int:
    if not (given.isascii() and given.isdigit() and len(given) <= 16 and 1 <= int(given) <= most):
        raise _bad(f"The parameter {name} must be a number from 1 to {most}.")
    return int(given)


def outcome(call: Call) -> Outcome | None:
    """Returns the outcome in the query.

    Raises:
        BadInput: there is no such outcome.
    """
    given = call.query.get("outcome")
    try:
        return Outcome(given) if given is not None else None
    except ValueError as error:
        raise _bad(f"There is no outcome {given!r:.50}. There are: {', '.join(Outcome)}.") from error


def _bad(what: str) -> BadInput:
    return BadInput(what, "See /api/v1/openapi.json.")
