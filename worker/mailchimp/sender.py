"""Sends the calls of accounts: as many at once as Mailchimp takes, and again while it is busy.

Each API key has a :class:`Limiter`, which all its accounts share. A :class:`ReservedConnection` has one of the key's
connections, and sends each call once. A :class:`RetryingSender` belongs to one account. It reserves a connection for
each call, or for each try of several calls, and repeats what may be repeated.

Mailchimp allows a user ten connections over all its apps, does not say how many are left, and refuses one too many. So
the limit is found by trying: it starts low, rises by one after each round of successful calls, and halves when
Mailchimp refuses a call.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from dataclasses import InitVar, dataclass, field, replace
from typing import Self, TypeVar

from worker.clock import Stop, Wait
from worker.mailchimp.answers import Answer
from worker.mailchimp.api_key import ApiKey
from worker.mailchimp.calls import FRESH_SECONDS, Call, Sender

INITIAL_LIMIT = 2
"""Calls in flight at first."""
FIRST_WAIT = 1.0
"""Seconds to wait after a first failure, at most."""
LONGEST_WAIT = 30.0
"""Seconds to wait after many failures in a row, at most."""
SECOND_LOOK = 1.0
"""Seconds to wait before a 404 of a member or a list is believed."""
CHECK_SECONDS = 0.5
"""How often a thread that waits for a free connection checks whether to stop."""


def wait_after(failures: int, jitter: float) -> float:
    """Returns how many seconds to wait after so many failures in a row.

    Args:
        failures: 1 or more.
        jitter: random, from 0 to 1. It shortens the wait by up to half, so that callers do not all retry at once.
    """
    return min(LONGEST_WAIT, FIRST_WAIT * 2.0 ** min(failures - 1, 16)) * (1 - jitter / 2)


_Answered = TypeVar("_Answered")


def look_twice(ask: Callable[[], _Answered], is_missing: Callable[[_Answered], bool], wait: Wait) -> _Answered:
    """Returns an answer, the second one if the first is a 404: parallel writes to a member can cause stray ones.

    Args:
        ask: makes the calls; called once or twice.
    """
    answered = ask()
    if not is_missing(answered):
        return answered
    wait(SECOND_LOOK)
    return ask()


# The limit of an API key


@dataclass(frozen=True, slots=True)
class Window:
    """The limit of calls in flight of an API key, learned from its answers.

    Attributes:
        most: the operator's limit.
        limit: the limit for now.
        passed: good answers since the limit last changed.
        failures: in a row.
        not_before: the time of the clock before which no call may begin.
        round: raised by each failure. An answer to a call of an earlier round is ignored.
    """

    most: int
    limit: int = INITIAL_LIMIT
    passed: int = 0
    failures: int = 0
    not_before: float = 0.0
    round: int = 0

    @property
    def allowed(self) -> int:
        """How many calls may be in flight; only one after a failure, to see whether it is over."""
        return 1 if self.failures else min(self.limit, self.most)

    def after(self, answer: Answer, begun: int, now: float, jitter: float) -> Window:
        """Returns the window after one more answer.

        Args:
            begun: the round in which the call began.
            jitter: random, from 0 to 1.
        """
        if begun != self.round or answer.failure == "stopped":
            return self
        if answer.throttled or answer.failure is not None or (answer.status or 0) >= 500:
            failures = self.failures + 1
            return replace(
                self,
                limit=max(1, min(self.limit, self.most) // 2) if answer.throttled else self.limit,
                passed=0,
                failures=failures,
                not_before=now + wait_after(failures, jitter),
                round=self.round + 1,
            )
        if self.limit >= self.most and not self.failures:
            return self
        if self.passed + 1 >= self.limit < self.most:
            return replace(self, limit=self.limit + 1, passed=0, failures=0)
        return replace(self, passed=self.passed + 1, failures=0)


def call_threads(calls: int, connections: int) -> int:
    """Returns how many threads make so many calls: not all at once, because the limit of calls in flight rises slowly.

    More threads would only wait; without them, more accounts run at once.
    """
    return max(1, min(calls, 2 + calls // 5, connections))


@dataclass(slots=True)
class Limiter:
    """Limits the calls of one API key; starts with few calls in flight. Thread-safe.

    Attributes:
        clock: monotonic, in seconds.
        jitter: random, from 0 to 1.
        watch: the same as the clock, for the age of a read.
        window: the window for now.
        in_flight: how many calls wait for their answer.
    """

    most: InitVar[int]
    clock: Callable[[], float]
    jitter: Callable[[], float]
    watch: Callable[[], float] = time.monotonic
    window: Window = field(init=False)
    in_flight: int = field(default=0, init=False)
    _changed: threading.Condition = field(default_factory=threading.Condition, init=False)

    def __post_init__(self, most: int) -> None:
        self.window = Window(most)

    @property
    def wait(self) -> float:
        """Seconds until a call may begin again."""
        return max(0.0, self.window.not_before - self.clock())

    def acquire(self, stop: Stop) -> bool:
        """Waits for a free connection; returns False if it is time to stop."""
        # Whether to stop is asked after each wait, and before each call: see ReservedConnection.send.
        while True:
            with self._changed:
                wait = self.wait
                if wait == 0:
                    if self.in_flight < self.window.allowed:
                        self.in_flight += 1
                        return True
                    # A stop cannot wake a condition, so check it now and then.
                    self._changed.wait(CHECK_SECONDS)
            if wait:
                stop.wait(wait)
            if stop.is_set():
                return False

    def release(self) -> None:
        """Gives a connection back."""
        with self._changed:
            self.in_flight -= 1
            self._wake()

    def learn(self, answer: Answer, begun: int) -> None:
        """Adjusts the window by the answer to a call that began in round `begun`."""
        with self._changed:
            window = self.window.after(answer, begun, self.clock(), self.jitter())
            if window is not self.window:
                self.window = window
                self._wake()

    def _wake(self) -> None:
        # Not all threads that wait: most of them would find no free connection, and take longer than the calls.
        self._changed.notify(max(0, self.window.allowed - self.in_flight))


@dataclass(slots=True)
class Limiters:
    """The limiters of all API keys. Accounts that share a key share its limiter. Thread-safe.

    Attributes:
        most: calls in flight per key.
        clock: monotonic, in seconds.
        jitter: random, from 0 to 1.
    """

    most: int
    clock: Callable[[], float] = time.monotonic
    jitter: Callable[[], float] = random.random
    _limiters: dict[ApiKey, Limiter] = field(default_factory=dict, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)

    def limiter(self, key: ApiKey) -> Limiter:
        """Returns the key's limiter, always the same one."""
        with self._lock:
            return self._limiters.setdefault(key, Limiter(self.most, self.clock, self.jitter))

    def in_flight(self) -> int:
        """Returns how many calls of all keys are in flight."""
        with self._lock:
            return sum(limiter.in_flight for limiter in self._limiters.values())


