"""How many calls of one API key may be in flight: the one place that decides.

Mailchimp allows a user ten connections over all its apps, does not say how many are left, and answers one too many
with a refusal. So the number is found by trying: from few, one more whenever a round of calls went well, half when
Mailchimp refuses.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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
FRESH_SECONDS = 2.0
"""How long a write may be held up after the reads that it hangs on; after that they must be made again."""
CHECK_SECONDS = 0.1
"""How often a thread that waits for another's call to end looks whether it should stop."""


class Stop(Protocol):
    """Asks waiting threads to stop; a ``threading.Event`` is one."""

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
class Window:
    """How an API key may be called, as its answers so far say.

    Attributes:
        most: the operator's limit of calls in flight.
        limit: the limit for now.
        passed: good answers since the limit last changed.
        troubles: how many came in a row.
        not_before: the time of the clock before which no call may begin.
        round: raised by each trouble. An answer to a call begun in an earlier one says nothing that is not known.
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

    def after(self, answer: Answer, begun: int, now: float, chance: float) -> Window:
        """Returns the pace after one more answer.

        Args:
            begun: the round in which the call was begun.
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
        if self.limit >= self.most and not self.troubles:
            return self
        if self.passed + 1 >= self.limit < self.most:
            return replace(self, limit=self.limit + 1, passed=0, troubles=0)
        return replace(self, passed=self.passed + 1, troubles=0)


class Limiter:
    """Lets the calls of one API key through as its pace allows. Threads share it."""

    def __init__(
        self,
        most: int,
        clock: Callable[[], float],
        chance: Callable[[], float],
        watch: Callable[[], float] = time.monotonic,
    ) -> None:
        """Lets few calls through to begin with.

        Args:
            clock: seconds that only go forward.
            chance: random, from 0 to 1.
            watch: the same as the clock, for how old a read is.
        """
        self.watch = watch
        self._pace = Window(most)
        self._in_flight = 0
        self._clock = clock
        self._chance = chance
        self._changed = threading.Condition()

    @property
    def window(self) -> Window:
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
        with self.turn(sender, stop) as turn:
            return turn.send(call)

    @contextmanager
    def turn(self, sender: Sender, stop: Stop) -> Iterator[Turn]:
        """Takes one of the key's connections for calls that hang on each other, so that none of them waits for one."""
        entered = self._enter(stop)
        try:
            yield Turn(self, sender, stop, entered=entered)
        finally:
            if entered:
                with self._changed:
                    self._in_flight -= 1
                    self._changed.notify_all()

    def _enter(self, stop: Stop) -> bool:
        # Whether to stop is asked after each wait, and before each call: see Turn.send.
        while True:
            with self._changed:
                wait = self.wait
                if wait == 0:
                    if self._in_flight < self._pace.allowed:
                        self._in_flight += 1
                        return True
                    # A stop cannot wake a condition, so the wait is looked up from.
                    self._changed.wait(CHECK_SECONDS)
            if wait:
                stop.wait(wait)
            if stop.is_set():
                return False

    def learn(self, answer: Answer, begun: int) -> None:
        """Sets the pace by an answer to a call that began in a round."""
        with self._changed:
            pace = self._pace.after(answer, begun, self._clock(), self._chance())
            if pace is not self._pace:
                self._pace = pace
                self._changed.notify_all()


@dataclass(slots=True)
class Turn:
    """One connection of a key, held for calls that hang on each other; each is sent once.

    Between a read and the write that hangs on it a person may act, so the write goes out at once or not at all: it is
    held back as ``stale`` when the calls before it have waited too long, for whatever reason.

    Attributes:
        entered: whether there is a connection; without one it was time to stop.
        waited: seconds that passed between the calls so far, their own time left out.
    """

    _limiter: Limiter
    _sender: Sender
    _stop: Stop
    entered: bool
    waited: float = 0.0
    _ended: float | None = None

    def send(self, call: Call) -> Answer:
        """Sends a call, after trouble of the key's other calls only when that is over.

        Returns:
            What came back; an answer with the failure ``stopped`` or ``stale`` where it was not sent.
        """
        if not self.entered or self._stop.is_set():
            return Answer(None, failure="stopped")
        hangs = not call.reads_only and self._ended is not None
        if hangs and self._waited_until_now() + self._limiter.wait > FRESH_SECONDS:
            return Answer(None, failure="stale")
        while wait := self._limiter.wait:
            if self._stop.wait(wait):
                return Answer(None, failure="stopped")
        self.waited = self._waited_until_now()
        if hangs and self.waited > FRESH_SECONDS:
            return Answer(None, failure="stale")
        begun = self._limiter.window.round
        try:
            answer = self._sender.send(call)
        finally:
            self._ended = self._limiter.watch()
        self._limiter.learn(answer, begun)
        return answer

    def _waited_until_now(self) -> float:
        return self.waited + (self._limiter.watch() - self._ended if self._ended is not None else 0.0)


class Connections:
    """The limiters of all API keys; accounts with the same key have one limiter. Threads share it."""

    def __init__(
        self,
        most: int,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """Makes no limiter yet.

        Args:
            most: calls of one key in flight.
            clock: seconds that only go forward.
            chance: random, from 0 to 1.
        """
        self._most = most
        self._clock = clock
        self._chance = chance
        self._limiters: dict[ApiKey, Limiter] = {}
        self._lock = threading.Lock()

    def limiter(self, key: ApiKey) -> Limiter:
        """Returns the limiter of the key, the same one every time."""
        with self._lock:
            return self._limiters.setdefault(key, Limiter(self._most, self._clock, self._chance))

    def in_flight(self) -> int:
        """Returns how many calls of all keys wait for their answer."""
        with self._lock:
            return sum(one.in_flight for one in self._limiters.values())
