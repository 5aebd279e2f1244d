"""A call that a flush would make, and what must be answered before."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from worker.flush import calls
from worker.flush.member_tags import Tags, differs, needed
from worker.mailchimp.call import Call
from worker.model import AddressKey, CustomerId, MembershipKey

ONCE_THERE = "once it is on the list"
STILL_NEEDED = "as far as its tags are not so"


@dataclass(frozen=True, slots=True)
class PlannedCall:
    """A call that a flush would make.

    Attributes:
        when: what must be answered before, None where the call is made in any case.
        address: whose member it reads or writes; None where it is about a list, or many.
        customers: whom it is for.
    """

    call: Call
    when: str | None = None
    address: AddressKey | None = None
    customers: tuple[CustomerId, ...] = ()


def tag_calls(membership: MembershipKey, wanted: Sequence[str], known: Tags | None, when: str) -> Iterator[PlannedCall]:
    """Gives the calls about the tags of a member: the read, and what it may still need then.

    Args:
        membership: where it is.
        wanted: its customer's tags.
        known: what the ledger says.
        when: what must be so before; empty where nothing must.
    """
    if differs(wanted, known):
        yield PlannedCall(calls.read_tags(membership), when or None)
        if changes := needed(wanted, known):
            write = calls.tag(membership, changes.add, changes.remove)
            yield PlannedCall(write, f"{when or 'if it is on the list'}, {STILL_NEEDED}")
