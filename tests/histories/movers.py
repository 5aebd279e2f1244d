"""People who join a list by themselves, change their address there, and leave: each on another day.

They join by an address that a customer has or may get, where the worker met nobody. Later billmywork has a customer
with that address, mostly on the list that they left.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from tests.histories.publisher import PEOPLE, RECORDS
from worker.sandbox.member import Member

if TYPE_CHECKING:
    from tests.histories.history import History


class Movers:
    """Lets them act, by a chance of its own: a history without them is the one that it always was."""

    def __init__(self, history: History, chance: random.Random) -> None:
        """Nobody joined yet."""
        self._history = history
        self._chance = chance
        self._joined: list[tuple[str, str, str]] = []
        self._left: list[tuple[str, str]] = []

    def between_days(self) -> None:
        """Lets some of them act, and billmywork."""
        chance, actors = self._chance, self._history.actors
        for list_id, email, now in list(self._joined):
            if chance.random() < 0.8:
                self._go_on(list_id, email, now)
        if chance.random() < 0.6:
            self._join()
        if self._left and chance.random() < 0.5:
            list_id, email = chance.choice(self._left)
            records = [record for name, record in self._history.facts.records.items() if name in RECORDS]
            elsewhere = chance.random() < 0.3
            actors.send_to(chance.choice(records), chance.choice(actors.lists) if elsewhere else list_id, email)

    def _join(self) -> None:
        actors, facts, chance = self._history.actors, self._history.facts, self._chance
        list_id = chance.choice(actors.stored)
        if not actors.is_there(list_id):
            return
        free = [
            email
            for email in sorted({email for emails in PEOPLE.values() for email in emails})
            if self._member(list_id, email) is None and (list_id, email) not in facts.touched
        ]
        if free:
            email = chance.choice(free)
            actors.do(list_id, email, "subscribe")
            self._joined.append((list_id, email, email))

    def _go_on(self, list_id: str, email: str, now: str) -> None:
        actors, chance = self._history.actors, self._chance
        self._joined.remove((list_id, email, now))
        member = self._member(list_id, now) if actors.is_there(list_id) else None
        if member is None or member.status != "subscribed":
            return
        if now == email or chance.random() < 0.2:
            new = f"own{chance.randint(1, 999)}.{email}"
            actors.do(list_id, now, "rename", new)
            self._joined.append((list_id, email, new))
        else:
            actors.do(list_id, now, chance.choice(("unsubscribe", "unsubscribe", "archive", "clean")))
            self._left.append((list_id, email))

    def _member(self, list_id: str, email: str) -> Member | None:
        return self._history.world.standin.find_list(list_id).find(email)
