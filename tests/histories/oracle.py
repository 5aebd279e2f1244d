"""The judge of a history. It follows persons and contacts, and knows nothing of the worker's tables.

By each call:
 1. Nobody who left is made subscribed or pending anywhere in the account: not her address, and no address of a
    customer that was a member by her address. Left: unsubscribed, cleaned, archived by somebody else, deleted,
    renamed by hand, or consent withdrawn; until she joins by herself, for which a form that nobody has confirmed is
    not enough. Who was a member by herself, changed her address there and left under the new one counts as having left
    under the former one too, if pages showed her contact under both. A list that is replaced takes no departure along,
    but for one that no daily flush could read before the list was deleted, and then by an operator's confirmation
    only. A departure that no answer could tell in time is excused, and so is an event of the last two seconds. On the
    place that a write depends on: where it fell between a read of that place and the write, within two seconds. On
    another place: where it fell into this flush, or the worker never met her there. A page of a list's departures
    tells of everybody; but if only a hash showed that, no more once the database or the key is replaced, until a page
    tells it again. Nobody is put anywhere by an address that no customer has.
 2. Nobody whom this worker did not add is archived or renamed, but with a customer that surely is that person's. Who
    left and joined again by herself, before any answer showed it, and was pending when last read, looks
    like one that was confirmed: that is excused. So is who joined while a flush that died was about to add that
    address: Mailchimp tells whole seconds. And who joined between a read of a member and the write that depends on it.
 3. Nobody pending is made subscribed.
10. Nobody is tagged who is known to have left, no call about tags changes a status, and no tag that somebody set by
    hand is removed. Set within four minutes of a call that sets it too, it looks like that call's: that is excused.
 4. Not more than ten members, or a tenth of a list, leave it in a flush that nobody confirmed.
    No call is made for what was disabled, un-stored or given another key meanwhile.

When all is quiet:
 5. Who wants to be there and never left is there, with the newest names; whom only the worker put there and whom no
    customer wants there is not. A member that was off its list when somebody tagged it is excused: it looks like one
    that signed up again and was archived by somebody else. Who confirmed Mailchimp's mail when no customer had her
    address any more stays there.
    Who was deleted for good and joined again by the form has the newest names of its customer.
 6. Withdrawn consent is not subscribed.
 7. One more flush writes nothing.
 8. The receipts tell what happened. Who was archived by hand right after a read, where the worker's own archive was
    lost, looks like one that the worker archived: that is excused.
 9. What is published of each customer answers its newest event, and agrees with Mailchimp as it answered last; nothing
    is published of who was deleted or erased.
11. Who is there as wanted and never left has the tags and attributes of the newest event: each tag but those that
    somebody removed by hand, and no other but those that somebody set.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from tests.histories.facts import ANSWER_WITHIN, AS_ANOTHER, CLOSE, ON_LIST, Facts, names_of
from tests.histories.people import Departure, Record
from tests.histories.wire import Change, Exchange

SURE_AFTER = timedelta(days=30)


@dataclass
class Oracle:
    """Judges calls as they are made.

    Attributes:
        broken: what must never happen and did, in words.
        commanding: whether calls are an operator's command and no flush.
        deleted: lists that were deleted in Mailchimp.
        on_its_way: the number of the call that was on its way when a setting changed in this flush.
    """

    facts: Facts
    broken: list[str] = field(default_factory=list)
    flush_began: datetime | None = None
    confirmed: bool = False
    stored: tuple[str, ...] = ()
    on_its_way: int = 0
    commanding: bool = False
    off_since: datetime | None = None
    unstored: set[str] = field(default_factory=set)
    leaving: Counter[str] = field(default_factory=Counter)
    old_keys: set[str] = field(default_factory=set)
    deleted: set[str] = field(default_factory=set)
    farthest: float = 0.0

    def judge(self, exchange: Exchange) -> None:
        """Judges one call, by what was so before it."""
        if exchange.number > self.on_its_way and not self.commanding:
            self._judge_settings(exchange)
        for change in exchange.changes:
            before, after = change.before, change.after
            if before is not None and after is not None and before.email != after.email:
                self._judge_taking(exchange, change, "renamed")
            if before is not None and after is not None and before.status != "archived" == after.status:
                self._judge_taking(exchange, change, "archived")
                self._judge_number(exchange, change.list_id)
            if before is not None and after is not None and before.status == "pending" and after.status == "subscribed":
                self._break(exchange, f"{after.email} was pending and is made subscribed")
            if exchange.call.path.endswith("/tags"):
                self._judge_tagging(exchange, change)
            comes = before is None or before.status not in ON_LIST or after is None or before.email != after.email
            if after is not None and after.status in ON_LIST and comes:
                self._judge_putting(exchange, change)

    def _judge_tagging(self, exchange: Exchange, change: Change) -> None:
        assert change.after is not None
        spot = (change.list_id, change.after.email)
        shown = [
            departure
            for departure in self.facts.departures
            if departure.spot == spot and departure.shown_at is not None
        ]
        if change.after.status not in ON_LIST and any(
            departure.shown_at is not None and departure.shown_at < exchange.at for departure in shown
        ):
            self._break(exchange, f"{change.after.email} is tagged, though {shown[0]}, and the worker was told")
        if change.before is None or change.before.status != change.after.status:
            self._break(exchange, f"a call about tags makes {change.after.email} {change.after.status}")
        for message in self.facts.hand_tags.wrong(exchange):
            self._break(exchange, f"{change.after.email}: {message}")

    def _judge_settings(self, exchange: Exchange) -> None:
        if self.off_since is not None:
            self._break(exchange, f"a call after the account was disabled at {self.off_since:%d %H:%M:%S}")
        if exchange.key in self.old_keys:
            self._break(exchange, "a call with an API key that was replaced")
        if not exchange.call.reads_only and exchange.call.path.split("/")[2] in self.unstored:
            self._break(exchange, "a write to a list that was un-stored in this flush")

    def _break(self, exchange: Exchange, message: str) -> None:
        self.broken.append(f"call {exchange.number}, {exchange.call}: {message}")

    # Who is put somewhere

    def _judge_putting(self, exchange: Exchange, change: Change) -> None:
        assert change.after is not None
        email, list_id = change.after.email, change.list_id
        old = change.before.email if change.before is not None and change.before.status in ON_LIST else None
        why = self._left(exchange, list_id, email, email)
        had = [record for record in self.facts.records.values() if email in record.addresses | record.known_by]
        for record in had:
            if why is None and (email in record.known_by or _has_address(record, email, exchange.at)):
                for address in sorted(record.known_by - {email}):
                    why = why or self._left(exchange, list_id, email, address, record, renamed=old is not None)
        if why is not None:
            self._break(exchange, f"{email} is put on {list_id} as {change.after.status}, though {why}")
        since = self.flush_began
        if since is not None and not any(state["email"] == email for record in had for state in self._asked(record)):
            self._break(exchange, f"{email} is put on {list_id}, and no customer has that address")
        for record in had:
            # The worker may have planned by any state since the flush began.
            before = record.before(since) if since is not None else None
            states = [before, *(state for at, state in record.states if since is not None and at > since)]
            if all(
                state is not None and state["email"] == email and state["marketing_consent"] is False
                for state in states
            ):
                self._break(exchange, f"{email} is put on {list_id}, though {record.name} withdrew consent")

    def _asked(self, record: Record) -> list[dict[str, Any]]:
        # What it was when this flush began and since: the worker may have planned by any of these.
        since = self.flush_began
        states = [state for at, state in record.states if since is None or at > since]
        states += [record.before(since)] if since is not None else []
        return [state for state in states if state is not None]

    def _left(
        self,
        exchange: Exchange,
        list_id: str,
        email: str,
        address: str,
        record: Record | None = None,
        *,
        renamed: bool = False,
    ) -> str | None:
        for departure in self.facts.departures:
            if (
                departure.spot[1] != address
                or departure.at > exchange.at
                or (record is not None and departure.kind == "cleaned")
            ):
                continue
            if departure.kind == AS_ANOTHER and departure.shown_at is None:
                continue  # no page showed her contact under both addresses
            vanished = departure.kind in ("deleted", "renamed")
            in_place = departure.spot == (list_id, email) and not vanished
            own = record is not None and departure.spot in record.memberships
            if vanished and self.facts.met.get(departure.spot, exchange.at) > departure.at:
                continue  # she went before the worker ever met her
            if not in_place and departure.spot not in self.facts.touched_before and departure.shown_at is None:
                continue  # the worker did not know that place when this flush began
            if (
                not in_place
                and not own
                and departure.shown_at is None
                and (vanished or departure.spot[0] not in self.stored)
            ):
                continue  # no list of departures tells it
            if departure.shown_at is None and self.confirmed and departure.spot[0] in self.deleted:
                continue  # nothing tells it any more, and an operator confirmed that
            if renamed and departure.spot[0] != list_id:
                continue  # she keeps the membership that she has, under her new address
            if not self._excused(exchange, departure, own=in_place or own):
                shown = ""
                if departure.shown_at is not None:
                    in_this_flush = self.flush_began is not None and departure.shown_at >= self.flush_began
                    when = "in this flush" if in_this_flush else f"at {departure.shown_at:%d %H:%M:%S}"
                    shown = f", told to the worker {when}"
                of_record = f" (known of {record.name})" if record is not None else ""
                return f"{departure}{of_record}{shown}"
        return None

    def _excused(self, exchange: Exchange, departure: Departure, *, own: bool) -> bool:
        if departure.shown_at is not None and departure.shown_at < exchange.at:
            return False
        if own:
            return any(
                at < departure.at and exchange.at - at <= CLOSE and self._covers(read, departure)
                for at, read in self.facts.reads
            )
        return self.flush_began is None or departure.at > self.flush_began

    def _covers(self, read: Exchange, departure: Departure) -> bool:
        list_id = departure.spot[0]
        return departure.spot in self.facts.memberships(read) or read.call.path == f"/lists/{list_id}/members"

    # Who is archived or renamed

    def _judge_taking(self, exchange: Exchange, change: Change, verb: str) -> None:
        contact = self.facts.contact(change.member)
        assert change.before is not None
        email = change.before.email
        if contact.origin == "call" or contact.as_confirmed:
            return
        for record in self.facts.records.values():
            wants = any(
                state["email"] != email or verb == "archived" for state in self._asked(record) if state["email"]
            )
            if wants and email in record.addresses and self._surely(record, change):
                return
        if any(spot == (change.list_id, email) and a <= contact.joined <= b for spot, a, b in self.facts.adds):
            return  # she joined between this worker's note that an add begins and that add
        if any(
            at <= contact.joined <= exchange.at <= at + CLOSE
            and (change.list_id, email) in self.facts.memberships(read)
            for at, read in self.facts.reads
        ):
            return  # she joined between a read of that member and the write that depends on it
        off = timedelta(seconds=self.farthest + 2)
        for spot, at in self.facts.unanswered:
            if spot == (change.list_id, email) and at - off <= contact.joined <= at + off + ANSWER_WITHIN:
                return
        if self.facts.seemingly_added((change.list_id, email), contact.joined):
            return
        self._break(
            exchange, f"{email} is {verb} on {change.list_id}, who joined by herself at {contact.joined:%d %H:%M:%S}"
        )

    def _judge_number(self, exchange: Exchange, list_id: str) -> None:
        self.leaving[list_id] += 1
        ever = {contact.member.email for contact in self.facts.contacts.values() if contact.member.list_id == list_id}
        if not self.confirmed and self.leaving[list_id] > max(10, len(ever) / 10):
            self._break(
                exchange, f"{self.leaving[list_id]} of {len(ever)} members left {list_id}, and nobody confirmed"
            )

    def _surely(self, record: Record, change: Change) -> bool:
        assert change.before is not None
        contact = self.facts.contact(change.member)
        names = {(state["first_name"], state["last_name"]) for _, state in record.states if state is not None}
        if (contact.names or names_of(change.before)) in names:
            return True
        met = record.met.get(change.before.email)
        return met is not None and self.flush_began is not None and self.flush_began - met >= SURE_AFTER


def _has_address(record: Record, email: str, at: datetime) -> bool:
    # Not by an event that came between the last look and the call.
    before = record.before(at - CLOSE)
    return record.email == email and before is not None and before["email"] == email
