"""A Mailchimp stand-in in memory: answers calls as Mailchimp does, and simulates actions of people and owners.

Source of its behaviour: Mailchimp's published API description, error list and limits.
"""

from __future__ import annotations

import copy
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from typing import Any

from worker.mailchimp.answers import Answer
from worker.mailchimp.calls import Call
from worker.sandbox import manual_actions
from worker.sandbox.audit import Audit, LoggedCall
from worker.sandbox.endpoints import respond
from worker.sandbox.errors import Problem
from worker.sandbox.faults import DONE_FIRST, Fault
from worker.sandbox.fields import chosen
from worker.sandbox.mailing_list import MailingList
from worker.sandbox.member import Member
from worker.sandbox.merge import MergeField
from worker.sandbox.user import User

MOST_CONNECTIONS = 10
"""Calls in flight per user, over all of its keys. Source: Mailchimp's documented limit of simultaneous connections."""


class StandIn:
    """The users with their lists. Thread-safe: one lock makes each call atomic.

    Attributes:
        latency: the least seconds that each call takes.
        faults: the first that matches a call applies.
        tells_contact_ids: whether answers include the ``contact_id`` of members.
    """

    def __init__(
        self,
        clock: Callable[[], datetime],
        sleep: Callable[[float], object] = time.sleep,
        seed: int = 0,
    ) -> None:
        """Creates a stand-in without users.

        Args:
            sleep: waits for the latency, if no server does.
        """
        self.clock = clock
        self.latency = 0.0
        self.faults: list[Fault] = []
        self.audit = Audit()
        self.tells_contact_ids = True
        self.users: dict[str, User] = {}
        self._sleep = sleep
        self._chance = random.Random(seed)  # noqa: S311 - faults must repeat, nothing here is secret
        self._keys: dict[str, User] = {}
        self._lock = threading.RLock()

    # Actions of list owners

    def add_key(self, key: str, user: str) -> None:
        """Adds an API key to a user, or restores a revoked one. A user may have several."""
        with self._lock:
            self._keys[key] = self._user(user)

    def revoke(self, key: str) -> None:
        """Revokes an API key."""
        with self._lock:
            self._keys.pop(key, None)

    def create_list(
        self, user: str, list_id: str, name: str, *, usual_fields: bool = True, marketing_permissions: bool = False
    ) -> MailingList:
        """Creates a list, with Mailchimp's usual merge fields or none."""
        with self._lock:
            return self._user(user).create_list(
                list_id, name, usual_fields=usual_fields, marketing_permissions=marketing_permissions
            )

    def delete_list(self, list_id: str) -> None:
        """Deletes a list with all its members."""
        with self._lock:
            for user in self.users.values():
                user.lists.pop(list_id, None)

    def add_merge_field(self, list_id: str, data: Mapping[str, Any]) -> MergeField:
        """Adds a merge field to a list, in place of one with the same tag.

        Args:
            data: as in Mailchimp's API: name, type, tag, required, and options with phone_format or choices.

        Raises:
            KeyError: there is no such list.
            Problem: the field is not valid.
        """
        with self._lock:
            mailing_list = self.find_list(list_id)
            field = MergeField.from_json(mailing_list.next_merge_id(), data)
            mailing_list.fields[field.tag] = field
            return field

    def remove_merge_field(self, list_id: str, tag: str) -> None:
        """Deletes a merge field of a list, with its values.

        Raises:
            KeyError: there is no such list.
        """
        with self._lock:
            mailing_list = self.find_list(list_id)
            mailing_list.fields.pop(tag, None)
            for member in mailing_list.members.values():
                member.merge_fields.pop(tag, None)

    def find_list(self, list_id: str) -> MailingList:
        """Returns the list with this id, of any user.

        Raises:
            KeyError: there is none.
        """
        for user in self.users.values():
            if list_id in user.lists:
                return user.lists[list_id]
        raise KeyError(f"there is no list {list_id}")

    def members(self, list_id: str) -> list[Member]:
        """Returns copies of all members of a list, including archived ones, oldest first.

        Raises:
            KeyError: there is no such list.
        """
        with self._lock:
            return [copy.copy(member) for member in self.find_list(list_id).members.values()]

    # Actions on members

    def by_hand(self, list_id: str, email: str, action: str, value: str | None = None) -> None:
        """Applies an action of the person or the list's owner to a member.

        Args:
            action: subscribe, sign up (to pending), confirm (from pending), unsubscribe, clean, archive, forget (delete
                for good), or rename (to value).

        Raises:
            KeyError: there is no such list or member.
            ValueError: the action is unknown, or not possible for this member.
        """
        with self._lock:
            manual_actions.do(self.find_list(list_id), email, action, value)

    def edit(self, list_id: str, email: str, tag: str, value: object) -> None:
        """Writes a merge field of a member by hand; an empty text clears it.

        Raises:
            KeyError: there is no such list, member or merge field.
            Problem: the value is not valid for the field.
        """
        with self._lock:
            manual_actions.edit(self.find_list(list_id), email, tag, value)

    def tag(self, list_id: str, email: str, name: str, *, active: bool = True) -> None:
        """Adds a tag to a member by hand, or removes it.

        Raises:
            KeyError: there is no such list or member.
        """
        with self._lock:
            manual_actions.tag(self.find_list(list_id), email, name, active=active)

    # Calls

    def handle(self, key: str, call: Call) -> Answer:
        """Answers one call.

        Args:
            call: below ``/3.0``.

        Returns:
            The answer; one with a failure if the connection must be cut or get no answer.
        """
        with self.in_flight(key) as crowded:
            if self.latency:
                self._sleep(self.latency)
            return self.answer(key, call, crowded=crowded)

    @contextmanager
    def in_flight(self, key: str) -> Iterator[bool]:
        """Counts a call as in flight; yields whether it exceeds the limit of the key's user."""
        with self._lock:
            user = self._keys.get(key)
            if user is not None:
                user.in_flight += 1
                most = self.audit.most_at_once
                most[user.name] = max(most[user.name], user.in_flight)
            crowded = user is not None and user.in_flight > MOST_CONNECTIONS
        try:
            yield crowded
        finally:
            if user is not None:
                with self._lock:
                    user.in_flight -= 1

    def answer(self, key: str, call: Call, *, crowded: bool) -> Answer:
        """Answers a call that is in flight, without latency."""
        with self._lock:
            user = self._keys.get(key)
            answer = self._answer(user, key, call, crowded=crowded)
            name, now = user.name if user is not None else "", self.clock()
            self.audit.log(LoggedCall(now, name, key[-4:], call, answer.status))
            # In whole seconds, like a Date header.
            return replace(answer, date=now.replace(microsecond=0))

    def _answer(self, user: User | None, key: str, call: Call, *, crowded: bool) -> Answer:
        if crowded:
            detail = f"You have exceeded the limit of {MOST_CONNECTIONS} simultaneous connections."
            return Problem(429, "Too Many Requests", detail).answer()
        fault = next((fault for fault in self.faults if fault.meets(key, call, self._chance)), None)
        if fault is not None and fault.kind not in DONE_FIRST:
            return fault.answer()
        try:
            if user is None:
                raise self._unknown(key)
            answer = respond(user, call, f"{call} by {user.name} (…{key[-4:]})")
        except Problem as problem:
            answer = problem.answer()
        if fault is not None:
            return fault.answer()
        if answer.ok and answer.body is not None:
            data = chosen(answer.body, call.query)
            if not self.tells_contact_ids:
                data = {name: value for name, value in data.items() if name != "contact_id"}
            return Answer(answer.status, data)
        return answer

    def _unknown(self, key: str) -> Problem:
        secret = key.rpartition("-")[0]
        if secret and any(known_key.rpartition("-")[0] == secret for known_key in self._keys):
            return Problem(403, "Wrong Datacenter", "The API key provided is linked to a different datacenter.")
        detail = "Your API key may be invalid, or you've attempted to access the wrong datacenter."
        return Problem(401, "API Key Invalid", detail)

    def _user(self, name: str) -> User:
        return self.users.setdefault(name, User(name, self.audit, self.clock))
