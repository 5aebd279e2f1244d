"""Retries calls while Mailchimp is busy, as long as retrying is safe."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

from worker.clock import Stop
from worker.mailchimp.call import Answer, Call, Sender
from worker.mailchimp.rate_limit import Limiter, ReservedConnection, wait_after


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


class RetryingSender:
    """Sends the calls of one account through its API key's limiter, and retries them."""

    def __init__(
        self,
        sender: Sender,
        limiter: Limiter,
        patience: float,
        stop: Stop,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """Sends nothing yet.

        Args:
            sender: the client of the account's API key.
            patience: seconds after a call's first answer during which it may be retried.
            clock: monotonic, in seconds.
            jitter: random, from 0 to 1.
        """
        self._sender = sender
        self._limiter = limiter
        self._patience = patience
        self._stop = stop
        self._clock = clock
        self._jitter = jitter

    def reserve(self) -> ReservedConnection:
        """Returns a sender for calls that depend on each other: it has its own connection and sends each call once."""
        return self._limiter.reserve(self._sender, self._stop)

    def tries(self) -> Tries:
        """Returns the retry timer of a step whose tries each read before they write."""
        return Tries(self)

    def once(self, call: Call) -> Answer:
        """Sends the call once: for a write that depends on what was just read."""
        return self._limiter.send(self._sender, call, self._stop)

    def send(self, call: Call) -> Answer:
        """Sends the call, with retries; returns the last answer.

        Its failure is ``stopped`` only if the call was never sent.
        """
        answer, tries = self.once(call), self.tries()
        while should_retry(call, answer) and tries.again():
            again = self.once(call)
            if again.failure == "stopped":
                break
            answer = again
        return answer

    def wait_for_try(self, number: int, give_up_at: float | None) -> tuple[bool, float]:
        """Waits before one more try.

        Args:
            number: of tries made.
            give_up_at: the time of the clock after which no try begins; None before the first wait.

        Returns:
            Whether to try again, and when to give up.
        """
        if give_up_at is None:
            give_up_at = self._clock() + self._patience
        wait = max(wait_after(number, self._jitter()), self._limiter.wait)
        over = self._clock() + wait > give_up_at or self._stop.wait(wait)
        return not over, give_up_at


class Tries:
    """The tries of one call, or of one step of several calls."""

    def __init__(self, sender: RetryingSender) -> None:
        """Counts the first try as made."""
        self._sender = sender
        self._made = 1
        self._give_up_at: float | None = None

    def again(self) -> bool:
        """Waits before one more try; returns False if it is time to give up or to stop."""
        go_on, self._give_up_at = self._sender.wait_for_try(self._made, self._give_up_at)
        self._made += go_on
        return go_on
