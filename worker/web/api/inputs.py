"""What programs send: JSON bodies, checked by msgspec, and query parameters."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta

from worker.accounts.requested_settings import RequestedSettings
from worker.fields.field_mapping import MOST_FIELDS, NOTHING
from worker.model import ListId
from worker.plan.outcomes import Outcome
from worker.text.json_input import decoded
from worker.web.access.sessions import LONGEST_NAME
from worker.web.call import Call
from worker.web.errors import BadInput

LARGEST = 2**53 - 1
MOST_LISTS = 1000
MOST_RUNS = 1000
MOST_DEAD_LETTERS = 1000
MOST_RECEIPTS = 10_000
MOST_DAYS = 400
_Id = Annotated[str, Meta(min_length=1, max_length=1000)]
_Count = Annotated[int, Meta(ge=0, le=LARGEST)]


class Wanted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Settings to change. What is left out, or null, is not changed."""

    enabled: bool | None = None
    status_if_new: Literal["subscribed", "pending"] | None = None
    stored_list_ids: Annotated[list[_Id], Meta(max_length=MOST_LISTS)] | None = None
    master_list_id: _Id | None = None
    confirmed: Annotated[dict[str, _Count], Meta(max_length=MOST_LISTS)] | None = None

    def requested(self) -> RequestedSettings:
        """Returns the settings."""
        return RequestedSettings(
            enabled=self.enabled,
            status_if_new=self.status_if_new,
            stored=frozenset(map(ListId, self.stored_list_ids)) if self.stored_list_ids is not None else None,
            master_list=ListId(self.master_list_id) if self.master_list_id is not None else None,
        )


class ChosenFields(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What goes to which merge field of a list."""

    fields: Annotated[
        dict[_Id, Annotated[str, Meta(max_length=1000)] | None],
        Meta(
            max_length=MOST_FIELDS,
            description="Merge tag to what goes there: first_name, last_name, company, phone, address or an "
            "attribute's name; null for nothing. A tag that is left out is as by default.",
        ),
    ]

    def sources(self) -> dict[str, str]:
        """Returns merge tag to source; NOTHING for none."""
        return {tag.upper(): source or NOTHING for tag, source in self.fields.items()}


class ApiKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An API key of Mailchimp."""

    api_key: _Id


class Link(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whose page a link opens, and the name of the person who will use it."""

    account_id: Annotated[str, Meta(min_length=1, max_length=128)]
    name: Annotated[str, Meta(min_length=1, max_length=LONGEST_NAME)] | None = None


class Person(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whom to explain, and whether to ask Mailchimp too."""

    email: _Id
    live: bool = False


class Sync(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whether to do what the last flush held back."""

    confirm_held: bool = False


BODIES = (Wanted, ChosenFields, ApiKey, Link, Person, Sync)
_Body = TypeVar("_Body")
_decoders: dict[type, msgspec.json.Decoder[Any]] = {body: msgspec.json.Decoder(body) for body in BODIES}


def body(call: Call, kind: type[_Body]) -> _Body:
    """Returns the JSON body of a request; one of BODIES, the same for no body as for an empty object.

    Raises:
        BadInput: it is no JSON, or not such an object.
    """
    try:
        value: _Body = decoded(_decoders[kind], call.body or b"{}")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _bad(f"The body is not as described: {error}.") from error
    return value


def number(call: Call, name: str, default: int, most: int) -> int:
    """Returns a positive integer from the query, or the default.

    Raises:
        BadInput: it is not one, or too large.
    """
    return _number(name, call.query[name], most) if name in call.query else default


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
