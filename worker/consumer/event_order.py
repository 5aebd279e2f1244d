"""Decides which of two events of a customer is newer. Does no I/O.

Within one log, a partition of a topic id, offsets decide. Between two logs, time decides. A version takes precedence
over both. See :func:`worker.model.newest_first` for the events of customers who share an address.
"""

from __future__ import annotations

from datetime import datetime
from enum import Enum
from typing import NamedTuple

from worker.clock import moment_or_none


class Known(NamedTuple):
    """What the order of an event depends on.

    Attributes:
        version: its own; for a customer's row, the highest seen so far.
        topic_id: with partition and offset, where it was read.
        null: whether it is a record without a value, which deletes what its log has of the customer before it.
    """

    version: int | None
    topic: str
    topic_id: str
    partition: int
    offset: int
    time: str | None
    null: bool = False


class Verdict(Enum):
    """How a new event compares with the newest one so far."""

    NEWER = "newer"
    REPEAT = "repeat"
    OLDER = "older"
    OUT_OF_ORDER = "lower version at a higher offset"
    """The publisher's fault: compaction may keep the wrong event."""


def judge(known: Known, new: Known) -> Verdict:
    """Compares a new event with the newest one so far.

    One with a version wins if that is higher than the highest so far, unless a null follows it in its log: a null has
    no version, and Kafka's compaction removes what is before it. One without wins by offset within a partition of one
    topic, else by time, else because it was read later.
    """
    same_log = _log_of(known) == _log_of(new)
    if known.null and same_log and new.offset < known.offset:
        return Verdict.OLDER
    if new.version is not None and (known.version is None or new.version > known.version):
        return Verdict.NEWER
    if new.version is not None:
        if new.version == known.version:
            return Verdict.REPEAT
        return Verdict.OUT_OF_ORDER if same_log and new.offset > known.offset else Verdict.OLDER
    if same_log:
        if new.offset == known.offset:
            return Verdict.REPEAT
        return Verdict.NEWER if new.offset > known.offset else Verdict.OLDER
    return _by_time(moment_or_none(known.time), moment_or_none(new.time))


def came_later(known: Known, new: Known) -> bool | None:
    """Returns whether an event was published after the newest one so far, whatever their versions are.

    Returns:
        By offset within a log, else by time; None if neither decides.
    """
    if _log_of(known) == _log_of(new):
        return new.offset > known.offset
    before, after = moment_or_none(known.time), moment_or_none(new.time)
    return None if before is None or after is None or before == after else after > before


def withdrawal_counts(known: Known, new: Known) -> bool:
    """Returns whether withdrawn consent counts though its event is not the newest by version.

    A version may be too high by mistake, so that every later event looks old. So a withdrawal counts unless it was
    certainly published before the newest one so far: it was read then, or consent was given again since.
    """
    return came_later(known, new) is not False


def _log_of(position: Known) -> tuple[str, str, int]:
    return position.topic, position.topic_id, position.partition


def _by_time(known: datetime | None, new: datetime | None) -> Verdict:
    if known is None or new is None or known == new:
        return Verdict.NEWER
    return Verdict.NEWER if new > known else Verdict.OLDER
