"""Which tags a member needs, and which of them this worker set. Does no I/O.

A tag that somebody set by hand is never removed, even if the customer had it too for a while.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from worker.clock import as_moment, as_text
from worker.mailchimp.call import ANSWER_WITHIN
from worker.mailchimp.member import Member
from worker.model import CustomerState

SET = "set"
"""Set by this worker."""
THERE = "there"
"""It was set before, or may have been: it is never removed."""
BEGUN = "begun"
"""Followed by Mailchimp's time: the member did not have it then, and a call to set it was about to be sent."""
LEAVING = "leaving"
"""Followed by Mailchimp's time: this worker had set it, and a call to remove it was about to be sent."""

Tags = Mapping[str, str]
"""Names of tags in the ledger to how the member got them: SET, THERE, BEGUN or LEAVING."""


@dataclass(frozen=True, slots=True)
class TagChanges:
    """What to do about a member's tags.

    Attributes:
        add: names.
        remove: names of tags that this worker set.
    """

    add: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.add or self.remove)


@dataclass(frozen=True, slots=True)
class TagWrite:
    """A call for the tags of a member that was read.

    Attributes:
        changes: what to send; empty if no call is needed.
        ahead: the ledger's tags from before the call on.
        after: the ledger's tags once the call was done.
    """

    changes: TagChanges
    ahead: Tags
    after: Tags


def wanted_tags(state: CustomerState) -> tuple[str, ...]:
    """Returns the tags of a customer; those that differ only in case or surrounding spaces are one."""
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
    """Returns whether the member's tags must be read, because something must be written or forgotten."""
    return bool(needed(wanted, known)) or len({name.casefold() for name in wanted}) != len(known or {})


def in_doubt(known: Tags | None) -> bool:
    """Returns whether a call that set or removed some tag lost its answer."""
    return any(how not in (SET, THERE) for how in (known or {}).values())


def resolved(known: Tags | None, added: Mapping[str, datetime | None]) -> Tags:
    """Returns the ledger's tags once all tags of a member were read, with when each was added.

    Args:
        known: the ledger's tags before.
        added: names in Mailchimp to Mailchimp's time of their adding.
    """
    there = {name.casefold(): at for name, at in added.items()}
    found: dict[str, str] = {}
    for name, how in (known or {}).items():
        if how in (SET, THERE):
            found[name] = how
        elif name.casefold() in there:
            at, began = there[name.casefold()], _moment(how)
            # Mailchimp's times are whole seconds.
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
    """Returns what to send for the tags of a member.

    Args:
        known: the ledger's tags, none in doubt.
        member: just read, with its tags. Those missing from the answer may exist: they are set if wanted, and count as
            set by hand.
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


def _named(known: Iterable[str], names: Iterable[str]) -> list[str]:
    keys = {name.casefold() for name in names}
    return [name for name in known if name.casefold() in keys]


def in_words(changes: TagChanges) -> str:
    """Returns the changes as sentences for a receipt."""
    parts = [f"Tags set: {', '.join(changes.add)}."] if changes.add else []
    return " ".join([*parts, *([f"Tags removed: {', '.join(changes.remove)}."] if changes.remove else [])])
