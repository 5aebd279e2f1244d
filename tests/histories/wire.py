"""The wire between worker and stand-in: what goes wrong there, and what each call really did."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from tests.histories.clock import Time
from worker.mailchimp.answers import Answer
from worker.mailchimp.calls import Call
from worker.sandbox.member import Member
from worker.sandbox.server_state import StandIn

Spot = tuple[str, str]
"""A list and a lowercased address."""


class Death(BaseException):
    """The process is killed: nothing that comes after is written."""


@dataclass(frozen=True)
class Change:
    """What one call or act did to one member.

    Attributes:
        before: the member before, or None.
        after: the member after, or None.
        member: the stand-in's own object, whose identity is the contact's.
    """

    list_id: str
    before: Member | None
    after: Member | None
    member: Member

    def __str__(self) -> str:
        """Returns it in a word or two."""
        sides = [
            f"{member.email}:{member.status}" if member is not None else "nobody"
            for member in (self.before, self.after)
        ]
        return f"{self.list_id} {sides[0]} → {sides[1]}"


@dataclass(frozen=True)
class Exchange:
    """One call, what it did, and what the worker learned of that.

    Attributes:
        at: when Mailchimp carried it out, or would have.
        answer: what came back to the worker.
        fault: what went wrong, or None.
    """

    number: int
    at: datetime
    key: str
    call: Call
    answer: Answer
    fault: str | None
    changes: tuple[Change, ...]


Snapshot = dict[int, tuple[str, Member, Member]]


@dataclass
class Wire:
    """Hands calls to the stand-in.

    Attributes:
        before: called before each call.
        fault: returns what goes wrong with a call, or None.
        exchanged: called with each exchange.
        after: called after each exchange, before the worker learns of the answer.
    """

    standin: StandIn
    time: Time
    before: Callable[[Call], None]
    fault: Callable[[Call], str | None]
    exchanged: Callable[[Exchange], None]
    after: Callable[[Call], None]
    count: int = 0
    dead: bool = False

    def handle(self, key: str, call: Call) -> Answer:
        """Answers one call as the stand-in and the faults have it."""
        if self.dead:
            raise Death
        self.count += 1
        number = self.count
        self.before(call)
        if self.dead:
            raise Death
        self.time.forward(milliseconds=40)
        fault = self.fault(call)
        if fault == "slow":
            self.time.forward(seconds=50)
        old = snapshot(self.standin)
        at = self.time.now
        answer = Answer(None, failure="timeout")
        if fault not in NOT_DONE:
            answer = self.standin.handle(key, call)
        changes = differences(old, snapshot(self.standin))
        if fault is not None and fault != "slow":
            answer = FAULTS[fault] if fault != STRAY else _problem(404, "Resource Not Found")
            if answer.failure == "timeout":
                self.time.forward(seconds=120)
            if answer.status is not None:
                answer = replace(answer, date=self.time.now.replace(microsecond=0))
        self.exchanged(Exchange(number, at, key, call, answer, fault, changes))
        self.after(call)
        if self.dead:
            raise Death
        self.time.forward(milliseconds=40)
        return answer


def snapshot(standin: StandIn) -> Snapshot:
    """Returns copies of all members, by the identity of the contact."""
    return {
        id(member): (mailing_list.list_id, member, copy.copy(member))
        for user in standin.users.values()
        for mailing_list in user.lists.values()
        for member in mailing_list.members.values()
    }


def differences(old: Snapshot, new: Snapshot) -> tuple[Change, ...]:
    """Returns what differs between two snapshots, apart from times."""
    changes = []
    addresses = {(list_id, after.email.lower()) for list_id, _, after in new.values()}
    revived = {
        (list_id, was.email.lower()): was
        for key, (list_id, _, was) in old.items()
        if key not in new and (list_id, was.email.lower()) in addresses
    }
    for key, (list_id, member, after) in new.items():
        was = old[key][2] if key in old else revived.get((list_id, after.email.lower()))
        if was is None or _observable(was) != _observable(after):
            changes.append(Change(list_id, was, after, member))
    for key, (list_id, member, was) in old.items():
        if key not in new and (list_id, was.email.lower()) not in revived:
            changes.append(Change(list_id, was, None, member))
    return tuple(changes)


def _observable(member: Member) -> tuple[object, ...]:
    return (
        member.email,
        member.status,
        {tag: value for tag, value in member.merge_fields.items() if value},
        set(member.tags),
    )


def _problem(status: int, title: str) -> Answer:
    return Answer(status, {"type": "about:blank", "title": title, "status": status, "detail": "", "instance": ""})


STRAY = "404"
"""A 404 of Mailchimp's own, which is not so; only a history with surprises has it."""
NOT_DONE = {STRAY} | {
    "unsent", "lost before", "500 before", "503 bare", "504 before", "404 bare", "429", "403 bare", "401", "page",
}  # fmt: skip
FAULTS = {
    "unsent": Answer(None, failure="unconnected"),
    "lost before": Answer(None, failure="timeout"),
    "lost after": Answer(None, failure="timeout"),
    "cut after": Answer(None, failure="connection"),
    "500 before": _problem(500, "Internal Server Error"),
    "500 after": _problem(500, "Internal Server Error"),
    "503 bare": Answer(503),
    "503 after": Answer(503),
    "504 before": Answer(504),
    "504 after": Answer(504),
    "404 bare": Answer(404),
    "429": _problem(429, "Too Many Requests"),
    "403 bare": Answer(403),
    "401": _problem(401, "API Key Invalid"),
    "page": Answer(200),
    "garbled": Answer(200),
    "lacking": Answer(200, {}),
}
"""What comes back instead of the answer; those that are not in NOT_DONE happen after the call was carried out."""
