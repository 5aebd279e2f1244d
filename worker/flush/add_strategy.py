"""How to add contacts without putting back archived members: a POST would, so they are found out first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from worker.flush.step_result import Answered, Exchange
from worker.mailchimp import calls
from worker.mailchimp.answers import UNREADABLE, Answer, ClassifiedAnswer, classify_read, total_items
from worker.mailchimp.calls import Call, Sender, member_hash
from worker.model import ListId
from worker.plan.steps import Add

MARGIN = timedelta(seconds=2)
"""Subtracted from the time of the read: Mailchimp's times are whole seconds."""
MOST_READINGS = 3
"""How often archived members are read again while somebody changes them."""


@dataclass(frozen=True, slots=True)
class AddStrategy:
    """How contacts are added to one list in this flush.

    Attributes:
        together: whether by batch POSTs; otherwise one by one.
        archived: hashes of archived members, which POSTs must omit.
        read_at: Mailchimp's time when reading them began; None if it gave none.
        refusal: why nothing can be added now, and the call that showed it; None if it can.
    """

    together: bool = True
    archived: frozenset[str] = frozenset()
    read_at: datetime | None = None
    refusal: Answered | None = None

    def is_archived(self, add: Add) -> bool:
        """Returns whether the contact is archived."""
        return bool(self.archived) and member_hash(add.membership.address) in self.archived

    def recheck(self, list_id: ListId) -> Call | None:
        """Returns the read before each POST, of members archived since; None if the starting time is unknown."""
        return calls.archived_since(list_id, self.read_at - MARGIN) if self.read_at is not None else None

    def after(self, answer: Answer) -> AddStrategy:
        """Returns the strategy for one POST, after the answer to that read."""
        total, hashes = total_items(answer), _hashes(answer)
        if total is None or hashes is None:
            exchange = Exchange("GET archived members", None, answer.status, answer.body)
            return AddStrategy(refusal=Answered(_no_use(answer), exchange))
        if len(hashes) < total:
            return AddStrategy(together=False)
        return replace(self, archived=self.archived | frozenset(hashes))


def choose_strategy(
    sender: Sender,
    list_id: ListId,
    adds: int,
    bulk_add_above: int,
    page_read: Callable[[], object] = lambda: None,
) -> AddStrategy:
    """Finds out how to add contacts to a list without putting back archived members.

    Args:
        adds: how many contacts the whole flush would add to the list.
        bulk_add_above: up to this many are added one by one if the list has archived members.
        page_read: called after each page of them, where others may be let go on.
    """
    call = calls.any_archived(list_id)
    answer = sender.send(call)
    total = total_items(answer)
    if total is None:
        return AddStrategy(refusal=Answered(_no_use(answer), Exchange.of(call, answer)))
    if answer.date is None or (total and adds <= bulk_add_above):
        # Without Mailchimp's time, later archives cannot be queried.
        return AddStrategy(together=False)
    if total == 0:
        return AddStrategy(read_at=answer.date)
    for _ in range(MOST_READINGS):
        hashes = _read(sender, list_id, page_read)
        if isinstance(hashes, Answered):
            return AddStrategy(refusal=hashes)
        if hashes:
            return AddStrategy(archived=hashes, read_at=answer.date)
    # Somebody keeps archiving and restoring: adding one by one is safe.
    return AddStrategy(together=False)


def _read(sender: Sender, list_id: ListId, page_read: Callable[[], object]) -> frozenset[str] | Answered:
    # Returns no hashes if the members changed while they were read.
    hashes: list[str] = []
    first: int | None = None
    while True:
        call = calls.archived_page(list_id, len(hashes))
        answer = sender.send(call)
        total, page = total_items(answer), _hashes(answer)
        if total is None or page is None:
            return Answered(_no_use(answer), Exchange.of(call, answer))
        first = total if first is None else first
        hashes += page
        page_read()
        if len(hashes) >= total or not page:
            whole = frozenset(hashes)
            return whole if first == total == len(whole) else frozenset()


def _hashes(answer: Answer) -> Sequence[str] | None:
    members = (answer.body or {}).get("members")
    if not isinstance(members, list):
        return None
    hashes = [member["id"] for member in members if isinstance(member, dict) and isinstance(member.get("id"), str)]
    return hashes if len(hashes) == len(members) else None


def _no_use(answer: Answer) -> ClassifiedAnswer:
    return UNREADABLE if answer.ok else classify_read(answer)
