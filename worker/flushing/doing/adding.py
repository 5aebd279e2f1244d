"""Adds contacts many at a time, and finds out which of them Mailchimp refuses, and why."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from worker.clock import as_text
from worker.flushing.deciding import member_calls
from worker.flushing.deciding.identity import lost, new_intent
from worker.flushing.deciding.steps import Add, Found, Step
from worker.flushing.doing import fault
from worker.flushing.doing.archived import Way
from worker.flushing.doing.attempt import TRIES_AT_ONCE
from worker.flushing.doing.consent import note_departed
from worker.flushing.doing.desk import Desk, Guarded, settle_at, stumble
from worker.flushing.doing.report import Exchange, Report
from worker.flushing.doing.writing import entry_for, left_out, settled, then
from worker.flushing.outcomes import Sort, Verdict, sort_answer, sort_contact_error
from worker.mailchimp.call import Answer, Call
from worker.mailchimp.member import Member, member_of
from worker.model import AddressKey, Place, address_key
from worker.staging.ledger import Entry

SAME_TITLE_IN_A_ROW = 5
"""So many single contacts refused with one title, and none taken: then the list is at fault, not they."""

Commit = Callable[[Report], None]


def leave_archived(desk: Desk, adds: Sequence[Add]) -> Report:
    """Notes contacts whom somebody archived in Mailchimp: they are members, and a POST would put them back."""
    report = desk.report()
    detail = "It is archived in Mailchimp and not by this worker, so it stays archived."
    at, after = desk.at(), then("archived")
    for add in adds:
        contact = add.contact
        report.entries.append(Entry(contact.place, contact.owner, "present", "found", at, {}, "archived"))
        settle_at(report, contact.shares, contact.place)
        report.write(contact.shares, contact.place, None, at=at, outcome="left", detail=detail, then=after)
        report.settle(contact.shares)
    return report


def _exchange(posted: _Posted, add: Add, said: Mapping[str, Any] | None) -> Exchange:
    answer = posted.answer
    if answer.failure is not None:
        said = {"failure": answer.failure}
    return Exchange(str(posted.call), add.as_contact(), answer.status, said)


def _objects(body: Mapping[str, Any], *names: str) -> list[Mapping[str, Any]]:
    found = [one for name in names for one in (body.get(name) or ()) if isinstance(body.get(name), list)]
    return [one for one in found if isinstance(one, Mapping) and isinstance(one.get("email_address"), str)]


def _added(desk: Desk, report: Report, add: Add, member: Member, posted: _Posted, said: Mapping[str, Any]) -> None:
    contact, date = add.contact, posted.answer.date
    entry = entry_for(desk, contact, add.entry, member, "added", None)
    report.entries.append(replace(entry, seen_at=as_text(date) if date is not None else None))
    detail = f"Added as {member.status}.{left_out(contact, {})}"
    settled(desk, report, contact, _exchange(posted, add, said), "added", detail, member.status)


@dataclass(frozen=True, slots=True)
class _Posted:
    """One POST, or the read before it that stood in its way."""

    adds: Sequence[Add]
    call: Call
    answer: Answer
    verdict: Verdict


@dataclass(slots=True)
class Batch:
    """Adds contacts of one list together, and looks for those for whose sake Mailchimp refuses a whole call.

    Attributes:
        commit: writes what is done, as soon as it is.
        way: how adds go to that list.
        alone: steps for contacts that need a call of their own: members already, or refused without a title.
        intended: what the ledger says of each place since a POST with it was sent.
        in_doubt: places that a POST may have filled whose answer does not tell.
    """

    desk: Desk
    commit: Commit
    way: Way
    alone: list[Step] = field(default_factory=list)
    waiting: list[tuple[Add, Exchange, Verdict]] = field(default_factory=list)
    taken: bool = False
    intended: dict[Place, Entry] = field(default_factory=dict)
    in_doubt: set[Place] = field(default_factory=set)

    def add(self, adds: Sequence[Add]) -> list[Step]:
        """Adds contacts by one POST, and by smaller ones where that is refused as a whole.

        Args:
            adds: at most 500, of whom the ledger knows nothing.

        Returns:
            The steps for those that need a call of their own.
        """
        stack = [adds]
        while stack:
            posted = self._post(stack.pop())
            if posted is None:
                continue
            part, sort = posted.adds, posted.verdict.sort
            if sort is Sort.DONE:
                self._sort_contacts(posted)
            elif sort in (Sort.LATER, Sort.AGAIN, Sort.ACCOUNT_STOPPED, Sort.NOT_THERE):
                self.commit(self._all_stumbled(posted))
            elif len(adds) == 1:
                self.alone.append(part[0])
            elif len(part) > 1:
                stack += [part[len(part) // 2 :], part[: len(part) // 2]]
            else:
                self.waiting.append((part[0], _exchange(posted, part[0], posted.answer.body), posted.verdict))
                if self._list_at_fault():
                    self._pause([*(add for add, _, _ in self.waiting), *(add for rest in stack for add in rest)])
                    return self.alone
        report = self.desk.report()
        for add, exchange, verdict in self.waiting:
            stumble(self.desk, report, add.shares, add.place, verdict, exchange)
            report.settle(add.shares)
        self.commit(report)
        return self.alone

    def _post(self, adds: Sequence[Add]) -> _Posted | None:
        # Tries until the answer tells something; who was archived meanwhile is asked again before each try.
        tries, at_once = self.desk.pacing.tries(), 0
        while True:
            with self.desk.pacing.together() as sender:
                posted = self._once(replace(self.desk, sender=Guarded(sender, self.desk.sender.may_call)), adds)
            if posted is None:
                return None
            adds = posted.adds
            if posted.verdict.sort is Sort.AGAIN and at_once < TRIES_AT_ONCE:
                at_once += 1
            elif posted.verdict.sort not in (Sort.LATER, Sort.AGAIN) or not tries.again():
                return posted

    def _once(self, desk: Desk, adds: Sequence[Add]) -> _Posted | None:
        list_id = adds[0].place.list_id
        look = self.way.look(list_id)
        looked = desk.send(look) if look is not None else None
        if look is None or looked is None or not self.way.together:
            self.alone += adds
            return None
        way = self.way.after(looked)
        if way.refusal is not None:
            return _Posted(adds, look, looked, way.refusal[0])
        if not way.together:
            self.alone += adds
            return None
        if left := [add for add in adds if way.leaves_out(add)]:
            self.commit(leave_archived(desk, left))
        rest = self._not_kept_out(desk, [add for add in adds if not way.leaves_out(add)])
        if not rest:
            return None
        self._intend(desk, rest, looked.date)
        call = member_calls.add_all(list_id, [add.as_contact() for add in rest])
        answer = desk.send(call)
        if not answer.undone and not answer.ok:
            self._doubt(rest, answer)
        return _Posted(rest, call, answer, sort_answer(answer))

    def _not_kept_out(self, desk: Desk, adds: Sequence[Add]) -> Sequence[Add]:
        # What another call of this flush told a moment ago counts.
        left = desk.departures_of([add.contact for add in adds])
        if not left:
            return adds
        report = desk.report()
        for add in adds:
            if add.place in left:
                note_departed(desk, report, add.contact, left[add.place][0])
                self._take_back(report, [add])
                report.settle(add.shares)
        self.commit(report)
        return [add for add in adds if add.place not in left]

    def _doubt(self, adds: Sequence[Add], answer: Answer) -> None:
        for add in adds:
            self.in_doubt.add(add.place)
            entry = self.intended[add.place]
            assert entry.intent is not None
            self.intended[add.place] = replace(entry, intent=lost(entry.intent, answer.date, answer.seconds))

    def _intend(self, desk: Desk, adds: Sequence[Add], date: datetime | None) -> None:
        for add in adds:
            before = self.intended.get(add.place)
            noted = new_intent("add", date, before=before.intent if before is not None else None)
            self.intended[add.place] = Entry(add.place, add.contact.owner, "intended", "added", desk.at(), intent=noted)
        places = [(share.customer.customer_id, add.place) for add in adds for share in add.shares]
        desk.intents.write_ahead([self.intended[add.place] for add in adds], places)

    def _take_back(self, report: Report, adds: Sequence[Add]) -> None:
        report.undone += [add.place for add in adds if add.place not in self.in_doubt]

    def _all_stumbled(self, posted: _Posted) -> Report:
        report = self.desk.report()
        for add in posted.adds:
            exchange = _exchange(posted, add, posted.answer.body)
            stumble(self.desk, report, add.shares, add.place, posted.verdict, exchange, of_list=True)
        report.entries += [self.intended[add.place] for add in posted.adds if add.place in self.in_doubt]
        self._take_back(report, posted.adds)
        return report

    def _sort_contacts(self, posted: _Posted) -> None:
        body = posted.answer.body or {}
        self.taken = True
        members = {
            address_key(one.get("email_address")): one for one in _objects(body, "new_members", "updated_members")
        }
        errors = {address_key(one.get("email_address")): one for one in _objects(body, "errors")}
        report = self.desk.report()
        for add in posted.adds:
            address: AddressKey = add.place.address
            member = member_of(members.get(address))
            if member is not None:
                try:
                    _added(self.desk, report, add, member, posted, members[address])
                except Exception as error:
                    fault.note(report, add.shares, add.place, self.desk.at(), error)
            elif address in errors:
                self._refused(report, posted, add, errors[address])
            else:
                unread = Verdict(Sort.LATER, "Mailchimp's answer does not name this contact")
                stumble(self.desk, report, add.shares, add.place, unread, _exchange(posted, add, None))
            report.settle(add.shares)
        self.commit(report)

    def _refused(self, report: Report, posted: _Posted, add: Add, error: Mapping[str, Any]) -> None:
        verdict = sort_contact_error(error)
        if verdict.sort is Sort.EXISTS:
            # Not by this POST; it may be by an earlier try of it, which its intent tells.
            tried = self.intended[add.place] if add.place in self.in_doubt else None
            self.alone.append(Found(add.contact, tried))
            self._take_back(report, [add])
        elif verdict.sort is not Sort.BAD_ADDRESS:
            self.alone.append(add)
            self._take_back(report, [add])
        else:
            stumble(self.desk, report, add.shares, add.place, verdict, _exchange(posted, add, error))
            return
        report.fail(add.shares)

    def _list_at_fault(self) -> bool:
        last = {verdict.title for _, _, verdict in self.waiting[-SAME_TITLE_IN_A_ROW:]}
        return not self.taken and len(self.waiting) >= SAME_TITLE_IN_A_ROW and len(last) == 1

    def _pause(self, adds: Sequence[Add]) -> None:
        report, title = self.desk.report(), self.waiting[-1][2].title
        report.paused[adds[0].place.list_id] = title
        exchanges = {add.place: exchange for add, exchange, _ in self.waiting}
        self._take_back(report, adds)
        for add in adds:
            report.fail(add.shares)
            report.write(
                add.shares,
                add.place,
                exchanges.get(add.place),
                at=self.desk.at(),
                outcome="list paused",
                detail=f"The list refuses everybody: {title}. It is paused, and nobody is suppressed.",
                then="Sent when the list is mended in Mailchimp and the account resumed (account resume).",
            )
        self.commit(report)
