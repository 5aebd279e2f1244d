"""Which tags a member needs, and which of them this worker set. Does no I/O.

A tag that somebody set by hand is never removed, even if the customer had it too for a while.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from worker.clock import as_moment, as_text
from worker.mailchimp.answers import Member
from worker.mailchimp.calls import ANSWER_WITHIN
from worker.model import CustomerState

SET_HERE = "set"
"""Set by this worker."""
SET_BEFORE = "there"
"""It was set before, or may have been: it is never removed."""
SET_BEGUN = "begun"
"""Followed by Mailchimp's time: the member did not have it then, and a call to set it was about to be sent."""
REMOVAL_BEGUN = "leaving"
"""Followed by Mailchimp's time: this worker had set it, and a call to remove it was about to be sent."""

Tags = Mapping[str, str]
"""Names of tags in the ledger to how the member got them: SET_HERE, SET_BEFORE, SET_BEGUN or REMOVAL_BEGUN."""


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


def needed(wanted: Sequence[str], ledger_tags: Tags | None) -> TagChanges:
    """Returns what a member needs by the ledger alone, as a plan shows it."""
    ledger_tags = ledger_tags or {}
    present = {name.casefold() for name, state in ledger_tags.items() if state in (SET_HERE, SET_BEFORE)}
    keep = {name.casefold() for name in wanted}
    return TagChanges(
        tuple(name for name in wanted if name.casefold() not in present),
        tuple(name for name, state in ledger_tags.items() if state != SET_BEFORE and name.casefold() not in keep),
    )


def differs(wanted: Sequence[str], ledger_tags: Tags | None) -> bool:
    """Returns whether the member's tags must be read, because something must be written or forgotten."""
    return bool(needed(wanted, ledger_tags)) or len({name.casefold() for name in wanted}) != len(ledger_tags or {})


def in_doubt(ledger_tags: Tags | None) -> bool:
    """Returns whether a call that set or removed some tag lost its answer."""
    return any(state not in (SET_HERE, SET_BEFORE) for state in (ledger_tags or {}).values())


def resolved(ledger_tags: Tags | None, added: Mapping[str, datetime | None]) -> Tags:
    """Returns the ledger's tags once all tags of a member were read, with when each was added.

    Args:
        ledger_tags: the ledger's tags before.
        added: names in Mailchimp to Mailchimp's time of their adding.
    """
    added_at = {name.casefold(): at for name, at in added.items()}
    tags: dict[str, str] = {}
    for name, state in (ledger_tags or {}).items():
        if state in (SET_HERE, SET_BEFORE):
            tags[name] = state
        elif name.casefold() in added_at:
            at, began = added_at[name.casefold()], _moment(state)
            # Mailchimp's times are whole seconds.
            within = (
                began is not None and at is not None and began.replace(microsecond=0) <= at <= began + ANSWER_WITHIN
            )
            before = began is not None and at is not None and at < began.replace(microsecond=0)
            tags[name] = SET_HERE if (within if state.startswith(SET_BEGUN) else before) else SET_BEFORE
    return tags


def _moment(state: str) -> datetime | None:
    _, _, text = state.partition(" ")
    return as_moment(text) if text else None


def to_write(wanted: Sequence[str], ledger_tags: Tags | None, member: Member, date: datetime | None) -> TagWrite:
    """Returns what to send for the tags of a member.

    Args:
        ledger_tags: the ledger's tags, none in doubt.
        member: just read, with its tags. Those missing from the answer may exist: they are set if wanted, and count as
            set by hand.
        date: Mailchimp's time of that answer.
    """
    on_member = {name.casefold(): name for name in member.tags or ()}
    complete = member.tags is not None and len(member.tags) >= (member.tags_count or 0)
    before = {name.casefold(): state for name, state in (ledger_tags or {}).items()}
    changes = needed(wanted, ledger_tags)
    add = tuple(name for name in changes.add if name.casefold() not in on_member)
    remove = tuple(
        on_member.get(name.casefold(), name) for name in changes.remove if name.casefold() in on_member or not complete
    )
    sent = SET_HERE if complete else SET_BEFORE
    after = {name: before.get(name.casefold()) or (sent if name in add else SET_BEFORE) for name in wanted}
    at = f" {as_text(date)}" if date is not None else ""
    ahead = {**after, **{name: f"{SET_BEGUN}{at}" for name in add if after[name] == SET_HERE}}
    ahead |= dict.fromkeys(_named(changes.remove, remove), f"{REMOVAL_BEGUN}{at}")
    return TagWrite(TagChanges(add, remove), ahead, after)


def _named(ledger_names: Iterable[str], names: Iterable[str]) -> list[str]:
    keys = {name.casefold() for name in names}
    return [name for name in ledger_names if name.casefold() in keys]


def in_words(changes: TagChanges) -> str:
    """Returns the changes as sentences for a receipt."""
    parts = [f"Tags set: {', '.join(changes.add)}."] if changes.add else []
    return " ".join([*parts, *([f"Tags removed: {', '.join(changes.remove)}."] if changes.remove else [])])
