"""Which tags a member needs, and which of them this worker set. Pure.

A tag that somebody set by hand is never removed, even where the customer had it too for a while.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from worker.mailchimp.member import Member
from worker.model import CustomerState
from worker.store.ledger import TagState

Tags = Mapping[str, TagState]
"""Names of tags, as the ledger has them, to how they came to the member."""


@dataclass(frozen=True, slots=True)
class TagChanges:
    """What a member needs.

    Attributes:
        add: names.
        remove: names: of tags that this worker set.
    """

    add: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.add or self.remove)


@dataclass(frozen=True, slots=True)
class TagWrite:
    """A call about the tags of a member that was read.

    Attributes:
        changes: what to send; empty where no call is needed.
        ahead: what the ledger says from before the call on.
        after: what it says once the call was done.
    """

    changes: TagChanges
    ahead: Tags
    after: Tags


def wanted_tags(state: CustomerState) -> tuple[str, ...]:
    """Returns the tags of a customer; those that differ in capital letters or surrounding spaces only are one."""
    named: dict[str, str] = {}
    for name in state.tags:
        if name.strip():
            named.setdefault(name.strip().casefold(), name.strip())
    return tuple(named.values())


def needed(wanted: Sequence[str], known: Tags | None) -> TagChanges:
    """Returns what a member needs by the ledger alone, as a plan shows it."""
    done = {name.casefold() for name, how in (known or {}).items() if how != "begun"}
    keep = {name.casefold() for name in wanted}
    return TagChanges(
        tuple(name for name in wanted if name.casefold() not in done),
        tuple(name for name, how in (known or {}).items() if how != "there" and name.casefold() not in keep),
    )


def differs(wanted: Sequence[str], known: Tags | None) -> bool:
    """Tells whether the member's tags must be looked at: something is to be written, or to be known no more."""
    return bool(needed(wanted, known)) or len({name.casefold() for name in wanted}) != len(known or {})


def to_write(wanted: Sequence[str], known: Tags | None, member: Member) -> TagWrite:
    """Returns what to send about the tags of a member.

    Args:
        wanted: the tags of its customer.
        known: what the ledger says.
        member: as it was just read, with its tags. Of those that the answer does not tell, it may have any: they are
            set where they are wanted, and count as set by hand.
    """
    there = {name.casefold(): name for name in member.tags or ()}
    whole = member.tags is not None and len(member.tags) >= (member.tags_count or 0)
    before = {name.casefold(): how for name, how in (known or {}).items()}
    changes = needed(wanted, known)
    add = tuple(name for name in changes.add if name.casefold() not in there)
    remove = tuple(there.get(name.casefold(), name) for name in changes.remove if name.casefold() in there or not whole)
    after: dict[str, TagState] = {}
    for name in wanted:
        key, how = name.casefold(), before.get(name.casefold())
        if how in ("set", "there"):
            after[name] = how
        elif key in there:
            # Nobody had it when this worker began to set it.
            after[name] = "set" if how == "begun" else "there"
        else:
            after[name] = "set" if whole or how == "begun" else "there"
    begun: dict[str, TagState] = {name: "begun" for name in add if after[name] == "set"}
    leaving: dict[str, TagState] = dict.fromkeys(_named(changes.remove, remove), "set")
    return TagWrite(TagChanges(add, remove), {**after, **begun, **leaving}, after)


def _named(known: Iterable[str], told: Iterable[str]) -> list[str]:
    keys = {name.casefold() for name in told}
    return [name for name in known if name.casefold() in keys]


def in_words(changes: TagChanges) -> str:
    """Returns sentences for a receipt."""
    parts = [f"Tags set: {', '.join(changes.add)}."] if changes.add else []
    return " ".join([*parts, *([f"Tags removed: {', '.join(changes.remove)}."] if changes.remove else [])])
