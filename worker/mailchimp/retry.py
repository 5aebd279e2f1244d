"""Calls that are tried again while Mailchimp says "later", for as long as it pays and as is safe."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from worker.mailchimp.call import Answer, Call, Sender
from worker.mailchimp.rate_limit import Limiter, Stop, wait_after


def worth_repeating(call: Call, answer: Answer) -> bool:
    """Whether to send the call again, for this answer.

    A read may always be sent again. A write may when Mailchimp surely did not act on it, or said itself that it failed;
    after a timeout or a broken connection (504 is a timeout behind Mailchimp's front door) it may have acted, which is
    for the caller to find out.
    """
    if answer.throttled or (answer.unsent and answer.failure != "stopped"):
        return True
    if answer.failure in ("timeout", "connection") or answer.status == 504:
        return call.reads_only
    return (answer.status or 0) >= 500


class RetryingSender:
    """Sends the calls of one account: through its API key's limiter, and again while that is worth it."""

    def __init__(
        self,
        sender: Sender,
        limiter: Limiter,
        patience: float,
        stop: Stop,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """Takes what it sends with.

        Args:
            sender: the client of the account's API key.
            patience: seconds from a call's first answer after which it is not begun again.
            clock: seconds that only go forward.
            chance: random, from 0 to 1.
        """
        self._sender = sender
        self._limiter = limiter
        self._patience = patience
        self._stop = stop
        self._clock = clock
        self._chance = chance

    @contextmanager
    def together(self) -> Iterator[Sender]:
        """Gives a sender for calls that hang on each other: it has a connection to itself and sends each call once."""
        with self._limiter.turn(self._sender, self._stop) as turn:
            yield turn

    def tries(self) -> Tries:
        """Returns what waits between the tries of one step, each of which reads again before it writes."""
        return Tries(self)

    def once(self, call: Call) -> Answer:
        """Sends the call through the limiter, one time: for a write that hangs on what was just read."""
        return self._limiter.send(self._sender, call, self._stop)

    def send(self, call: Call) -> Answer:
        """Sends the call, again while it is worth it; returns the last answer.

        Its failure is ``stopped`` only where the call was never sent.
        """
        answer, tries = self.once(call), self.tries()
        while worth_repeating(call, answer) and tries.again():
            again = self.once(call)
            if again.failure == "stopped":
                break
            answer = again
        return answer

    def wait_for_try(self, number: int, give_up_at: float | None) -> tuple[bool, float]:
        """Waits before one more try.

        Args:
            give_up_at: the time of the clock after which none is begun; None before the first wait.

        Returns:
            Whether to try again, and that time.
        """
        if give_up_at is None:
            give_up_at = self._clock() + self._patience
        wait = max(wait_after(number, self._chance()), self._limiter.wait)
        over = self._clock() + wait > give_up_at or self._stop.wait(wait)
        return not over, give_up_at


class Tries:
    """The tries of one call, or of one step of several calls, within the patience of their sender."""

    def __init__(self, sender: RetryingSender) -> None:
        """Counts the first try as made."""
        self._sender = sender
        self._made = 1
        self._give_up_at: float | None = None

    def again(self) -> bool:
        """Waits before one more try; returns false when patience is over or it is time to stop."""
        go_on, self._give_up_at = self._sender.wait_for_try(self._made, self._give_up_at)
        self._made += go_on
        return go_on
