"""Which of two events is the newer one, of one customer or of two who share an address. Pure.

Within one log, a partition of a topic by its id, offsets are an order. Between two logs they say nothing: there time
decides. A version comes before both, but only between events of one customer.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from enum import Enum
from typing import NamedTuple

from worker.clock import as_moment
from worker.model import Customer, Position

_BEFORE_ALL = datetime.min.replace(tzinfo=UTC)


class Known(NamedTuple):
    """What decides about an event.

    Attributes:
        version: its own; of a customer's row, the highest seen so far.
        topic_id: with partition and offset, where it was read.
    """

    version: int | None
    topic: str
    topic_id: str
    partition: int
    offset: int
    time: str | None


class Verdict(Enum):
    """What a new event is against what is known."""

    NEWER = "newer"
    REPEAT = "repeat"
    OLDER = "older"
    OUT_OF_ORDER = "lower version at a higher offset"
    """The publisher's fault: compaction may keep the wrong one."""


def judge(known: Known, new: Known) -> Verdict:
    """Returns what a new event is.

    One with a version wins if that is higher than the highest so far. One without wins by offset within a partition of
    one topic, else by time, else because it was read later.
    """
    if new.version is not None and (known.version is None or new.version > known.version):
        return Verdict.NEWER
    same_log = _log_of(known) == _log_of(new)
    if new.version is not None:
        if new.version == known.version:
            return Verdict.REPEAT
        return Verdict.OUT_OF_ORDER if same_log and new.offset > known.offset else Verdict.OLDER
    if same_log:
        if new.offset == known.offset:
            return Verdict.REPEAT
        return Verdict.NEWER if new.offset > known.offset else Verdict.OLDER
    return _by_time(_moment(known.time), _moment(new.time))


def came_later(known: Known, new: Known) -> bool | None:
    """Returns whether an event was published after what is known, whatever their versions say.

    Returns:
        By offset within a log, else by time; None where neither decides.
    """
    if _log_of(known) == _log_of(new):
        return new.offset > known.offset
    before, after = _moment(known.time), _moment(new.time)
    return None if before is None or after is None or before == after else after > before


def withdrawal_counts(known: Known, new: Known) -> bool:
    """Returns whether a withdrawn consent counts whose event is not the newest by its version.

    A version may be too high by mistake, and then each later event is too old. So a withdrawal counts unless it is
    known to have been published before what is known: it was read then, or consent was given again since.
    """
    return came_later(known, new) is not False


def newest_first(customers: Sequence[Customer]) -> list[Customer]:
    """Returns customers of one account, the one with the newest event first.

    By offset where all of their events are in one log, as they do where publishers keep to the contract; else by
    time, those without one last. What is equal then goes by offset and by id, so that the order is always the same.
    """
    one_log = len({_log_of(one.position) for one in customers}) <= 1

    def order(one: Customer) -> tuple[datetime, int, str]:
        moment = None if one_log else _moment(one.event_time)
        return moment or _BEFORE_ALL, one.position.offset, one.customer_id

    return sorted(customers, key=order, reverse=True)


def _log_of(one: Known | Position) -> tuple[str, str, int]:
    return one.topic, one.topic_id, one.partition


def _by_time(known: datetime | None, new: datetime | None) -> Verdict:
    if known is None or new is None or known == new:
        return Verdict.NEWER
    return Verdict.NEWER if new > known else Verdict.OLDER


def _moment(text: str | None) -> datetime | None:
    try:
        return as_moment(text) if text else None
    except (ValueError, OverflowError):
        return None
