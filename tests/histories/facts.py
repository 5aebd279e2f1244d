"""What is so in a history: who left, who joined, who has which address. None of it is from the worker's tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cache

from tests.histories.people import Contact, Departure, Record
from tests.histories.tags import HandTags
from tests.histories.wire import STRAY, Change, Exchange, Spot
from worker.mailchimp.calls import member_hash
from worker.model import AddressKey
from worker.sandbox.member import Member

ON_LIST = ("subscribed", "pending")
OFF_LIST = ("unsubscribed", "cleaned", "archived")
AS_ANOTHER = "left as another"
CLOSE = timedelta(seconds=2)
ANSWER_WITHIN = timedelta(seconds=130)
"""How long after a worker died its last call may have been carried out."""


@dataclass
class Facts:
    """All of it, kept up to date by what the history does and by what goes over the wire."""

    records: dict[str, Record] = field(default_factory=dict)
    departures: list[Departure] = field(default_factory=list)
    ever_left: set[str] = field(default_factory=set)
    contacts: dict[int, Contact] = field(default_factory=dict)
    touched: set[Spot] = field(default_factory=set)
    touched_before: set[Spot] = field(default_factory=set)
    met: dict[Spot, datetime] = field(default_factory=dict)
    adds: list[tuple[Spot, datetime, datetime]] = field(default_factory=list)
    flush_began: datetime | None = None
    returned: dict[Spot, datetime] = field(default_factory=dict)
    ended_pending: set[str] = field(default_factory=set)
    tagged_off: set[str] = field(default_factory=set)
    reads: list[tuple[datetime, Exchange]] = field(default_factory=list)
    unanswered: list[tuple[Spot, datetime]] = field(default_factory=list)
    lost_archives: list[tuple[Spot, datetime]] = field(default_factory=list)
    died_in: list[tuple[datetime, datetime]] = field(default_factory=list)
    forgotten: set[str] = field(default_factory=set)
    edited: set[int] = field(default_factory=set)
    stays_by_herself: set[int] = field(default_factory=set)
    effects: list[tuple[datetime, Change]] = field(default_factory=list)
    actions: list[tuple[datetime, Spot]] = field(default_factory=list)
    hand_tags: HandTags = field(default_factory=HandTags)
    former: dict[tuple[str, str], set[str]] = field(default_factory=dict)
    sighted: dict[tuple[str, str], dict[str, datetime]] = field(default_factory=dict)
    in_flush: bool = False
    _provisional: dict[Spot, datetime] = field(default_factory=dict)

    def at_address(self, email: str) -> Iterator[Record]:
        """Yields the customers who have an address now."""
        return (record for record in self.records.values() if record.email == email)

    def contact(self, member: Member) -> Contact:
        """Returns the contact that a member is."""
        return self.contacts[id(member)]

    # Acts by hand

    def by_hand(self, change: Change, at: datetime) -> None:
        """Notes what somebody did in Mailchimp."""
        before, after, member = change.before, change.after, change.member
        self.actions += [(at, (change.list_id, side.email)) for side in (before, after) if side is not None]
        if after is not None and (before is None or (before.status not in ON_LIST and after.status in ON_LIST)):
            self.contacts[id(member)] = self._joined(change, at)
        if before is not None and after is not None and before.email != after.email:
            self._leaves((change.list_id, before.email), at, "renamed")
            self.former.setdefault((change.list_id, after.contact_id), set()).add(before.email)
            self._returns((change.list_id, after.email), at)
            self.ever_left.add(after.email)
        elif after is None and before is not None:
            self._leaves((change.list_id, before.email), at, "deleted")
        elif after is not None and after.status in ON_LIST:
            if before is not None and before.status == "pending" and not any(self.at_address(after.email)):
                self.stays_by_herself.add(id(member))
            self._joins((change.list_id, after.email), before, after, at)
        elif after is not None and (before is None or before.status != after.status):
            self._leaves((change.list_id, after.email), at, after.status)
            contact = change.list_id, after.contact_id
            for email in sorted(self.former.get(contact, set()) - {after.email}):
                self.departures.append(Departure((change.list_id, email), at, AS_ANOTHER, contact=contact))

    def _joined(self, change: Change, at: datetime) -> Contact:
        joined = Contact(change.member, "hand", at)
        before = self.contacts.get(id(change.member))
        if before is None or before.last_shown is None or before.last_shown[1] != "pending":
            return joined
        by_call = before.origin == "call" or before.as_confirmed
        return replace(joined, last_shown=before.last_shown, as_confirmed=by_call)

    def _leaves(self, spot: Spot, at: datetime, kind: str) -> None:
        self.ever_left.add(spot[1])
        self.departures = [
            departure for departure in self.departures if departure.spot != spot or departure.kind == "withdrew"
        ]
        self.departures.append(Departure(spot, at, kind))

    def _joins(self, spot: Spot, before: Member | None, after: Member, at: datetime) -> None:
        if before is None or before.status not in ON_LIST:
            self.returned[spot] = at
        if after.status == "subscribed":
            contact = spot[0], after.contact_id
            self.departures = [one for one in self.departures if one.spot != spot and one.contact != contact]
            return
        # Anybody can fill in a form: it ends no departure. One that no answer showed can be told only if the last
        # answer with the member had it as subscribed.
        here = (contact for contact in self.contacts.values() if _same(contact.member, after))
        last = max((contact.last_shown for contact in here if contact.last_shown is not None), default=None)
        if last is None or last[1] != "subscribed":
            self.departures = [one for one in self.departures if one.spot != spot or one.shown_at is not None]

    def _returns(self, spot: Spot, at: datetime) -> None:
        self.returned[spot] = at
        self.departures = [departure for departure in self.departures if departure.spot != spot]

    # Calls

    def called(self, exchange: Exchange) -> None:
        """Notes what a call did and what the worker learnt from its answer."""
        for change in exchange.changes:
            self._changed(change, exchange)
        self.hand_tags.called(exchange)
        answer = exchange.answer
        for spot in self.memberships(exchange):
            if answer.ok and not exchange.call.reads_only:
                self._keep_names(spot)
            if _adds(exchange) and self.flush_began is not None:
                self.adds.append((spot, self.flush_began, exchange.at))
            if answer.ok and answer.body is not None:
                self._provisional.setdefault(spot, exchange.at)
                if not exchange.call.reads_only:
                    self.touched.add(spot)
            elif not exchange.call.reads_only:
                self.touched.add(spot)
                if _adds(exchange) and (answer.status is None or answer.status >= 500 or answer.body is None):
                    self.unanswered.append((spot, exchange.at))
                if exchange.call.method == "DELETE":
                    self.lost_archives.append((spot, exchange.at))
        if exchange.call.reads_only and answer.ok and answer.body:
            self.reads.append((exchange.at, exchange))
        self._note_shown(exchange)
        self._note_sighted(exchange)
        for departure in self.departures:
            if departure.kind == AS_ANOTHER:
                continue  # only a page that shows her contact tells it
            if (departure.shown_at is None or departure.hashed) and self._shows(exchange, departure):
                by_page = exchange.call.path.endswith("/members")
                departure.hashed = by_page and not self._is_known(departure)
                if departure.shown_at is None:
                    departure.shown_at, departure.by_page = exchange.at, by_page

    def _note_shown(self, exchange: Exchange) -> None:
        body = (exchange.answer.body or {}) if exchange.answer.ok else {}
        shown = [body, *(data for name in ("members", "new_members", "updated_members") for data in body.get(name, ()))]
        status = {
            data["email_address"]: data["status"] for data in shown if "email_address" in data and "status" in data
        }
        for contact in self.contacts.values():
            member = contact.member
            if member.email in status and exchange.call.path.split("/")[2:3] == [member.list_id]:
                contact.last_shown = exchange.at, status[member.email]

    def _note_sighted(self, exchange: Exchange) -> None:
        # Of whom the worker keeps no more, it keeps under which addresses it read a contact as no departure.
        answer, (list_id, *rest) = exchange.answer, (*exchange.call.path.split("/")[2:], "")
        listing = rest[:1] == ["members"] and "members.email_address" in exchange.call.query.get("fields", "")
        if not (self.in_flush and listing and answer.ok):
            return
        for data in (answer.body or {}).get("members", ()):
            email, contact = data["email_address"], (list_id, data["contact_id"])
            seen = self.sighted.setdefault(contact, {})
            if (list_id, email) in self.touched | self._provisional.keys():
                seen.pop(email, None)
            elif data["status"] not in OFF_LIST:
                seen.setdefault(email, exchange.at)
            for departure in self.departures if data["status"] in OFF_LIST else ():
                told = departure.contact == contact and departure.spot[1] in seen and departure.at <= exchange.at
                if told and departure.shown_at is None:
                    departure.shown_at, departure.by_page, departure.hashed = exchange.at, True, True

    def _changed(self, change: Change, exchange: Exchange) -> None:
        before, after, member = change.before, change.after, change.member
        self.effects.append((exchange.at, change))
        if id(member) not in self.contacts:
            earlier = [contact for contact in self.contacts.values() if before and _same(contact.member, before)]
            origin = earlier[-1].origin if earlier else "call"
            self.contacts[id(member)] = Contact(member, origin, exchange.at)
        contact = self.contacts[id(member)]
        if contact.names is None and before is not None:
            contact.names = names_of(before)
        if after is not None and after.status in ON_LIST and (before is None or before.status not in ON_LIST):
            # A call that is excused ended a departure that no answer showed: from now on none can show it.
            spot = (change.list_id, after.email)
            self.departures = [
                departure for departure in self.departures if departure.spot != spot or departure.shown_at is not None
            ]
        if before is not None and after is not None and before.status in ON_LIST and after.status == "unsubscribed":
            if before.status == "pending" and not (exchange.answer.ok and exchange.answer.body):
                # Nothing shows that the worker did it, unless its next read is soon.
                self.ended_pending.add(after.email)
            withdrawn = any(
                state is not None and state["email"] == after.email and state["marketing_consent"] is False
                for record in self.records.values()
                for _, state in record.states[-2:]
            )
            if withdrawn:
                self.ever_left.add(after.email)
                self.departures.append(Departure((change.list_id, after.email), exchange.at, "withdrew", exchange.at))

    def _keep_names(self, spot: Spot) -> None:
        # A call that wrote the names that were there already: those are the ones from before it.
        for contact in self.contacts.values():
            if contact.names is None and (contact.member.list_id, contact.member.email) == spot:
                contact.names = names_of(contact.member)

    def memberships(self, exchange: Exchange) -> list[Spot]:
        """Returns the places that a call is about."""
        parts = exchange.call.path.split("/")
        if len(parts) == 5 and parts[3] == "members":
            emails = [email for email in self.all_addresses() if _hash(email) == parts[4]]
            new_email = (exchange.call.body or {}).get("email_address")
            if new_email is not None and new_email not in emails:
                emails.append(new_email)
            return [(parts[2], email) for email in emails]
        if exchange.call.method == "POST":
            members = (exchange.call.body or {}).get("members", ())
            return [(parts[2], member["email_address"]) for member in members]
        return []

    def all_addresses(self) -> set[str]:
        """Returns every address that came up."""
        emails = {spot[1] for spot in self.touched | set(self._provisional)} | {
            departure.spot[1] for departure in self.departures
        }
        emails |= {contact.member.email for contact in self.contacts.values()}
        return emails.union(*(record.addresses for record in self.records.values()))

    def _shows(self, exchange: Exchange, departure: Departure) -> bool:
        answer, (list_id, email) = exchange.answer, departure.spot
        if (
            exchange.fault == STRAY
            or exchange.at < departure.at
            or not exchange.call.path.startswith(f"/lists/{list_id}/members")
        ):
            return False
        body = answer.body or {}
        if answer.ok:
            members = body.get("members", [body])
            if (exchange.call.body or {}).get("status") in OFF_LIST:
                return False  # the answer has the status that the call itself set, whatever it was before
            return any(member.get("email_address") == email and member.get("status") in OFF_LIST for member in members)
        at_it = exchange.call.path.endswith(_hash(email))
        return answer.body is not None and at_it and (answer.status == 404 or "Forgotten" in (answer.title or ""))

    def _is_known(self, departure: Departure) -> bool:
        # Whether a customer has that address by now, or the worker met it; of others, a hash is kept.
        met = self.touched | self._provisional.keys()
        return departure.spot in met or any(True for _ in self.at_address(departure.spot[1]))

    def daily_flush_was_whole(self, stored: Iterable[str], began: datetime) -> None:
        """Counts as shown what a daily flush could read without hindrance: who left stored lists before it began."""
        for departure in self.departures:
            readable = departure.kind in OFF_LIST and departure.spot[0] in stored
            if departure.shown_at is None and readable and departure.at < began:
                departure.hashed = not self._is_known(departure)
                departure.shown_at, departure.by_page = began, True

    def hashes_are_lost(self) -> None:
        """Notes that only the ledger is left, and Mailchimp, which the worker reads before it adds newcomers."""
        self.sighted.clear()
        for departure in self.departures:
            if departure.hashed:
                departure.shown_at, departure.by_page, departure.hashed = None, False, False

    def seemingly_archived(self, spot: Spot) -> bool:
        """Returns whether somebody archived a member by hand right after a read, if the worker's own archive was lost.

        Mailchimp's times are whole seconds: nothing that it tells shows which of the two did it.
        """
        by_hand = [
            departure.at for departure in self.departures if departure.spot == spot and departure.kind == "archived"
        ]
        return any(
            read_at <= at <= lost_at and at - read_at <= CLOSE
            for at in by_hand
            for lost, lost_at in self.lost_archives
            if lost == spot
            for read_at, exchange in self.reads
            if spot in self.memberships(exchange)
        )

    def seemingly_added(self, spot: Spot, joined: datetime) -> bool:
        """Returns whether somebody joined in a flush that died, or soon after, where a customer had that address then.

        The worker may have noted that an add begins, in the same second, and nothing shows that it made no call.
        """
        return any(
            began <= joined <= died + ANSWER_WITHIN
            for began, died in self.died_in
            for record in self.records.values()
            for at, state in record.states
            if at <= died and state is not None and state["email"] == spot[1]
        )

    def flush_ended(self, *, died: bool, at: datetime) -> None:
        """Keeps what the worker read; a worker that died forgets it."""
        if died and self.flush_began is not None:
            self.died_in.append((self.flush_began, at))
            began = self.flush_began
            for seen in self.sighted.values():
                for email in [email for email, when in seen.items() if when >= began]:
                    del seen[email]
            for departure in self.departures:
                # A page may not have been written yet; it is read again.
                if departure.by_page and departure.shown_at is not None and departure.shown_at >= self.flush_began:
                    departure.shown_at, departure.by_page = None, False
        if not died:
            self.touched |= set(self._provisional)
            self.met = self._provisional | self.met
        self._provisional.clear()

    def forgets(self, email: str, at: datetime) -> None:
        """Notes that the operator erased the people with an address; departures that receipts named stay known."""
        self.forgotten.add(email)
        for seen in self.sighted.values():
            seen.pop(email, None)
        # Who has it now; if nobody has, who ever had it, as far as the worker knows.
        erased = list(self.at_address(email)) or [record for record in self.records.values() if email in record.met]
        for record in self.records.values():
            if email in record.addresses:
                record.known_by.clear()
                record.memberships.clear()
        for record in erased:
            record.states.append((at, None))
        shown_spots = {departure.spot for departure in self.departures if departure.shown_at is not None}
        self.touched = {spot for spot in self.touched if spot[1] != email or spot in shown_spots}
        self.met = {spot: when for spot, when in self.met.items() if spot[1] != email or spot in shown_spots}


def names_of(member: Member) -> tuple[str, str]:
    """Returns a member's first and last name."""
    first, last = (str(member.merge_fields.get(tag) or "") for tag in ("FNAME", "LNAME"))
    return first, last


@cache
def _hash(email: str) -> str:
    return member_hash(AddressKey(email))


def _adds(exchange: Exchange) -> bool:
    return exchange.call.method in ("POST", "PUT")


def _same(member: Member, other: Member) -> bool:
    return (member.list_id, member.email.lower()) == (other.list_id, other.email.lower())
