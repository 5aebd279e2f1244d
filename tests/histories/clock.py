"""Time as a history has it: Mailchimp's, and this machine's, which may be minutes off."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta


class Time:
    """The true time, which only goes forward, and a machine's clock that is some seconds off.

    Attributes:
        skew: seconds by which this machine's clock is ahead of Mailchimp's.
    """

    TICK = timedelta(milliseconds=1)

    def __init__(self) -> None:
        """Begins on a November morning."""
        self.now = datetime(2026, 11, 22, 10, tzinfo=UTC)
        self.skew = 0.0

    def mailchimp(self) -> datetime:
        """Returns the true time; every look at it costs a millisecond."""
        self.now += self.TICK
        return self.now

    def machine(self) -> datetime:
        """Returns what this machine's clock shows."""
        self.now += self.TICK
        return self.now + timedelta(seconds=self.skew)

    def seconds(self) -> float:
        """Returns the seconds of a clock that only goes forward."""
        return self.now.timestamp()

    def forward(self, **span: float) -> None:
        """Goes on by so much."""
        self.now += timedelta(**span)


class Waits:
    """Asks to stop as an event does; a wait passes at once, and things may happen meanwhile."""

    def __init__(self, time: Time, meanwhile: Callable[[], None]) -> None:
        """Takes the time that passes, and what is called in the middle of each wait."""
        self._time = time
        self._meanwhile = meanwhile
        self._stopped = False

    def set(self) -> None:
        """Asks to stop."""
        self._stopped = True

    def is_set(self) -> bool:
        """Returns whether to stop."""
        return self._stopped

    def wait(self, timeout: float) -> bool:
        """Lets the time pass and returns whether to stop."""
        self._time.forward(seconds=timeout / 2)
        if timeout >= 0.2:
            self._meanwhile()
        self._time.forward(seconds=timeout / 2, milliseconds=1)
        return self._stopped
