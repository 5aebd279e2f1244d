"""What every step works with: the sender, the account's settings and how an ended step is told."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol

from worker.clock import Clock, as_text
from worker.flushing.deciding import member_calls
from worker.flushing.deciding.identity import departed
from worker.flushing.deciding.steps import Contact, Gate, Share
from worker.flushing.doing.intents import Intents
from worker.flushing.doing.report import Exchange, Report
from worker.flushing.outcomes import UNREADABLE, Sort, Verdict, sort_answer, standing_after
from worker.mailchimp.call import Answer, Call, Sender
from worker.mailchimp.member import Member, answered_member
from worker.mailchimp.merge_fields import MergeField
from worker.model import CustomerId, ListId, Place
from worker.staging.accounts import AccountSettings
from worker.staging.ledger import Entry, Standing, has_left

SECOND_LOOK = 1.0
"""Seconds to wait before a 404 is believed. Parallel writes of others to a member can answer stray ones."""
TOMORROW = "Tried again by the next flush."


DeparturesOf = Callable[[Sequence[Contact]], Mapping[Place, Sequence[Gate]]]


class Halted(Exception):
    """The flush must make no further call: it was asked to stop, or the partition is no longer this worker's."""


@dataclass(frozen=True, slots=True)
class Guarded:
    """A sender that asks before each call whether it may still be made."""

    sender: Sender
    may_call: Callable[[], bool]

    def send(self, call: Call) -> Answer:
        """Sends a call and waits for its answer.

        Raises:
            Halted: nothing was sent, because nothing may be sent any more.
        """
        if not self.may_call():
            raise Halted
        answer = self.sender.send(call)
        if answer.unsent and not self.may_call():
            raise Halted
        return answer


class Tries(Protocol):
    """Waits between the tries of a step."""

    def again(self) -> bool:
        """Waits before one more try; returns false when patience is over or it is time to stop."""
        ...


class Pacing(Protocol):
    """How an account's calls are sent in a flush: the patient sender of its API key."""

    def send(self, call: Call) -> Answer:
        """Sends a call, again while it is worth it; for reads on which no write hangs."""
        ...

    def together(self) -> AbstractContextManager[Sender]:
        """Gives a sender for calls that hang on each other; it sends each once."""
        ...

    def tries(self) -> Tries:
        """Returns what waits between the tries of one step."""
        ...


@dataclass(frozen=True, slots=True)
class Read:
    """A member as it was just read.

    Attributes:
        member: None with NOT_THERE for a 404, or with what stands in the way.
        date: Mailchimp's time of the answer.
    """

    member: Member | None
    verdict: Verdict
    exchange: Exchange
    date: datetime | None


@dataclass(frozen=True, slots=True)
class Desk:
    """One account's part of a flush, as its steps see it. Shared by the account's threads; they only read it.

    Attributes:
        sender: sends the calls of one try of a step.
        pacing: what gives each try a connection, and waits between tries.
        intents: writes, before a call, what it is about to do to a place, in case its answer is lost.
        wait: waits so many seconds, or less when the flush is asked to stop.
        may_leave: counts one more member that leaves a list unplanned; false where the brake holds it.
        departures_of: tells where contacts are known to have left, by the ledger as it is now.
        standings: of the customers of the chunk at hand.
    """

    sender: Guarded
    settings: AccountSettings
    merge_fields: Mapping[ListId, Sequence[MergeField]]
    run: int
    clock: Clock
    pacing: Pacing
    intents: Intents
    wait: Callable[[float], object]
    may_leave: Callable[[ListId], bool]
    departures_of: DeparturesOf
    standings: Mapping[CustomerId, Standing]

    def send(self, call: Call) -> Answer:
        """Sends a call and waits for its answer.

        Raises:
            Halted: nothing was sent, because nothing may be sent any more.
        """
        return self.sender.send(call)

    def now(self) -> datetime:
        """Returns the time."""
        return self.clock()

    def at(self) -> str:
        """Returns the time as text."""
        return as_text(self.clock())

    def report(self) -> Report:
        """Returns an empty report."""
        return Report(self.run, self.settings.account_id)

    def standing(self, customer_id: CustomerId) -> Standing:
        """Returns what stands against a customer, nothing by default."""
        return self.standings.get(customer_id) or Standing(customer_id)

    def available(self, list_id: ListId) -> Sequence[MergeField]:
        """Returns a list's merge fields."""
        return self.merge_fields.get(list_id, ())

    def read_member(self, place: Place, entry: Entry | None, shares: Sequence[Share] = ()) -> Read:
        """Reads a member, and writes at once if it has left: this try may fail, and other steps must know it.

        Args:
            place: where.
            entry: what the ledger says of it.
            shares: the customers who are, or should be, there; of gates none, since they are known there.
        """
        read = self.look_at(place, entry)
        known = entry
        if known is None and shares:
            known = Entry(place, shares[0].customer.customer_id, "present", "found", self.at())
        if known is not None and read.member is not None:
            left = departed(known, read.member, read.date)
            if left is not None and (entry is None or not has_left(entry)):
                self.intents.note(replace(left, sent_at=self.at()), shares)
        return read

    def look_at(self, place: Place, entry: Entry | None) -> Read:
        """Reads a member; one that the ledger knows is missing only if two answers a moment apart say so.

        Args:
            place: where.
            entry: what the ledger says of it.
        """
        call = member_calls.read(place)
        answer = self.send(call)
        if entry is not None and entry.state != "gone" and sort_whole(answer).sort is Sort.NOT_THERE:
            self.wait(SECOND_LOOK)
            answer = self.send(call)
        return Read(answered_member(answer), sort_whole(answer), Exchange.of(call, answer), answer.date)

    def list_is_gone(self, list_id: ListId) -> bool:
        """Asks Mailchimp whether a list is gone, after a 404 below it."""
        return sort_answer(self.send(member_calls.read_list(list_id))).sort is Sort.NOT_THERE