# Sending


@dataclass(slots=True)
class ReservedConnection:
    """One connection of a key, reserved within its block for calls that depend on each other. Each is sent once.

    Somebody may act between a read and the write that depends on it. So the write is sent at once or not at all: it
    fails as ``stale`` if the calls before it have waited too long for any reason.

    Attributes:
        reserved: whether a connection was reserved; if not, it was time to stop.
        waited: seconds between the calls so far, without the time of the calls themselves.
    """

    _limiter: Limiter
    _sender: Sender
    _stop: Stop
    reserved: bool = False
    waited: float = 0.0
    _ended: float | None = None

    def __enter__(self) -> Self:
        self.reserved = self._limiter.acquire(self._stop)
        return self

    def __exit__(self, *error: object) -> None:
        if self.reserved:
            self._limiter.release()

    def send(self, call: Call) -> Answer:
        """Sends a call, once other calls of the key no longer fail.

        Returns:
            The answer, with the failure ``stopped`` or ``stale`` if the call was not sent.
        """
        if not self.reserved or self._stop.is_set():
            return Answer(None, failure="stopped")
        depends = not call.reads_only and self._ended is not None
        if depends and self._waited_until_now() + self._limiter.wait > FRESH_SECONDS:
            return Answer(None, failure="stale")
        while wait := self._limiter.wait:
            if self._stop.wait(wait):
                return Answer(None, failure="stopped")
        self.waited = self._waited_until_now()
        if depends and self.waited > FRESH_SECONDS:
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


def should_retry(call: Call, answer: Answer) -> bool:
    """Returns whether to send the call again after this answer.

    A read can always be sent again. A write can if Mailchimp certainly did not act on it, or reported a failure of its
    own. After a timeout or a broken connection (504 is a timeout behind Mailchimp's load balancer) it may have acted,
    which the caller must find out. A certificate does not become acceptable within minutes.
    """
    if answer.throttled or (answer.unsent and answer.failure not in ("stopped", "certificate")):
        return True
    if answer.failure in ("timeout", "connection") or answer.status == 504:
        return call.reads_only
    return (answer.status or 0) >= 500


@dataclass(frozen=True, slots=True)
class RetryingSender:
    """Sends the calls of one account within the limit of its API key, and repeats them.

    Attributes:
        sender: the client of the account's API key.
        patience: seconds after a call's first answer during which it may be retried.
        clock: monotonic, in seconds.
        jitter: random, from 0 to 1.
    """

    sender: Sender
    limiter: Limiter
    patience: float
    stop: Stop
    clock: Callable[[], float] = time.monotonic
    jitter: Callable[[], float] = random.random

    def reserve(self) -> ReservedConnection:
        """Returns a connection for calls that depend on each other, so that none must wait for one."""
        return ReservedConnection(self.limiter, self.sender, self.stop)

    def send(self, call: Call) -> Answer:
        """Sends a call, with retries; returns the last answer.

        Its failure is ``stopped`` only if the call was never sent.
        """
        answer, tries = self._once(call), Tries(self)
        while should_retry(call, answer) and tries.again():
            again = self._once(call)
            if again.failure == "stopped":
                break
            answer = again
        return answer

    def _once(self, call: Call) -> Answer:
        with self.reserve() as connection:
            return connection.send(call)


class Tries:
    """The tries of one call, or of one step whose tries each read before they write."""

    def __init__(self, sender: RetryingSender) -> None:
        """Counts the first try as made."""
        self._sender, self._made = sender, 1
        self._give_up_at: float | None = None

    def again(self) -> bool:
        """Waits before one more try; returns False if it is time to give up or to stop."""
        sender = self._sender
        if self._give_up_at is None:
            self._give_up_at = sender.clock() + sender.patience
        wait = max(wait_after(self._made, sender.jitter()), sender.limiter.wait)
        if sender.clock() + wait > self._give_up_at or sender.stop.wait(wait):
            return False
        self._made += 1
        return True
