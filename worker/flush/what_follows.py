"""What follows from a change of an account's settings: counted before it is made, from what is staged alone.

No call is made, so a member who left a list unseen is counted still: the numbers are the most that there can be.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from worker.accounts.settings import missing
from worker.flush.account_flush import plans
from worker.flush.field_hashes import FieldHashes
from worker.flush.plan_summary import leaves
from worker.flush.related_customers import chunks
from worker.flush.steps import Archive, Move, Plan
from worker.flush.terms import Terms
from worker.model import ListId
from worker.store import accounts, bare_customers, ledger
from worker.store.accounts import AccountSettings
from worker.store.database import Database
from worker.store.forgotten import Departed
from worker.text.plural import counted

SHARE = 10
"""More than one of so many members of a list that would leave it are asked for."""


@dataclass(slots=True)
class WhatFollows:
    """Counts of contacts.

    Attributes:
        present: members that the ledger knows on each list.
        adds: contacts that would be added to any list.
        moves: contacts that would go on from one list to another.
        leaves: members that would leave each list for no other.
        departures: members that would leave each list in all.
        unread: customers who are read again still, and are not counted.
    """

    settings: AccountSettings
    present: Mapping[ListId, int]
    adds: int = 0
    moves: Counter[tuple[ListId, ListId]] = field(default_factory=Counter)
    leaves: Counter[ListId] = field(default_factory=Counter)
    departures: Counter[ListId] = field(default_factory=Counter)
    unread: int = 0

    def take_in(self, plan: Plan) -> None:
        """Counts one more part of the account's plan."""
        self.adds += len(plan.adds)
        for step in plan.steps():
            if isinstance(step, Move):
                to = step.membership.list_id
                self.moves.update((one.membership.list_id, to) for one in step.priors if one.membership.list_id != to)
            elif isinstance(step, Archive) and leaves(step):
                self.departures[step.membership.list_id] += 1
                if not step.moved:
                    self.leaves[step.membership.list_id] += 1

    @property
    def to_confirm(self) -> dict[ListId, int]:
        """The lists of which more than a tenth would leave, each with how many."""
        return {one: count for one, count in self.departures.items() if count * SHARE > self.present.get(one, 0)}

    def in_words(self, when: str) -> str:
        """Returns all of it in a sentence.

        Args:
            when: of the next flush: "today 10:00".
        """
        told = []
        if self.adds:
            told.append(f"{counted(self.adds, 'contact')} will be added as {self.settings.status_if_new} {when}")
        others = [
            f"{count} move from {self._name(a)} to {self._name(b)}" for (a, b), count in sorted(self.moves.items())
        ]
        others += [f"{count} leave {self._name(one)}" for one, count in sorted(self.leaves.items())]
        if others:
            told.append(", ".join(others) + ("" if self.adds else f", {when}"))
        if self.unread:
            told.append(f"{counted(self.unread, 'customer')} of this account are still being read, and are not counted")
        return "; ".join(told) + "." if told else f"Nobody will be added, moved or taken off a list {when}."

    def _name(self, list_id: ListId) -> str:
        known = self.settings.list_of(list_id)
        return known.name if known is not None else list_id


def what_follows(
    db: Database, settings: AccountSettings, departed: Departed, now: str, *, every: bool
) -> WhatFollows | None:
    """Returns what the next flush would do by settings that are not in force yet; only reads, and only here.

    Args:
        every: whether every customer will be looked at, as after a change of lists; else those that changed.

    Returns:
        None where nothing would be delivered, because something is missing still.
    """
    if missing(settings):
        return None
    who = settings.account_id
    # Which fields are sent changes none of these counts, so no hash is compared.
    fields = {one.list_id: () for one in settings.stored}
    terms = Terms(settings, fields, "", now, departed, FieldHashes(who, ()), accounts.stored_by_others(db, who))
    bare = bare_customers.of_account(db, who)
    unread = bare.count if bare is not None and bare.reading else 0
    found = WhatFollows(settings, ledger.present_count(db, who), unread=unread)
    for near in chunks(db, who, every=every):
        for _, plan in plans(db, terms, near):
            found.take_in(plan)
    return found
