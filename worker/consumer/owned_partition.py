"""The state of a partition that this worker owns: how far it is read, and whether it is ready. Does no I/O."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Lag:
    """How far staging is behind the end of a partition's log.

    Attributes:
        records: offsets that are not staged yet; some may hold no record.
        seconds: age of the last record that was read, if there are more; 0 at the end; None if none was read.
    """

    records: int
    seconds: float | None


@dataclass(slots=True)
class OwnedPartition:
    """A partition under one assignment.

    Attributes:
        assignment: its number, which is never reused.
        start: the offset where reading started.
        end: the end of its log when it was assigned.
        free_at: when the calls of a former owner are over, in seconds of the monotonic clock.
        rereading: whether it is being reread, so that customers missing from it are not known yet.
        ledger_read: whether its ledger was read under this assignment.
        next_offset: the offset to read next.
        caught_up: whether it was read to that end.
        log_end: the end of its log when this was last looked up.
        up_to_date_at: the time of the last record that was read, or when the end was reached, in seconds since 1970;
            None before.
    """

    assignment: int
    start: int
    end: int
    free_at: float
    rereading: bool
    ledger_read: bool
    next_offset: int = field(init=False)
    caught_up: bool = field(init=False)
    log_end: int = 0
    up_to_date_at: float | None = None

    def __post_init__(self) -> None:
        self.next_offset, self.caught_up = self.start, self.start >= self.end

    def read_to(self, next_offset: int, *, at_end: bool) -> None:
        """Records how far it was read and staged."""
        self.next_offset = next_offset
        self.caught_up = self.caught_up or at_end or next_offset >= self.end

    def is_ready(self, now: float) -> bool:
        """Returns whether it may be delivered, once the settings are read."""
        return self.caught_up and not self.rereading and self.ledger_read and now >= self.free_at

    def lag(self, at: float) -> Lag:
        """Returns how far it is behind at a time in seconds since 1970."""
        records = max(self.log_end - self.next_offset, 0)
        if not records:
            return Lag(0, 0.0)
        return Lag(records, None if self.up_to_date_at is None else max(at - self.up_to_date_at, 0.0))