def sort_whole(answer: Answer) -> Verdict:
    """Sorts an answer that must hold a member: a 2xx without one settles nothing."""
    if answer.ok and answered_member(answer) is None:
        return UNREADABLE
    return sort_answer(answer)


def settle_at(report: Report, shares: Iterable[Share], place: Place) -> None:
    """Notes that the customers stand at a place and nothing stands against them any more."""
    report.standings += [Standing(share.customer.customer_id, place) for share in shares]


def stumble(
    desk: Desk,
    report: Report,
    shares: Sequence[Share],
    place: Place,
    verdict: Verdict,
    exchange: Exchange,
    *,
    of_list: bool = False,
) -> None:
    """Notes an answer that settles nothing now, or refuses the contact, with what happens next.

    Args:
        desk: the account's.
        report: takes the notes.
        shares: the customers that it meets.
        place: where.
        verdict: how the answer was sorted.
        exchange: the call and the answer.
        of_list: whether a 404 is the list's own; else it may be the member's, and the list is asked for.
    """
    sort, title = verdict.sort, verdict.title
    if sort is Sort.ACCOUNT_STOPPED:
        report.account_stopped = title
        report.fail(shares)
        told = "account stopped", f"Mailchimp accepts no call of this account: {title}."
        then = "Sent when the account has a working key (account connect) or is resumed (account resume)."
    elif sort is Sort.NOT_THERE and (of_list or desk.list_is_gone(place.list_id)):
        report.gone.add(place.list_id)
        report.fail(shares)
        told = "list gone", "The list is gone from Mailchimp."
        then = "Sent when the account has stored another list in its place."
    elif sort in (Sort.BAD_ADDRESS, Sort.BARRED, Sort.UNCLEAR):
        report.undone.append(place)
        told, then = _refused(desk, report, shares, place, verdict)
    else:
        report.fail(shares)
        report.later = title if sort in (Sort.LATER, Sort.AGAIN) else None
        report.again = report.again or sort is Sort.AGAIN
        told = "later", f"Not done: {title}."
        then = TOMORROW
    report.write(shares, place, exchange, at=desk.at(), outcome=told[0], detail=told[1], then=then)


def _refused(
    desk: Desk, report: Report, shares: Sequence[Share], place: Place, verdict: Verdict
) -> tuple[tuple[str, str], str]:
    after = [
        standing_after(verdict, desk.standing(share.customer.customer_id), place.address, desk.now())
        for share in shares
    ]
    report.standings += after
    # Nowhere else yet: the old member stays.
    report.blocked |= {share.customer.customer_id for share in shares}
    retry_at = after[0].retry_at
    if retry_at is not None:
        report.fail(shares)
        return ("refused", f"Mailchimp refused it: {verdict.title}."), f"Tried again after {retry_at}."
    if verdict.sort is Sort.BAD_ADDRESS:
        return (
            "refused",
            f"Mailchimp refused the address: {verdict.title}.",
        ), "Sent when the customer has another one."
    then = "Nothing until an operator clears it (resync --clear-suppressed)."
    return ("suppressed", f"Mailchimp refuses it for good: {verdict.title}."), then
