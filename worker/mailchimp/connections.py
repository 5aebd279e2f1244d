"""How many calls of one API key may be in flight: the one place that decides.

Mailchimp allows a user ten connections over all its apps, tells nothing of how many are left, and answers one too many
with a refusal. So the number is found by trying: from few, one more whenever a round of calls went well, half when
Mailchimp refuses.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

from worker.mailchimp.api_key import ApiKey
from worker.mailchimp.call import Answer, Call, Sender

FEW = 2
"""Calls in flight to begin with."""
FIRST_WAIT = 1.0
"""Seconds to wait after a first trouble, at most."""
LONGEST_WAIT = 30.0
"""Seconds to wait after many troubles in a row, at most."""
CHECK_SECONDS = 0.1
"""How often a thread that waits for another's call to end looks whether it should stop."""


class Stop(Protocol):
    """Tells waiting threads to stop; a ``threading.Event`` is one."""

    def is_set(self) -> bool:
        """Returns whether to stop."""
        ...

    def wait(self, timeout: float) -> bool:
        """Waits until it is time to stop, for so many seconds at most; returns whether it is."""
        ...


def wait_after(troubles: int, chance: float) -> float:
    """Returns how many seconds to wait after so many troubles in a row.

    Args:
        troubles: 1 or more.
        chance: random, from 0 to 1. It takes up to half of the wait away, so that those who met trouble together do
            not come back together.
    """
    return min(LONGEST_WAIT, FIRST_WAIT * 2.0 ** min(troubles - 1, 16)) * (1 - chance / 2)


@dataclass(frozen=True, slots=True)
class Pace:
    """How an API key may be called, as its answers so far say.

    Attributes:
        most: the operator's limit of calls in flight.
        limit: the limit for now.
        passed: good answers since the limit last changed.
        troubles: how many came in a row.
        not_before: the time of the clock before which no call may begin.
        round: raised by each trouble. An answer to a call begun in an earlier one tells nothing that is not known.
    """

    most: int
    limit: int = FEW
    passed: int = 0
    troubles: int = 0
    not_before: float = 0.0
    round: int = 0

    @property
    def allowed(self) -> int:
        """How many calls may be in flight: after trouble one, to see whether it is over."""
        return 1 if self.troubles else min(self.limit, self.most)

    def after(self, answer: Answer, begun: int, now: float, chance: float) -> Pace:
        """Returns the pace after one more answer.

        Args:
            answer: what came back.
            begun: the round in which the call was begun.
            now: the time of the clock.
            chance: random, from 0 to 1.
        """
        if begun != self.round or answer.failure == "stopped":
            return self
        if answer.throttled or answer.failure is not None or (answer.status or 0) >= 500:
            troubles = self.troubles + 1
            return replace(
                self,
                limit=max(1, min(self.limit, self.most) // 2) if answer.throttled else self.limit,
                passed=0,
                troubles=troubles,
                not_before=now + wait_after(troubles, chance),
                round=self.round + 1,
            )
        if self.passed + 1 >= self.limit < self.most:
            return replace(self, limit=self.limit + 1, passed=0, troubles=0)
        return replace(self, passed=self.passed + 1, troubles=0)


class Gate:
    """Lets the calls of one API key through as its pace allows. Threads share it."""

    def __init__(self, most: int, clock: Callable[[], float], chance: Callable[[], float]) -> None:
        self._pace = Pace(most)
        self._in_flight = 0
        self._clock = clock
        self._chance = chance
        self._changed = threading.Condition()

    @property
    def pace(self) -> Pace:
        """The pace for now."""
        return self._pace

    @property
    def in_flight(self) -> int:
        """How many calls wait for their answer."""
        return self._in_flight

    @property
    def wait(self) -> float:
        """Seconds until a call may begin again."""
        return max(0.0, self._pace.not_before - self._clock())

    def send(self, sender: Sender, call: Call, stop: Stop) -> Answer:
        """Sends a call once it may begin, and learns from its answer.

        Returns:
            What came back; an answer with the failure ``stopped`` when it was time to stop before it could begin.
        """
        begun = self._enter(stop)
        if begun is None:
            return Answer(None, failure="stopped")
        answer = None
        try:
            answer = sender.send(call)
        finally:
            self._leave(answer, begun)
        return answer

    def _enter(self, stop: Stop) -> int | None:
        while not stop.is_set():
            with self._changed:
                wait = self.wait
                if wait == 0:
                    if self._in_flight < self._pace.allowed:
                        self._in_flight += 1
                        return self._pace.round
                    # A stop cannot wake a condition, so the wait is looked up from.
                    self._changed.wait(CHECK_SECONDS)
            if wait:
                stop.wait(wait)
        return None

    def _leave(self, answer: Answer | None, begun: int) -> None:
        with self._changed:
            self._in_flight -= 1
            if answer is not None:
                self._pace = self._pace.after(answer, begun, self._clock(), self._chance())
            self._changed.notify_all()


class Connections:
    """The gates of all API keys; accounts that share a key share its gate. Threads share it."""

    def __init__(
        self,
        most: int,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """Makes no gate yet.

        Args:
            most: calls of one key in flight.
            clock: seconds that only go forward.
            chance: random, from 0 to 1.
        """
        self._most = most
        self._clock = clock
        self._chance = chance
        self._gates: dict[ApiKey, Gate] = {}
        self._lock = threading.Lock()

    def gate(self, key: ApiKey) -> Gate:
        """Returns the gate of the key, the same one every time."""
        with self._lock:
            return self._gates.setdefault(key, Gate(self._most, self._clock, self._chance))
