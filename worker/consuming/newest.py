"""Which of two events about a customer is the newer one. Pure."""

from __future__ import annotations

from datetime import datetime
from enum import Enum
from typing import NamedTuple

from worker.clock import as_moment


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
    same_log = (known.topic, known.topic_id, known.partition) == (new.topic, new.topic_id, new.partition)
    if new.version is not None:
        if new.version == known.version:
            return Verdict.REPEAT
        return Verdict.OUT_OF_ORDER if same_log and new.offset > known.offset else Verdict.OLDER
    if same_log:
        if new.offset == known.offset:
            return Verdict.REPEAT
        return Verdict.NEWER if new.offset > known.offset else Verdict.OLDER
    return _by_time(_moment(known.time), _moment(new.time))


def _by_time(known: datetime | None, new: datetime | None) -> Verdict:
    if known is None or new is None or known == new:
        return Verdict.NEWER
    return Verdict.NEWER if new > known else Verdict.OLDER


def _moment(text: str | None) -> datetime | None:
    try:
        return as_moment(text) if text else None
    except (ValueError, OverflowError):
        return None
