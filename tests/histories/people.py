"""The people of a history: customers as billmywork publishes them, contacts of lists, and who left which list."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from tests.histories.wire import Spot
from worker.sandbox.member import Member


@dataclass
class Departure:
    """Somebody left a list, and did not come back by her own act.

    Attributes:
        kind: unsubscribed, cleaned, archived, deleted, renamed, withdrew (consent, by an event of billmywork's), or
            "left as another": her contact left under an address that she gave it since.
        shown_at: when an answer of Mailchimp showed it to the worker; None while none did.
        by_page: whether a page of members showed it, and no read of that member alone.
        hashed: whether a page showed it when she was nobody of whom the worker keeps more than a hash.
        contact: of one who left as another, her list and contact id.
    """

    spot: Spot
    at: datetime
    kind: str
    shown_at: datetime | None = None
    by_page: bool = False
    hashed: bool = False
    contact: tuple[str, str] | None = None

    def __str__(self) -> str:
        """Returns it in words."""
        return f"{self.spot[1]} {self.kind} on {self.spot[0]} at {self.at:%d %H:%M:%S}"


@dataclass
class Record:
    """A customer of billmywork, as its events tell.

    Attributes:
        states: every published state, oldest first, with its time; None for a deletion.
        known_by: addresses by which the worker met this customer, and which it has not properly moved away from.
        met: address to when the worker first met it as this customer's.
        memberships: where the worker's receipts placed it.
    """

    name: str
    person: str
    states: list[tuple[datetime, dict[str, Any] | None]] = field(default_factory=list)
    known_by: set[str] = field(default_factory=set)
    met: dict[str, datetime] = field(default_factory=dict)
    memberships: set[Spot] = field(default_factory=set)

    @property
    def state(self) -> dict[str, Any] | None:
        """The newest state; None where it is deleted or was never published."""
        return self.states[-1][1] if self.states else None

    @property
    def email(self) -> str | None:
        """The newest address."""
        state = self.state
        return state["email"] if state is not None else None

    def before(self, moment: datetime) -> dict[str, Any] | None:
        """Returns the state that was the newest at some moment."""
        states = [state for at, state in self.states if at <= moment]
        return states[-1] if states else None

    @property
    def addresses(self) -> set[str]:
        """All addresses that it ever had."""
        return {state["email"] for _, state in self.states if state is not None and state["email"]}


@dataclass
class Contact:
    """A contact of a list, from its making to its end.

    Attributes:
        origin: "call" where a call of the worker made it, "hand" where somebody joined.
        joined: when it was made, or joined again by herself.
        names: its names before the first call that changed it.
        last_shown: the last status that an answer had of it, with the time of that.
        as_confirmed: whether she joined again by herself in a way that looks like confirming the worker's add: it was
            pending in the last answer that had it, and no answer showed that she had left meanwhile. Then contact id,
            sign-up, opt-in and last change are those of a member that was only confirmed.
    """

    member: Member
    origin: str
    joined: datetime
    names: tuple[str, str] | None = None
    last_shown: tuple[datetime, str] | None = None
    as_confirmed: bool = False
