"""What must be so when all is quiet: who is there, who is not, and what one more flush does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.histories import tags
from tests.histories.facts import ON_LIST, names_of
from tests.histories.outcomes import judge_outcomes
from tests.histories.people import Record
from tests.histories.published import judge_published
from worker.sandbox.member import Member

if TYPE_CHECKING:
    from tests.histories.history import History


def judge_rest(history: History) -> list[str]:
    """Returns what is not so and should be."""
    return [
        *_present(history),
        *_delivered_again(history),
        *_absent(history),
        *_withdrawn(history),
        *judge_published(history),
        *judge_outcomes(history),
        *_second_flush(history),
    ]


def _membership(history: History, record: Record) -> str:
    assert record.state is not None
    list_id = record.state["list_id"]
    return list_id if list_id in history.actors.stored else history.actors.master


def _names(history: History, list_id: str, state: dict[str, Any]) -> tuple[str, str]:
    # Of a merge field that the owner deleted nothing is left.
    fields = history.world.standin.find_list(list_id).fields
    first, last = (
        state[name] if tag in fields else "" for name, tag in (("first_name", "FNAME"), ("last_name", "LNAME"))
    )
    return first, last


def _tainted(history: History) -> set[str]:
    """Returns addresses by which somebody left, withdrew or was forgotten, and all that share a customer with one.

    Also those by which somebody tagged a member that was off its list.
    """
    facts = history.facts
    tainted = facts.ever_left | facts.forgotten | facts.ended_pending | facts.tagged_off
    for record in facts.records.values():
        tainted |= {
            state["email"] for _, state in record.states if state is not None and state["marketing_consent"] is False
        }
    while True:
        shared = {
            address for record in facts.records.values() if record.addresses & tainted for address in record.addresses
        }
        if shared <= tainted:
            return tainted
        tainted |= shared


def _present(history: History) -> list[str]:
    broken = []
    tainted = _tainted(history)
    for record in history.facts.records.values():
        if record.email is None or record.addresses & tainted:
            continue
        list_id = _membership(history, record)
        member = history.world.standin.find_list(list_id).find(record.email)
        if member is None or member.status not in ON_LIST:
            status = member.status if member is not None else "no member"
            broken.append(f"{record.name} wants to be on {list_id} as {record.email}, and is {status}")
            continue
        newest = max(
            (record for record in history.facts.at_address(record.email) if _membership(history, record) == list_id),
            key=lambda record: record.states[-1][0],
        )
        assert newest.state is not None
        names = _names(history, list_id, newest.state)
        if id(member) not in history.facts.edited and names_of(member) != names:
            broken.append(f"{record.email} on {list_id} has the names {names_of(member)}, not {names}")
        if history.actors.tag_chance is not None:
            broken += _details(history, member, newest.state)
    return broken


def _delivered_again(history: History) -> list[str]:
    """Returns who was deleted for good as an answer showed, joined again, and did not get the newest names."""
    facts, broken = history.facts, []
    for list_id, email in sorted(history.actors.rejoined):
        people = [record for record in facts.records.values() if email in record.addresses]
        states = [state for record in people for _, state in record.states]
        alike = all(state is not None and state["email"] == email and state["marketing_consent"] for state in states)
        out = {departure.spot[1] for departure in facts.departures} | facts.forgotten | facts.tagged_off
        wanted = [record for record in people if _membership(history, record) == list_id] if alike else []
        member = history.world.standin.find_list(list_id).find(email) if wanted else None
        if member is None or member.status != "subscribed" or email in out or id(member) in facts.edited:
            continue
        newest = max(wanted, key=lambda record: record.states[-1][0])
        assert newest.state is not None
        names = _names(history, list_id, newest.state)
        if names_of(member) != names:
            broken.append(f"{email} joined {list_id} again and has the names {names_of(member)}, not {names}")
    return broken


def _details(history: History, member: Member, state: dict[str, Any]) -> list[str]:
    broken, hand, contact = [], history.facts.hand_tags, tags.of(member)
    for tag, value in tags.expected_fields(state).items():
        if tag in member.merge_fields and member.merge_fields[tag] != value:
            broken.append(f"{member.email} on {contact[0]} has {member.merge_fields[tag]!r} in {tag}, not {value!r}")
    wanted = {tag.casefold() for tag in state["tags"]}
    present = {tag.casefold() for tag in member.tags}
    if lacking := wanted - present - hand.removed[contact]:
        broken.append(f"{member.email} on {contact[0]} lacks the tags {sorted(lacking)}")
    if unwanted := present - wanted - hand.ever[contact]:
        broken.append(
            f"{member.email} on {contact[0]} still has the tags {sorted(unwanted)}, and no customer wants them"
        )
    return broken


def _absent(history: History) -> list[str]:
    tainted = _tainted(history)
    wanted = {
        (_membership(history, record), record.email)
        for record in history.facts.records.values()
        if record.email is not None
    }
    return [
        f"{member.email} is still {member.status} on {list_id}, added by this worker, and no customer wants that"
        for list_id in history.actors.stored
        for member in history.world.standin.find_list(list_id).members.values()
        if member.status == "subscribed"
        and history.facts.contact(member).origin == "call"
        and (list_id, member.email) not in wanted
        and member.email not in tainted
        and id(member) not in history.facts.stays_by_herself
    ]


def _withdrawn(history: History) -> list[str]:
    broken = []
    for record in history.facts.records.values():
        state = record.state
        if state is None or state["marketing_consent"] is not False or state["email"] is None:
            continue
        for list_id in history.actors.stored:
            member = history.world.standin.find_list(list_id).find(state["email"])
            if member is None or member.status not in ON_LIST:
                continue
            returned = history.facts.returned.get((list_id, member.email))
            if returned is not None and returned > record.states[-1][0]:
                continue
            broken.append(f"{member.email} is {member.status} on {list_id}, though {record.name} withdrew consent")
    return broken


def _second_flush(history: History) -> list[str]:
    first = history.world.wire.count
    history.actors.say("ONE MORE FLUSH")
    written: list[str] = []
    original = history.world.wire.exchanged

    def noted(exchange: object) -> None:
        original(exchange)  # type: ignore[arg-type]
        if not exchange.call.reads_only:  # type: ignore[attr-defined]
            written.append(str(exchange.call))  # type: ignore[attr-defined]

    history.world.wire.exchanged = noted
    history.flush()
    assert history.world.wire.count >= first
    return [f"one more flush, with nothing new, writes: {call}" for call in written]
