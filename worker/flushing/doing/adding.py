"""Adds contacts many at a time, and finds out which of them Mailchimp refuses, and why."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from worker.flushing.deciding import member_calls
from worker.flushing.deciding.steps import Add, Found, Step
from worker.flushing.doing import fault
from worker.flushing.doing.desk import Desk, settle_at, stumble
from worker.flushing.doing.report import Exchange, Report
from worker.flushing.doing.writing import entry_for, left_out, settled, then
from worker.flushing.outcomes import Sort, Verdict, sort_answer, sort_contact_error
from worker.mailchimp.call import Answer, Call
from worker.mailchimp.member import Member, member_of
from worker.model import AddressKey, address_key
from worker.staging.ledger import Entry

SAME_TITLE_IN_A_ROW = 5
"""So many single contacts refused with one title, and none taken: then the list is at fault, not they."""

Commit = Callable[[Report], None]


def add_batch(desk: Desk, commit: Commit, adds: Sequence[Add]) -> list[Step]:
    """Adds contacts of one list by one POST.

    Args:
        desk: the account's.
        commit: writes what is done, as soon as it is.
        adds: at most 500, none of them an archived member.

    Returns:
        Steps for the contacts that need a call of their own: those that are members already, and those that were
        refused without a title.
    """
    call = _post(adds)
    answer = desk.send(call)
    verdict = sort_answer(answer)
    if verdict.sort is Sort.DONE:
        return _sort_contacts(desk, commit, adds, call, answer)
    if verdict.sort in (Sort.LATER, Sort.ACCOUNT_STOPPED, Sort.NOT_THERE):
        commit(_all_stumbled(desk, adds, call, answer, verdict))
        return []
    if len(adds) == 1:
        return [adds[0]]
    return _Search(desk, commit).halves(adds)


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


def _post(adds: Sequence[Add]) -> Call:
    return member_calls.add_all(adds[0].place.list_id, [add.as_contact() for add in adds])


def _all_stumbled(desk: Desk, adds: Sequence[Add], call: Call, answer: Answer, verdict: Verdict) -> Report:
    report = desk.report()
    for add in adds:
        stumble(desk, report, add.shares, add.place, verdict, _exchange(call, add, answer, answer.body), of_list=True)
    return report


def _exchange(call: Call, add: Add, answer: Answer, said: Mapping[str, Any] | None) -> Exchange:
    if answer.failure is not None:
        said = {"failure": answer.failure}
    return Exchange(str(call), add.as_contact(), answer.status, said)


def _sort_contacts(desk: Desk, commit: Commit, adds: Sequence[Add], call: Call, answer: Answer) -> list[Step]:
    body = answer.body or {}
    members = {address_key(one.get("email_address")): one for one in _objects(body, "new_members", "updated_members")}
    errors = {address_key(one.get("email_address")): one for one in _objects(body, "errors")}
    report, alone = desk.report(), list[Step]()
    for add in adds:
        address: AddressKey = add.place.address
        member = member_of(members.get(address))
        if member is not None:
            try:
                _added(desk, report, add, member, _exchange(call, add, answer, members[address]))
            except Exception as error:
                fault.note(report, add.shares, add.place, desk.at(), error)
        elif address in errors:
            verdict = sort_contact_error(errors[address])
            if verdict.sort is Sort.EXISTS:
                alone.append(Found(add.contact, add.entry))
                continue
            if verdict.sort is not Sort.BAD_ADDRESS:
                alone.append(add)
                continue
            stumble(desk, report, add.shares, add.place, verdict, _exchange(call, add, answer, errors[address]))
        else:
            unread = Verdict(Sort.LATER, "Mailchimp's answer does not name this contact")
            stumble(desk, report, add.shares, add.place, unread, _exchange(call, add, answer, None))
        report.settle(add.shares)
    commit(report)
    return alone


def _objects(body: Mapping[str, Any], *names: str) -> list[Mapping[str, Any]]:
    found = [one for name in names for one in (body.get(name) or ()) if isinstance(body.get(name), list)]
    return [one for one in found if isinstance(one, Mapping) and isinstance(one.get("email_address"), str)]


def _added(desk: Desk, report: Report, add: Add, member: Member, exchange: Exchange) -> None:
    contact = add.contact
    report.entries.append(entry_for(desk, contact, add.entry, member, "added", None))
    detail = f"Added as {member.status}.{left_out(contact, {})}"
    settled(desk, report, contact, exchange, "added", detail, member.status)


@dataclass(slots=True)
class _Search:
    """Looks for the contacts for whose sake Mailchimp refuses a whole call."""

    desk: Desk
    commit: Commit
    alone: list[Step] = field(default_factory=list)
    waiting: list[tuple[Add, Exchange, Verdict]] = field(default_factory=list)
    taken: bool = False

    def halves(self, adds: Sequence[Add]) -> list[Step]:
        stack = [adds[len(adds) // 2 :], adds[: len(adds) // 2]]
        while stack:
            part = stack.pop()
            call = _post(part)
            answer = self.desk.send(call)
            verdict = sort_answer(answer)
            if verdict.sort is Sort.DONE:
                self.taken = True
                self.alone += _sort_contacts(self.desk, self.commit, part, call, answer)
            elif verdict.sort in (Sort.LATER, Sort.ACCOUNT_STOPPED, Sort.NOT_THERE):
                self.commit(_all_stumbled(self.desk, part, call, answer, verdict))
            elif len(part) > 1:
                stack += [part[len(part) // 2 :], part[: len(part) // 2]]
            else:
                self.waiting.append((part[0], _exchange(call, part[0], answer, answer.body), verdict))
                if self._list_at_fault():
                    self._pause([*(add for add, _, _ in self.waiting), *(add for rest in stack for add in rest)])
                    return self.alone
        report = self.desk.report()
        for add, exchange, verdict in self.waiting:
            stumble(self.desk, report, add.shares, add.place, verdict, exchange)
            report.settle(add.shares)
        self.commit(report)
        return self.alone

    def _list_at_fault(self) -> bool:
        last = {verdict.title for _, _, verdict in self.waiting[-SAME_TITLE_IN_A_ROW:]}
        return not self.taken and len(self.waiting) >= SAME_TITLE_IN_A_ROW and len(last) == 1

    def _pause(self, adds: Sequence[Add]) -> None:
        report, title = self.desk.report(), self.waiting[-1][2].title
        report.paused[adds[0].place.list_id] = title
        exchanges = {add.place: exchange for add, exchange, _ in self.waiting}
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
