"""A Mailchimp stand-in, in memory: answers calls as Mailchimp does, and lets people act by hand in it.

Source of its behaviour: Mailchimp's published API description and error list, and what is known of its limits.
"""

from __future__ import annotations

import random
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from worker.clock import as_moment
from worker.mailchimp.call import Answer, Call
from worker.sandbox.audience import Audience, page
from worker.sandbox.audit import Audit, LoggedCall
from worker.sandbox.faults import DONE_FIRST, Fault
from worker.sandbox.fields import chosen
from worker.sandbox.hands import do
from worker.sandbox.merge import MergeField
from worker.sandbox.problem import Problem, not_found

MOST_CONNECTIONS = 10
MOST_A_PAGE = 1000
USUAL_FIELDS = (
    ("FNAME", "First Name", "text"),
    ("LNAME", "Last Name", "text"),
    ("ADDRESS", "Address", "address"),
    ("PHONE", "Phone Number", "phone"),
    ("COMPANY", "Company", "text"),
)
_LIST = re.compile(r"/lists/([^/]+)")
_MEMBERS = re.compile(r"/lists/([^/]+)/members")
_MEMBER = re.compile(r"/lists/([^/]+)/members/([^/]+)")
_MERGE_FIELDS = re.compile(r"/lists/([^/]+)/merge-fields")


@dataclass(slots=True)
class User:
    """A Mailchimp user: whose lists, and by which name."""

    name: str
    lists: dict[str, Audience] = field(default_factory=dict)


