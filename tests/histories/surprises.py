"""What happens seldom while a flush runs, or right before it, beside what the theme of a history has.

A call gets a 404 of Mailchimp's own that is not so. An address goes from one customer to another, mostly one by which
somebody left. A person is erased in the middle of a flush. The partition is taken from the worker in the middle of a
flush, and comes back before the next one. The broker takes nothing for the rest of a flush. A merge field is deleted in
Mailchimp, or must be filled from now on. A list asks for marketing permissions.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from tests.histories.publisher import PEOPLE, RECORDS
from tests.histories.wire import STRAY
from worker.errors import KafkaError
from worker.mailchimp.calls import Call

if TYPE_CHECKING:
    from tests.histories.history import History

APART = 4
"""At most one of so many calls in a row gets a stray 404: two of them to one member are Mailchimp's last word."""


class Surprises:
    """Lets them happen, by a chance of its own: a history without them is the one that it always was."""

    def __init__(self, history: History, chance: random.Random) -> None:
        """Nothing happened yet."""
        self._history = history
        self._chance = chance
        self._strays = chance.choice((0.0, 0.02, 0.1))
        self._interruptions = chance.choice((0.0, 0.0, 0.03))
        self._handovers = chance.choice((0.0, 0.2, 0.5))
        self._fields = chance.choice((0.0, 0.1))
        self._last_stray = -APART
        self.cut_short = False
        """Whether the last flush could not write all that it did or read."""

    def before_flush(self) -> None:
        """Lets some of it happen before a flush."""
        self.cut_short = False
        if self._chance.random() < self._handovers:
            self.hand_over()
        if self._chance.random() < self._fields:
            self.change_a_field()

    def meanwhile(self) -> None:
        """Lets some of it happen between two calls of a flush."""
        chance = self._chance
        if chance.random() < self._handovers / 20:
            self.hand_over()
        if chance.random() < self._fields / 20:
            self.change_a_field()
        if not self.cut_short and chance.random() < self._interruptions:
            chance.choice((self.erase, self.lose_partition, self.lose_broker))()

    def flush_ended(self) -> None:
        """Gives the worker back what was taken from it."""
        self._history.world.partition.lost = False
        self._history.world.topic.failure = None

    def quiet(self) -> None:
        """Lets no more happen."""
        self._strays = self._interruptions = self._handovers = self._fields = 0.0

    def fault(self, call: Call) -> str | None:
        """Returns what goes wrong with a call, or None."""
        count = self._history.world.wire.count
        if not self._strays or count < self._last_stray + APART or self._chance.random() >= self._strays:
            return None
        if call.path.count("/") < 2 or not call.path.startswith("/lists/"):
            return None
        self._last_stray = count
        return STRAY

    def hand_over(self) -> None:
        """Has billmywork give an address of one customer to another; the first one gets a new address."""
        facts, actors, chance = self._history.facts, self._history.actors, self._chance
        people = [record for name, record in facts.records.items() if name in RECORDS and record.email is not None]
        if len(people) < 2:
            return
        left = {departure.spot[1] for departure in facts.departures}
        givers = [record for record in people if record.email in left]
        giver = chance.choice(givers if givers and chance.random() < 0.7 else people)
        taker = chance.choice([record for record in people if record is not giver])
        email, another = giver.email, chance.choice([email for email in PEOPLE[giver.person] if email != giver.email])
        actors.say(f"BILLMYWORK gives {email} of {giver.name} to {taker.name}")
        first, second = (giver, taker) if chance.random() < 0.5 else (taker, giver)
        for record in (first, second):
            actors.give_address(record, email if record is taker else another)

    def change_a_field(self) -> None:
        """Has the owner of a stored list delete a merge field, or have one filled, or ask for permissions."""
        actors, chance, standin = self._history.actors, self._chance, self._history.world.standin
        list_id = chance.choice(actors.stored)
        if not actors.is_there(list_id):
            return
        what = chance.choice(("delete", "require", "permissions"))
        actors.say(f"HAND {list_id}: {what} of a merge field")
        mailing_list = standin.find_list(list_id)
        if what == "delete":
            standin.remove_merge_field(list_id, "LNAME")
        elif what == "require":
            standin.add_merge_field(list_id, {"name": "Phone", "type": "phone", "tag": "PHONE", "required": True})
        else:
            mailing_list.marketing_permissions = True

    # In the middle of a flush

    def erase(self) -> None:
        """Erases a person whom billmywork has: the flush makes no further call for the account."""
        emails = sorted({record.email for record in self._history.facts.records.values() if record.email is not None})
        if emails:
            self._history.actors.forget(self._chance.choice(emails))
            self._cut_short()

    def lose_partition(self) -> None:
        """Takes the partition from the worker: it makes no further call, and writes nothing more."""
        self._history.actors.say("UPHEAVAL the partition is revoked")
        self._history.world.partition.lost = True
        self._cut_short()

    def lose_broker(self) -> None:
        """Has Kafka take nothing for the rest of the flush."""
        self._history.actors.say("UPHEAVAL the broker does not answer")
        self._history.world.topic.failure = KafkaError("Kafka did not answer.", "Try again.")
        self.cut_short = True

    def _cut_short(self) -> None:
        oracle, world = self._history.oracle, self._history.world
        self.cut_short = True
        oracle.on_its_way, oracle.off_since = world.wire.count, world.time.now
