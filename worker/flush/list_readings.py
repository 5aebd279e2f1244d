"""What a flush reads of an account's lists before it plans: merge fields and members.

Members are read page by page in the order of their last change, and each page continues from the last time. Two calls
read an unchanged list: all members but the archived, and the archived. If a list was never read in full and only
departures matter, three calls read these: one per way to leave.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import Enum, auto
from functools import partial

from worker.clock import Wait, as_moment, as_text, text_or_none
from worker.flush.members_to_read import DEPARTED, WHOLE, MembersToRead, members_to_read
from worker.mailchimp import calls
from worker.mailchimp.answers import (
    UNREADABLE,
    Answer,
    AnswerClass,
    ClassifiedAnswer,
    Member,
    classify_read,
    member_of,
    total_items,
)
from worker.mailchimp.calls import Sender
from worker.mailchimp.merge_fields import MergeField, merge_fields
from worker.mailchimp.sender import SECOND_LOOK
from worker.model import AddressKey, ListId, address_key
from worker.sqlite.database import Database
from worker.store.accounts import AccountSettings
from worker.store.readings import Reading
from worker.store.strangers import AddressHashes

SIDE_BY_SIDE = 8
"""Lists read in parallel; the sender limits the calls in flight."""
SECOND = timedelta(seconds=1)
MOST_LATER = 2
"""After so many lists that cannot be read now, the others are not tried: Mailchimp itself may be down."""
MOST_RESTARTS = 3
"""How often one page is started again because members before it changed meanwhile."""

_SHIFTED = ClassifiedAnswer(AnswerClass.LATER, "its members changed while they were read")


# Merge fields


@dataclass(frozen=True, slots=True)
class FieldsRead:
    """The merge fields of an account's stored lists.

    Attributes:
        by_list: of each list that answered.
        refused: the failures of the others; reading stops at the first that is not just a missing list.
    """

    by_list: Mapping[ListId, Sequence[MergeField]]
    refused: Mapping[ListId, ClassifiedAnswer]


def read_fields(sender: Sender, settings: AccountSettings, wait: Wait) -> FieldsRead:
    """Reads the merge fields of every stored list that is not gone: the first alone, the others in parallel.

    A list counts as missing only after two such answers a moment apart.
    """
    first = _fields_of(sender, [stored_list.list_id for stored_list in settings.stored if not stored_list.gone])
    missing = [list_id for list_id, classified in first.refused.items() if classified.kind is AnswerClass.NOT_THERE]
    if not missing:
        return first
    wait(SECOND_LOOK)
    second = _fields_of(sender, missing)
    refused = {list_id: classified for list_id, classified in first.refused.items() if list_id not in missing}
    return FieldsRead({**first.by_list, **second.by_list}, {**refused, **second.refused})


def _fields_of(sender: Sender, list_ids: Sequence[ListId]) -> FieldsRead:
    by_list: dict[ListId, Sequence[MergeField]] = {}
    refused: dict[ListId, ClassifiedAnswer] = {}
    for list_id, fields in _read(sender, list_ids):
        if not isinstance(fields, Answer):
            by_list[list_id] = fields
            continue
        refused[list_id] = UNREADABLE if fields.failure == "garbled" else classify_read(fields)
        if fields.status != 404:
            break
    return FieldsRead(by_list, refused)


def _read(sender: Sender, list_ids: Sequence[ListId]) -> Iterator[tuple[ListId, Sequence[MergeField] | Answer]]:
    # The first shows whether the account can be called at all.
    for list_id in list_ids[:1]:
        yield list_id, merge_fields(sender, list_id)
    if further := list_ids[1:]:
        with ThreadPoolExecutor(min(len(further), SIDE_BY_SIDE), thread_name_prefix="fields") as pool:
            yield from zip(further, pool.map(partial(merge_fields, sender), further), strict=True)


# Members: which lists are read, and from when on


@dataclass(frozen=True, slots=True)
class Page:
    """Members of a list, as Mailchimp listed them.

    Attributes:
        reading: the reading that it belongs to, with the time of its first page.
        then: where the reading continues; None at the end of the list.
        new: how many of the members were not on the previous page.
        total: how many there are to read, on the first page of each status; otherwise 0.
    """

    list_id: ListId
    members: Sequence[Member]
    answered_at: datetime | None
    reading: Reading
    then: Reading | None
    new: Sequence[Member]
    total: int

    @property
    def is_full(self) -> bool:
        """Whether it has as many members as a page can have."""
        return len(self.members) >= calls.PAGE

    @property
    def trivial(self) -> bool:
        """Whether its progress need not be stored, because the page is quickly read again."""
        return self.then is not None and not self.is_full


class Depth(Enum):
    """How much of a list is read."""

    ALL_MEMBERS = auto()
    DEPARTURES = auto()
    DEPARTURES_TO_CONFIRM = auto()
    """Who joined again may still count as departed: a member is read again before its departure is believed."""


OnPage = Callable[[Page], None]
"""Called with each page before the next one is read."""


@dataclass(slots=True)
class ListReadings:
    """The readings of one account in one flush or plan.

    Attributes:
        done: lists that were read, or could not be.
        refused: the failures of those that could not be.
        to_confirm: lists of which perhaps only departures were read, as :attr:`Depth.DEPARTURES_TO_CONFIRM` says.
    """

    db: Database
    hashes: AddressHashes
    sender: Sender
    on_page: OnPage
    wait: Wait
    done: set[ListId] = field(default_factory=set)
    refused: dict[ListId, ClassifiedAnswer] = field(default_factory=dict)
    to_confirm: set[ListId] = field(default_factory=set)

    def read(
        self, settings: AccountSettings, wanted: Collection[ListId], depth: Depth = Depth.DEPARTURES
    ) -> dict[ListId, ClassifiedAnswer]:
        """Reads lists that were not read yet; returns the failures.

        Stops once Mailchimp says "later" for two lists, or accepts no call of the account.
        """
        refused: dict[ListId, ClassifiedAnswer] = {}
        for list_id in sorted(set(wanted) - self.done):
            classified = _not_tried(refused)
            if classified is None:
                classified = self._read(settings, list_id, whole=depth is Depth.ALL_MEMBERS)
            if classified is not None:
                refused[list_id] = classified
            self.done.add(list_id)
            if depth is Depth.DEPARTURES_TO_CONFIRM:
                self.to_confirm.add(list_id)
        self.refused |= refused
        return refused

    def _read(self, settings: AccountSettings, list_id: ListId, *, whole: bool) -> ClassifiedAnswer | None:
        for members in members_to_read(self.db, settings, list_id, self.hashes, whole=whole):
            if (refused := read_list(self.sender, members, self.on_page, self.wait)) is not None:
                return refused
        return None

    def give_up(self, list_id: ListId, classified: ClassifiedAnswer) -> None:
        """Leaves a list unread in this flush, because of the answer to an earlier call."""
        self.done.add(list_id)
        self.refused[list_id] = classified

    @property
    def read_now(self) -> frozenset[ListId]:
        """The lists that were read to their end, and whose departures need no further read."""
        return frozenset(self.done - self.refused.keys() - self.to_confirm)

    def not_read(self) -> dict[ListId, str]:
        """Returns the lists whose members are unknown now, though they may exist, and why."""
        return {
            list_id: classified.title
            for list_id, classified in self.refused.items()
            if classified.kind not in (AnswerClass.NOT_THERE, AnswerClass.ACCOUNT_STOPPED)
        }

    def notices(self) -> list[str]:
        """Returns a sentence for each list that could not be read."""
        return [
            f"Who left list {list_id} could not be read: {why}. So this flush moves nobody off it, and adds nobody to "
            "another list; the next one reads it again."
            for list_id, why in sorted(self.not_read().items())
        ]


def _not_tried(refused: Mapping[ListId, ClassifiedAnswer]) -> ClassifiedAnswer | None:
    """Returns the failure of a list that is not read because of the lists before it; None if it is read."""
    for classified in refused.values():
        if classified.kind is AnswerClass.ACCOUNT_STOPPED:
            return classified
    later = [list_id for list_id, classified in refused.items() if classified.kind is AnswerClass.LATER]
    if len(later) < MOST_LATER:
        return None
    return ClassifiedAnswer(AnswerClass.LATER, f"not tried after {' and '.join(later[:MOST_LATER])}")


# Page by page


def read_list(sender: Sender, members: MembersToRead, on_page: OnPage, wait: Wait) -> ClassifiedAnswer | None:
    """Reads members of one list.

    Returns:
        None if it was read to its end; else the failure: NOT_THERE only if the list is certainly gone.
    """
    for page in pages(sender, members):
        if isinstance(page, Page):
            on_page(page)
        elif page.kind is AnswerClass.NOT_THERE:
            wait(SECOND_LOOK)
            again = classify_read(sender.send(calls.read_list(members.list_id)))
            return again if again.kind is not AnswerClass.DONE else replace(page, kind=AnswerClass.LATER)
        else:
            return page
    return None


def pages(sender: Sender, wanted: MembersToRead) -> Iterator[Page | ClassifiedAnswer]:
    """Yields members of a list page by page; the last item may be the failure."""
    list_id, reading, base, position = wanted.list_id, wanted.start, wanted.base, _Position()
    fresh, seen = reading.began_at is None, set[AddressKey]()
    first_of_status = reading.since == base
    while True:
        call = calls.members(list_id, reading.status, reading.since, position.offset, fields=wanted.fields)
        answer = sender.send(call)
        listed = _members(answer)
        if isinstance(listed, ClassifiedAnswer):
            yield listed
            return
        members, total = listed
        if fresh:
            fresh = False
            reading = replace(reading, began_at=text_or_none(answer.date))
        if position.shifted(members):
            if position.restarts >= MOST_RESTARTS:
                yield _SHIFTED
                return
            position = _Position(restarts=position.restarts + 1)
            continue
        offset = position.offset
        if offset + len(members) >= total and len(members) < calls.PAGE:  # a full page is the last only by chance
            then = _next_status(reading, base)
            position = _Position()
        else:
            last = members[-1].changed if len(members) > 1 else None
            if last is None:
                yield UNREADABLE
                return
            then, position = _further(reading, position, last, members)
        new = [member for member in members if address_key(member.address) not in seen]
        yield Page(list_id, members, answer.date, reading, then, new, total if first_of_status and not offset else 0)
        if then is None:
            return
        first_of_status = then.status != reading.status
        seen = {key for member in members if (key := address_key(member.address)) is not None}
        reading = replace(then, began_at=reading.began_at)


@dataclass(frozen=True, slots=True)
class _Position:
    """Where a page starts among the members since a time.

    Attributes:
        last: the address of the last member of the previous page, with which this page must start.
    """

    offset: int = 0
    last: AddressKey | None = None
    restarts: int = 0

    def shifted(self, members: Sequence[Member]) -> bool:
        """Returns whether members before this page changed meanwhile, so that others may have been skipped."""
        return self.last is not None and (not members or address_key(members[0].address) != self.last)


def _further(
    reading: Reading, position: _Position, last: datetime, members: Sequence[Member]
) -> tuple[Reading, _Position]:
    # From a second before the last one: others may share its second, and Mailchimp's "since" may be exclusive.
    since = last - SECOND
    if reading.since is None or since > as_moment(reading.since):
        return replace(reading, since=as_text(since)), _Position()
    # More members in one second than fit on a page.
    return reading, _Position(position.offset + len(members) - 1, address_key(members[-1].address), position.restarts)


def _next_status(reading: Reading, base: str | None) -> Reading | None:
    order = WHOLE if reading.whole else DEPARTED
    rest = order[order.index(reading.status) + 1 :]
    return replace(reading, status=rest[0], since=base) if rest else None


def _members(answer: Answer) -> tuple[Sequence[Member], int] | ClassifiedAnswer:
    if not answer.ok:
        return classify_read(answer)
    listed, total = (answer.body or {}).get("members"), total_items(answer)
    if not isinstance(listed, list) or total is None:
        return UNREADABLE
    members = [member_of(item) if isinstance(item, dict) else None for item in listed]
    readable = [member for member in members if member is not None]  # SMS-only contacts have an empty address
    return (readable, total) if len(readable) == len(listed) else UNREADABLE