class StandIn:
    """All of it. Threads share it; one lock makes each call happen at once.

    Attributes:
        latency: seconds that each call takes at least.
        faults: what goes wrong; the first that meets a call decides.
        audit: status changes and calls.
    """

    def __init__(
        self,
        clock: Callable[[], datetime],
        sleep: Callable[[float], object] = time.sleep,
        seed: int = 0,
    ) -> None:
        """Makes one without users.

        Args:
            clock: tells the time.
            sleep: waits out the latency.
            seed: of the faults' chance.
        """
        self.clock = clock
        self.latency = 0.0
        self.faults: list[Fault] = []
        self.audit = Audit()
        self.users: dict[str, User] = {}
        self._sleep = sleep
        self._chance = random.Random(seed)  # noqa: S311 - faults must repeat, nothing here is secret
        self._keys: dict[str, str] = {}
        self._in_flight: Counter[str] = Counter()
        self._lock = threading.RLock()

    # What owners and persons do by hand

    def add_key(self, key: str, user: str) -> None:
        """Gives a user an API key; several may belong to one."""
        with self._lock:
            self._keys[key] = user
            self.users.setdefault(user, User(user))

    def revoke(self, key: str) -> None:
        """Takes an API key back."""
        with self._lock:
            self._keys.pop(key, None)

    def create_list(
        self, user: str, list_id: str, name: str, *, usual_fields: bool = True, marketing_permissions: bool = False
    ) -> Audience:
        """Makes a list, with the usual merge fields or none."""
        with self._lock:
            made = Audience(list_id, name, self.clock(), self.audit, self.clock, marketing_permissions)
            if usual_fields:
                for number, (tag, label, kind) in enumerate(USUAL_FIELDS):
                    made.fields[tag] = MergeField(number, tag, label, kind)
            self.users.setdefault(user, User(user)).lists[list_id] = made
            return made

    def delete_list(self, list_id: str) -> None:
        """Deletes a list with all its members."""
        with self._lock:
            for user in self.users.values():
                user.lists.pop(list_id, None)

    def find_list(self, list_id: str) -> Audience:
        """Returns a list, whoever has it.

        Raises:
            KeyError: there is none.
        """
        for user in self.users.values():
            if list_id in user.lists:
                return user.lists[list_id]
        raise KeyError(list_id)

    def by_hand(self, list_id: str, email: str, act: str, value: str | None = None) -> None:
        """Does to a member what a person or the list's owner does outside this worker.

        Args:
            list_id: the list.
            email: the member's address.
            act: subscribe, confirm, unsubscribe, clean, archive, forget, or rename (to value).
            value: the new address.

        Raises:
            KeyError: there is no such list or member.
            ValueError: nobody can do that.
        """
        with self._lock:
            do(self.find_list(list_id), email, act, value)

    # Calls

    def handle(self, key: str, call: Call) -> Answer:
        """Answers one call.

        Args:
            key: the API key that came with it.
            call: below ``/3.0``.

        Returns:
            The answer; one with a failure where the connection is to be cut or left hanging.
        """
        user = self._keys.get(key)
        who = user or key
        with self._lock:
            self._in_flight[who] += 1
            crowded = self._in_flight[who] > MOST_CONNECTIONS
            self.audit.most_at_once[who] = max(self.audit.most_at_once[who], self._in_flight[who])
        try:
            if self.latency:
                self._sleep(self.latency)
            with self._lock:
                answer = self._answer(key, call, crowded=crowded)
                self.audit.calls.append(LoggedCall(self.clock(), key[-4:], call, answer.status))
        finally:
            with self._lock:
                self._in_flight[who] -= 1
        return answer

    def _answer(self, key: str, call: Call, *, crowded: bool) -> Answer:
        if crowded:
            detail = "You have exceeded the limit of 10 simultaneous connections."
            return Problem(429, "Too Many Requests", detail).answer()
        fault = next((one for one in self.faults if one.meets(call, self._chance)), None)
        if fault is not None and fault.kind not in DONE_FIRST:
            return fault.answer()
        try:
            answer = self._route(self._user(key), call, f"{call} by …{key[-4:]}")
        except Problem as problem:
            return problem.answer()
        if fault is not None:
            return fault.answer()
        return Answer(answer.status, chosen(answer.body, call.query)) if answer.body is not None else answer

    def _user(self, key: str) -> User:
        name = self._keys.get(key)
        if name is None:
            detail = "Your API key may be invalid, or you've attempted to access the wrong datacenter."
            raise Problem(401, "API Key Invalid", detail)
        return self.users[name]

    def _route(self, user: User, call: Call, cause: str) -> Answer:
        if call.path == "/ping" and call.method == "GET":
            return Answer(200, {"health_status": "Everything's Chimpy!"})
        if call.path == "/" and call.method == "GET":
            return Answer(200, {"account_id": user.name, "account_name": user.name, "total_subscribers": 0})
        if call.path == "/lists" and call.method == "GET":
            return self._lists(user, call)
        for pattern, act in (
            (_LIST, self._list),
            (_MERGE_FIELDS, self._merge_fields),
            (_MEMBERS, self._members),
            (_MEMBER, self._member),
        ):
            found = pattern.fullmatch(call.path)
            if found is not None:
                audience = user.lists.get(found[1])
                if audience is None:
                    raise not_found()
                return act(audience, call, cause, *found.groups()[1:])
        raise not_found()

    def _lists(self, user: User, call: Call) -> Answer:
        offset, count = _paging(call.query)
        found = sorted(user.lists.values(), key=lambda one: (one.created, one.list_id))
        if call.query.get("sort_dir") == "DESC":
            found.reverse()
        told = [one.as_json() for one in found[offset : offset + count]]
        constraints = {"may_create": True, "max_instances": 100, "current_total_instances": len(found)}
        return Answer(200, {"lists": told, "total_items": len(found), "constraints": constraints})

    def _list(self, audience: Audience, call: Call, cause: str) -> Answer:
        if call.method == "GET":
            return Answer(200, audience.as_json())
        if call.method == "POST":
            return audience.add_all(call.body or {}, cause, validate=_validates(call))
        raise _not_allowed()

    def _merge_fields(self, audience: Audience, call: Call, cause: str) -> Answer:
        if call.method != "GET":
            raise _not_allowed()
        offset, count = _paging(call.query)
        told = [one.as_json(audience.list_id) for one in audience.fields.values()][offset : offset + count]
        body = {"merge_fields": told, "list_id": audience.list_id, "total_items": len(audience.fields)}
        return Answer(200, body)

    def _members(self, audience: Audience, call: Call, cause: str) -> Answer:
        if call.method == "POST":
            return Answer(200, audience.add(call.body or {}, cause, validate=_validates(call)).as_json())
        if call.method != "GET":
            raise _not_allowed()
        offset, count = _paging(call.query)
        status, since = call.query.get("status"), call.query.get("since_last_changed")
        found, total = audience.with_status(status), audience.count(status)
        if since is not None:
            found = [one for one in found if one.last_changed >= as_moment(since)]
            total = len(found)
        direction = call.query.get("sort_dir", "ASC") if call.query.get("sort_field") == "last_changed" else None
        told = [one.as_json() for one in page(found, offset, count, by_last_changed=direction)]
        return Answer(200, {"members": told, "list_id": audience.list_id, "total_items": total})

    def _member(self, audience: Audience, call: Call, cause: str, hashed: str) -> Answer:
        body, validate = call.body or {}, _validates(call)
        match call.method:
            case "GET":
                return Answer(200, audience.get(hashed).as_json())
            case "PUT":
                return Answer(200, audience.put(hashed, body, cause, validate=validate).as_json())
            case "PATCH":
                return Answer(200, audience.patch(hashed, body, cause, validate=validate).as_json())
            case "DELETE":
                audience.delete(hashed, cause)
                return Answer(204)
            case _:
                raise _not_allowed()


def _validates(call: Call) -> bool:
    return call.query.get("skip_merge_validation", "false").lower() != "true"


def _paging(query: Mapping[str, Any]) -> tuple[int, int]:
    try:
        offset, count = int(query.get("offset", 0)), int(query.get("count", 10))
    except ValueError as error:
        raise Problem(400, "Invalid Resource", "count and offset must be numbers.") from error
    if offset < 0 or not 0 <= count <= MOST_A_PAGE:
        raise Problem(400, "Invalid Resource", f"count must be 0 to {MOST_A_PAGE}.")
    return offset, count


def _not_allowed() -> Problem:
    return Problem(405, "Method Not Allowed", "The requested method and resource are not compatible.")
