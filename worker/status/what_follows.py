"""The consequences of a change of an account's settings, counted beforehand from staged data alone.

Makes no calls, so members who left unnoticed are still counted: the numbers are upper bounds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from worker.accounts.settings import missing
from worker.fields.field_hashes import FieldHashes
from worker.flush.account_flush import plan_chunk
from worker.flush.brake import SHARE, Expected, leaves
from worker.model import ListId
from worker.plan.inputs import PlanInputs
from worker.plan.related_customers import Selection, chunks
from worker.plan.steps import Archive, Move, Plan, Restore
from worker.sqlite.database import Database
from worker.store import accounts, bare_customers, ledger
from worker.store.accounts import AccountSettings
from worker.store.forgotten import Departed
from worker.text.plural import counted


@dataclass(slots=True)
class WhatFollows:
    """What the next flush would do to the lists of an account.

    Attributes:
        present: members on each list, by the ledger.
        expected: what the flush's brake would count.
        moves: contacts that would move from one list to another.
        leaves: members that would leave each list for no other.
        unread: customers whose fields are still being read, and who are not counted.
    """

    settings: AccountSettings
    present: Mapping[ListId, int]
    expected: Expected = field(default_factory=Expected)
    moves: Counter[tuple[ListId, ListId]] = field(default_factory=Counter)
    leaves: Counter[ListId] = field(default_factory=Counter)
    unread: int = 0

    def add(self, plan: Plan) -> None:
        """Counts one more chunk of the account's plan."""
        self.expected.add(plan)
        for step in plan.steps():
            if isinstance(step, Move | Restore) and step.kept_out_by is None:
                to = step.membership.list_id
                self.moves.update(
                    (prior.membership.list_id, to) for prior in step.priors if prior.membership.list_id != to
                )
            elif isinstance(step, Archive) and leaves(step) and not step.customers_moved:
                self.leaves[step.membership.list_id] += 1

    @property
    def adds(self) -> int:
        """How many contacts would be added to any list."""
        return self.expected.adds.total()

    @property
    def unreadable(self) -> Mapping[ListId, int]:
        """How many of those who move wait for a confirmation, by the list that can no longer be read."""
        return self.expected.unreadable

    @property
    def to_confirm(self) -> dict[ListId, int]:
        """The lists that more than a tenth of the members would leave, each with their number."""
        departures = self.expected.departures
        return {list_id: count for list_id, count in departures.items() if count * SHARE > self.present.get(list_id, 0)}

    def in_words(self, when: str) -> str:
        """Returns the counts in a sentence.

        Args:
            when: of the next flush: "today at 10:00".
        """
        parts = []
        if self.adds:
            parts.append(f"{counted(self.adds, 'contact')} will be added as {self.settings.status_if_new} {when}")
        phrases = [
            f"{count} move from {self._name(a)} to {self._name(b)}" for (a, b), count in sorted(self.moves.items())
        ]
        phrases += [f"{count} leave {self._name(list_id)}" for list_id, count in sorted(self.leaves.items())]
        if phrases:
            parts.append(", ".join(phrases) + ("" if self.adds else f", {when}"))
        parts += [
            f"{self._name(list_id)} cannot be read any more, so {counted(count, 'customer')} of it move only after you "
            "confirm what the next flush says about them"
            for list_id, count in sorted(self.unreadable.items())
        ]
        if self.unread:
            parts.append(
                f"{counted(self.unread, 'customer')} of this account are still being read, and are not counted"
            )
        return "; ".join(parts) + "." if parts else f"Nobody will be added, moved or taken off a list {when}."

    def _name(self, list_id: ListId) -> str:
        known = self.settings.list_of(list_id)
        return known.name if known is not None else list_id


def what_follows(
    db: Database, settings: AccountSettings, departed: Departed, now: str, *, everyone: bool
) -> WhatFollows | None:
    """Returns what the next flush would do with settings that are not saved yet. Read-only, without calls.

    Args:
        everyone: whether all customers are planned again, as after a change of lists; otherwise the changed ones.

    Returns:
        None if nothing would be delivered, because something is missing.
    """
    if missing(settings):
        return None
    who = settings.account_id
    bare = bare_customers.of_account(db, who)
    unread = bare.count if bare is not None and bare.reading else 0
    counts = WhatFollows(settings, ledger.present_count(db, who), unread=unread)
    # The counts do not depend on which fields are sent, so no hash is compared. Who is known to have left is believed:
    # the flush reads again, and adds nobody else who left.
    inputs = PlanInputs(
        settings,
        {},
        now,
        departed,
        FieldHashes(who, ()),
        accounts.stored_by_others(db, who),
        read_now=frozenset({known.list_id for known in settings.lists} | counts.present.keys()),
    )
    for related in chunks(db, who, Selection(everyone)):
        for _, plan in plan_chunk(db, inputs, related):
            counts.add(plan)
    return counts
