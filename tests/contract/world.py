"""A stand-in and a way to call it: what each test of the contract starts from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from worker.mailchimp.answers import Answer
from worker.mailchimp.calls import Call, Sender, member_hash
from worker.sandbox.mailing_list import MailingList
from worker.sandbox.member import Member, address_key
from worker.sandbox.server_state import StandIn

KEY = "0123456789abcdef0123456789abcdef-us1"
USER = "owner"
LIST = "a1b2c3d4e5"


class Ticking:
    """A clock that is a second later each time it is read."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 22, 10, tzinfo=UTC)

    def __call__(self) -> datetime:
        """Returns the time."""
        self.now += timedelta(seconds=1)
        return self.now


@dataclass(frozen=True)
class World:
    """A stand-in with one user, one key and one list.

    Attributes:
        sender: whose calls and answers are checked against what Mailchimp published.
        unchecked: the same without, for calls that Mailchimp must refuse.
    """

    standin: StandIn
    sender: Sender
    unchecked: Sender
    base_url: str | None

    @property
    def mailing_list(self) -> MailingList:
        """The list."""
        return self.standin.find_list(LIST)

    def get(self, path: str, **query: str) -> Answer:
        """Sends a GET."""
        return self.sender.send(Call("GET", path, query))

    def post(self, *contacts: Mapping[str, Any], update_existing: bool = False, **query: str) -> Mapping[str, Any]:
        """Adds contacts in one call; returns the answer's body."""
        body = {"members": list(contacts), "update_existing": update_existing}
        answer = self.sender.send(Call("POST", f"/lists/{LIST}", query, body))
        assert answer.status == 200
        assert answer.body is not None
        return answer.body

    def put(self, email: str, **body: Any) -> Answer:
        """Sends a PUT of the member with an address."""
        return self.sender.send(Call("PUT", member(email), {}, {"email_address": email, **body}))

    def patch(self, email: str, **body: Any) -> Answer:
        """Sends a PATCH of the member with an address."""
        return self.sender.send(Call("PATCH", member(email), {}, body))

    def delete(self, email: str) -> Answer:
        """Sends a DELETE of the member with an address."""
        return self.sender.send(Call("DELETE", member(email)))

    def status(self, email: str) -> str | None:
        """Returns the status of the member with an address as the API tells it, or None where there is none."""
        answer = self.get(member(email))
        return str((answer.body or {})["status"]) if answer.ok else None

    def known(self, email: str) -> Member:
        """Returns what the stand-in itself knows of a member."""
        found = self.mailing_list.find(email)
        assert found is not None
        return found

    def become(self, email: str, *acts: str) -> None:
        """Has persons and the owner do all this, one after the other, beginning with subscribing."""
        for act in ("subscribe", *acts):
            self.standin.by_hand(LIST, email, act)


def member(email: str) -> str:
    """Returns the path of the member with an address."""
    return f"/lists/{LIST}/members/{member_hash(address_key(email))}"


def contact(email: str, status: str = "subscribed", **fields: Any) -> dict[str, Any]:
    """Returns one contact of a batch."""
    return {"email_address": email, "status": status, "merge_fields": fields}
