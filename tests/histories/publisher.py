"""billmywork in a history: its customers, and the changes of them that it publishes. All by chance."""

from __future__ import annotations

import random
from typing import Any

from tests.histories import tags
from tests.histories.facts import Facts
from tests.histories.people import Record
from tests.histories.world import World

PEOPLE = {
    "ann": ("ann@a.com", "ann.lee@a.com", "family@a.com"),
    "bob": ("bob@b.com", "bob2@b.com", "family@a.com"),
    "eve": ("eve@e.com", "eve.new@e.com"),
}
NAMES = {"ann": ("Ann", "Lee"), "bob": ("Bob", "Lee"), "eve": ("Eve", "May")}
RECORDS = {"a1": "ann", "a2": "ann", "b1": "bob", "e1": "eve"}


class Publisher:
    """Publishes customers to one world."""

    def __init__(
        self, world: World, facts: Facts, chance: random.Random, tag_chance: random.Random | None = None
    ) -> None:
        """Chooses the customers, and publishes nothing yet.

        Args:
            tag_chance: of attributes and tags; None for histories without them.
        """
        self.tag_chance = tag_chance
        self.world = world
        self.facts = facts
        self.chance = chance
        self.lists = ["master", "other", "spare"]
        self.master = "master"
        self.trace: list[str] = []
        cast = chance.sample(sorted(RECORDS), chance.choice((2, 3, 4, 4)))
        facts.records.update({name: Record(name, RECORDS[name]) for name in cast})

    def say(self, line: str) -> None:
        """Notes what happens, for the reader of a history that went wrong."""
        self.trace.append(f"{self.world.time.now:%d %H:%M:%S.%f}"[:-3] + f"  {line}")

    def publish(self) -> None:
        """Publishes one change of one customer."""
        record = self.facts.records[self.chance.choice([name for name in RECORDS if name in self.facts.records])]
        state = record.state
        if state is None:
            old = next((earlier for _, earlier in reversed(record.states) if earlier is not None), None)
            state = dict(old) if old is not None and self.chance.random() < 0.6 else self._first(record)
            self._publish(record, state)
            return
        state = dict(state)
        match self.chance.choice(("name", "name", "address", "address", "list", "list", "consent", "delete", "null")):
            case "name":
                state["first_name"] = f"{NAMES[record.person][0]}{self.chance.randint(2, 99)}"
            case "address":
                state["email"] = self._address(record)
            case "list":
                state["list_id"] = self.chance.choice([None, *self.lists])
            case "consent":
                state["marketing_consent"] = not state["marketing_consent"]
            case "delete":
                self._delete(record, null=False)
                return
            case "null":
                self._delete(record, null=True)
                return
        self._publish(record, state)

    def crowd(self, number: int, list_id: str | None = None) -> None:
        """Adds as many customers who have one address each, so that whole lists move."""
        for index in range(number):
            record = Record(f"c{index}", "eve")
            self.facts.records[record.name] = record
            state = self._first(record) | {
                "email": f"c{index}@crowd.com",
                "list_id": list_id,
                "marketing_consent": True,
            }
            self._publish(record, state)

    def empty(self, list_id: str) -> None:
        """Has billmywork put the customers of a list on the master list."""
        for record in self.facts.records.values():
            if record.state is not None and record.state["list_id"] == list_id != self.master:
                self._publish(record, record.state | {"list_id": None})

    def give_address(self, record: Record, email: str | None) -> None:
        """Publishes a customer's other address."""
        assert record.state is not None
        self._publish(record, record.state | {"email": email})

    def send_to(self, record: Record, list_id: str, email: str) -> None:
        """Publishes a customer with an address and a list; a new or deleted one is there again."""
        state = record.state or self._first(record)
        self._publish(record, state | {"email": email, "list_id": list_id, "marketing_consent": True})

    def _first(self, record: Record) -> dict[str, Any]:
        first, last = NAMES[record.person]
        return {
            "email": self._address(record),
            "first_name": first,
            "last_name": last,
            "list_id": self.chance.choice((None, None, "master", "other", "spare")),
            "marketing_consent": self.chance.random() < 0.95,
        }

    def _address(self, record: Record) -> str:
        if self.chance.random() < 0.15:
            return self.chance.choice(sorted({email for all_ in PEOPLE.values() for email in all_}))
        return self.chance.choice(PEOPLE[record.person])

    def _publish(self, record: Record, state: dict[str, Any]) -> None:
        if self.tag_chance is not None and ("tags" not in state or self.tag_chance.random() < 0.5):
            state |= tags.attributes(self.tag_chance)
        self.say(f"EVENT {record.name}: {' '.join(f'{name}={value}' for name, value in state.items())}")
        self.world.publish(record.name, "updated", state)
        record.states.append((self.world.time.now, state))

    def _delete(self, record: Record, *, null: bool) -> None:
        self.say(f"EVENT {record.name}: deleted{' by a null' if null else ''}")
        if null:
            self.world.publish_null(record.name)
        else:
            self.world.publish(record.name, "deleted", record.state or {})
        record.states.append((self.world.time.now, None))
