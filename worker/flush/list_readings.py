"""Which lists of an account are read, from when on, and which could not be: so that no departure stays unknown."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from worker.clock import as_text
from worker.flush.answers import AnswerClass, ClassifiedAnswer
from worker.flush.member_pages import DEPARTED, WHOLE, Keep, read_list
from worker.mailchimp.call import Sender
from worker.model import ListId
from worker.store import departure_reading, member_reading
from worker.store.accounts import AccountSettings
from worker.store.database import Database
from worker.store.departure_reading import Reading

OVERLAP = timedelta(minutes=10)
"""How long before the beginning of the last reading the next one begins: Mailchimp's own servers may lag."""
_FIRST = datetime.min.replace(tzinfo=UTC) + OVERLAP


def start_of(
    db: Database, settings: AccountSettings, list_id: ListId, *, whole: bool = False
) -> tuple[Reading, str | None]:
    """Returns where the reading of a list begins or goes on, and the time from which its members are not known.

    Args:
        whole: whether all members must be read. A list that was read so once is always read so: that costs less.
    """
    on_list, account_id = settings.list_of(list_id), settings.account_id
    departures = on_list.departures_read_at if on_list is not None else None
    members = on_list.members_read_at if on_list is not None else None
    if whole or members is not None:
        base = _before(members)
        found = member_reading.find(db, account_id, list_id)
        return found or Reading(WHOLE[0], base, whole=True), base
    base = _before(departures)
    return departure_reading.find(db, account_id, list_id) or Reading(DEPARTED[0], base), base


def _before(read_at: datetime | None) -> str | None:
    return as_text(read_at - OVERLAP) if read_at is not None and read_at > _FIRST else None


def read_at(settings: AccountSettings) -> dict[ListId, str]:
    """Returns when the last whole reading of each list's departures began, as text."""
    known = (one for one in settings.lists if not one.departures_lost)
    return {one.list_id: as_text(one.departures_read_at) for one in known if one.departures_read_at}


@dataclass(slots=True)
class ListReadings:
    """The readings of one account in one flush, or in one plan.

    Attributes:
        keep: takes each page.
        done: lists that were read, or that could not be.
        refused: what prevented it, of these.
    """

    db: Database
    sender: Sender
    keep: Keep
    wait: Callable[[float], object]
    done: set[ListId] = field(default_factory=set)
    refused: dict[ListId, ClassifiedAnswer] = field(default_factory=dict)

    def read(
        self, settings: AccountSettings, wanted: Collection[ListId], *, whole: bool = False
    ) -> dict[ListId, ClassifiedAnswer]:
        """Reads lists that were not read yet; returns what prevented which.

        Once Mailchimp says "later", or accepts no call of the account, no other list is tried.

        Args:
            whole: whether all members are read; else it is enough to know who left.
        """
        refused: dict[ListId, ClassifiedAnswer] = {}
        classified: ClassifiedAnswer | None = None
        for list_id in sorted(set(wanted) - self.done):
            if classified is None or classified.kind not in (AnswerClass.LATER, AnswerClass.ACCOUNT_STOPPED):
                start, base = start_of(self.db, settings, list_id, whole=whole)
                classified = read_list(self.sender, list_id, start, base, self.keep, self.wait)
            if classified is not None:
                refused[list_id] = classified
            self.done.add(list_id)
        self.refused |= refused
        return refused

    @property
    def read_now(self) -> frozenset[ListId]:
        """The lists that were read to their end."""
        return frozenset(self.done - self.refused.keys())

    def not_read(self) -> dict[ListId, str]:
        """Returns the lists of which nothing is known now, though they may be there, and why."""
        return {
            list_id: classified.title
            for list_id, classified in self.refused.items()
            if classified.kind not in (AnswerClass.NOT_THERE, AnswerClass.ACCOUNT_STOPPED)
        }

    def notices(self) -> list[str]:
        """Returns a sentence for each list that could not be read."""
        return [
            f"Who left list {list_id} could not be read: {why}. Nobody moves off it in this flush; the next one reads "
            "it again."
            for list_id, why in sorted(self.not_read().items())
        ]
