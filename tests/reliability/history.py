"""What a log says, kept beside it: customers that change at random, and what Mailchimp must hold in the end."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.integration.topic import event
from worker.model import AccountId, CustomerId
from worker.sandbox.member import Member
from worker.sandbox.server_state import StandIn
from worker.sqlite.database import Database
from worker.store import customers, receipts
from worker.store.receipts import Receipt

ON_THE_LIST = ("subscribed", "pending")
FIELDS = {"COMPANY": "plan"}
"""Merge tag to attribute."""
OFTEN = {"name": 30, "address": 20, "list": 15, "delete": 6, "return": 6, "withdraw": 4}
"""Kinds of changes, and how often each comes. Every event has a new name, which tells its version."""


@dataclass
class Person:
    """A customer as last published.

    Attributes:
        emails: every address that it had, the present one last.
        left: whether it left by hand: then it may be on no list, under no address.
        returned: whether it was deleted and published again. Whom the worker archived without learning that it did, it
            does not put back, and says so.
        detailed: whether its events have attributes and tags.
    """

    account_id: str
    number: int
    list_id: str
    emails: list[str] = field(default_factory=list)
    version: int = 0
    consent: bool = True
    deleted: bool = False
    left: bool = False
    returned: bool = False
    detailed: bool = False

    @property
    def customer_id(self) -> str:
        """Its id in the account."""
        return f"cus-{self.number}"

    @property
    def details(self) -> tuple[str, ...]:
        """What its member has beside address and name: the company, which gets an attribute, and its tags."""
        return (f"p{self.version}", "customer", f"t{self.version % 3}") if self.detailed else ()

    def move(self) -> None:
        """Gives it an address that nobody had."""
        self.emails.append(f"{self.account_id}.{self.number}.{len(self.emails)}@example.com")

    def event(self) -> dict[str, Any]:
        """Its next event."""
        self.version += 1
        return self.as_of(self.version)

    def as_of(self, version: int) -> dict[str, Any]:
        """Returns its state now, said to be of some version."""
        kind = "deleted" if self.deleted else "updated"
        state: dict[str, Any] = {"email": self.emails[-1], "first_name": f"v{version}", "list_id": self.list_id}
        if self.detailed:
            state |= {"attributes": {"plan": f"p{version}"}, "tags": ["customer", f"t{version % 3}"]}
        return event(self.customer_id, self.account_id, kind, version, marketing_consent=self.consent, **state)


class History:
    """Makes events and acts by hand, and knows what must come of them."""

    def __init__(
        self,
        seed: int,
        lists_of: Mapping[str, Sequence[str]],
        often: Mapping[str, int] | None = None,
        *,
        detailed: bool = False,
    ) -> None:
        """Begins without anybody.

        Args:
            seed: of all chance.
            lists_of: the stored lists of each account.
            often: how often each kind of change comes; see OFTEN.
            detailed: whether events have tags, and an attribute that FIELDS sends to each list.
        """
        self._detailed = detailed
        self._chance = random.Random(seed)
        self._often = OFTEN if often is None else often
        self._lists_of = lists_of
        self.people: list[Person] = []

    # What happens

    def events(self, new: int, changes: int) -> Iterator[dict[str, Any]]:
        """Gives events: of new customers first, then of any; some come twice, or late."""
        for _ in range(new):
            account = self._chance.choice(list(self._lists_of))
            list_id = self._chance.choice(self._lists_of[account])
            person = Person(account, len(self.people), list_id, detailed=self._detailed)
            person.move()
            self.people.append(person)
            yield person.event()
        for _ in range(changes):
            person = self._chance.choice(self.people)
            late = person.as_of(max(1, person.version - 1))
            self._change(person)
            yield person.event()
            if self._chance.random() < 0.2:
                yield late
            if self._chance.random() < 0.2:
                yield person.as_of(person.version)

    def _change(self, person: Person) -> None:
        (what,) = self._chance.choices(list(self._often), list(self._often.values()))
        if what == "address":
            person.move()
        elif what == "list":
            person.list_id = self._chance.choice(self._lists_of[person.account_id])
        elif what == "delete":
            person.deleted = True
        elif what == "return" and person.deleted:
            person.deleted, person.returned = False, True
        elif what == "withdraw":
            person.consent = False

    def act_by_hand(self, standin: StandIn, count: int) -> None:
        """Lets some who are on a list leave it themselves; nothing of them may wait for a flush."""
        for person in self._chance.sample(self.people, min(count, len(self.people))):
            on = self._on_lists(standin, person)
            if on:
                act = self._chance.choice(("unsubscribe", "archive", "forget"))
                standin.by_hand(on[0].list_id, on[0].email, act)
                person.left = True

    # What must have come of it

    def differences(self, standin: StandIn, db: Database) -> list[str]:
        """Tells where Mailchimp or staging differ from the log, and are not explained; empty when all is well."""
        waiting = customers.accounts_with_changes(db)
        return [
            *self.differences_of_lists(standin, db),
            *(one for person in self.people for one in self._staged_otherwise(person, db)),
            *([f"customers wait: {waiting}"] if waiting else []),
        ]

    def differences_of_lists(self, standin: StandIn, db: Database | None = None) -> list[str]:
        """Tells where Mailchimp differs from the log, and no receipt of the database explains it."""
        found = [one for person in self.people for one in self._listed_otherwise(person, standin, db)]
        found += [f"{one} was put back" for one in standin.audit.put_back()]
        made = Counter((one.list_id, one.email.lower()) for one in standin.audit.changes if one.before is None)
        return found + [
            f"{membership} became a member {times} times" for membership, times in made.items() if times > 1
        ]

    def _staged_otherwise(self, person: Person, db: Database) -> Iterator[str]:
        (staged,) = customers.by_ids(db, AccountId(person.account_id), [CustomerId(person.customer_id)]) or (None,)
        if staged is None or staged.version != person.version or staged.deleted != person.deleted:
            yield f"{person} is staged as {staged}"

    def _listed_otherwise(self, person: Person, standin: StandIn, db: Database | None) -> Iterator[str]:
        on = {
            (one.list_id, one.email, one.merge_fields["FNAME"], *self._details(one))
            for one in self._on_lists(standin, person)
        }
        wanted = {(person.list_id, person.emails[-1], f"v{person.version}", *person.details)}
        if person.left or person.deleted or not person.consent:
            wanted = set()
        if on != wanted and not (person.returned and not on and db is not None and self._told_as_left(person, db)):
            told = [(one.outcome, one.detail) for one in self._receipts(person, db)] if db is not None else ""
            yield f"{person} is on {on}, not {wanted}; receipts: {told}"

    def _details(self, member: Member) -> tuple[str, ...]:
        return (member.merge_fields["COMPANY"], *sorted(member.tags)) if self._detailed else ()

    def _told_as_left(self, person: Person, db: Database) -> bool:
        told = self._receipts(person, db)
        return bool(told) and "archived" in told[-1].detail

    def _receipts(self, person: Person, db: Database) -> list[Receipt]:
        every = receipts.find(db, account_id=AccountId(person.account_id))
        return [one for one in every if one.customer_id == person.customer_id]

    def _on_lists(self, standin: StandIn, person: Person) -> list[Member]:
        found = [
            standin.find_list(list_id).find(email)
            for list_id in self._lists_of[person.account_id]
            for email in person.emails
        ]
        return [one for one in found if one is not None and one.status in ON_THE_LIST]
