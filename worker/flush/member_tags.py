"""Which tags a member needs, and which of them this worker set. Pure.

A tag that somebody set by hand is never removed, even where the customer had it too for a while.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from worker.clock import as_moment, as_text
from worker.flush.identity import ANSWER_WITHIN
from worker.mailchimp.member import Member
from worker.model import CustomerState

SET = "set"
"""Set by this worker."""
THERE = "there"
"""It was there before, or may have been: it is never removed."""
BEGUN = "begun"
"""Followed by Mailchimp's time: the member did not have it then, and a call to set it was about to be sent."""
LEAVING = "leaving"
"""Followed by Mailchimp's time: it was set by this worker then, and a call to remove it was about to be sent."""

Tags = Mapping[str, str]
"""Names of tags, as the ledger has them, to how they came to the member: SET, THERE, BEGUN or LEAVING."""


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
    done = {name.casefold() for name, how in (known or {}).items() if how in (SET, THERE)}
    keep = {name.casefold() for name in wanted}
    return TagChanges(
        tuple(name for name in wanted if name.casefold() not in done),
        tuple(name for name, how in (known or {}).items() if how != THERE and name.casefold() not in keep),
    )


def differs(wanted: Sequence[str], known: Tags | None) -> bool:
    """Tells whether the member's tags must be looked at: something is to be written, or to be known no more."""
    return bool(needed(wanted, known)) or len({name.casefold() for name in wanted}) != len(known or {})


def in_doubt(known: Tags | None) -> bool:
    """Tells whether it is not known what a call did to some tag: its answer was lost."""
    return any(how not in (SET, THERE) for how in (known or {}).values())


def resolved(known: Tags | None, added: Mapping[str, datetime | None]) -> Tags:
    """Returns what the ledger says once all tags of a member were read, with when each was added.

    Args:
        known: what it said before.
        added: names, as Mailchimp has them, to its own time of that.
    """
    there = {name.casefold(): at for name, at in added.items()}
    found: dict[str, str] = {}
    for name, how in (known or {}).items():
        if how in (SET, THERE):
            found[name] = how
        elif name.casefold() in there:
            at, began = there[name.casefold()], _moment(how)
            # Mailchimp gives whole seconds.
            within = (
                began is not None and at is not None and began.replace(microsecond=0) <= at <= began + ANSWER_WITHIN
            )
            before = began is not None and at is not None and at < began.replace(microsecond=0)
            found[name] = SET if (within if how.startswith(BEGUN) else before) else THERE
    return found


def _moment(how: str) -> datetime | None:
    _, _, text = how.partition(" ")
    return as_moment(text) if text else None


def to_write(wanted: Sequence[str], known: Tags | None, member: Member, date: datetime | None) -> TagWrite:
    """Returns what to send about the tags of a member.

    Args:
        known: what the ledger says, with nothing in doubt.
        member: as it was just read, with its tags. Of those that the answer does not tell, it may have any: they are
            set where they are wanted, and count as set by hand.
        date: Mailchimp's time of that answer.
    """
    there = {name.casefold(): name for name in member.tags or ()}
    whole = member.tags is not None and len(member.tags) >= (member.tags_count or 0)
    before = {name.casefold(): how for name, how in (known or {}).items()}
    changes = needed(wanted, known)
    add = tuple(name for name in changes.add if name.casefold() not in there)
    remove = tuple(there.get(name.casefold(), name) for name in changes.remove if name.casefold() in there or not whole)
    sent = SET if whole else THERE
    after = {name: before.get(name.casefold()) or (sent if name in add else THERE) for name in wanted}
    at = f" {as_text(date)}" if date is not None else ""
    ahead = {**after, **{name: f"{BEGUN}{at}" for name in add if after[name] == SET}}
    ahead |= dict.fromkeys(_named(changes.remove, remove), f"{LEAVING}{at}")
    return TagWrite(TagChanges(add, remove), ahead, after)


def _named(known: Iterable[str], told: Iterable[str]) -> list[str]:
    keys = {name.casefold() for name in told}
    return [name for name in known if name.casefold() in keys]


def in_words(changes: TagChanges) -> str:
    """Returns sentences for a receipt."""
    parts = [f"Tags set: {', '.join(changes.add)}."] if changes.add else []
    return " ".join([*parts, *([f"Tags removed: {', '.join(changes.remove)}."] if changes.remove else [])])
