"""Retries calls while Mailchimp is busy, as long as retrying is safe."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass

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


@dataclass(eq=False)
class RetryingSender:
    """Sends the calls of one account through its API key's limiter, and retries them.

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
        """Returns a sender for calls that depend on each other: it has its own connection and sends each call once."""
        return self.limiter.reserve(self.sender, self.stop)

    def tries(self) -> Tries:
        """Returns the retry timer of a step whose tries each read before they write."""
        return Tries(self)

    def once(self, call: Call) -> Answer:
        """Sends the call once: for a write that depends on what was just read."""
        return self.limiter.send(self.sender, call, self.stop)

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


class Tries:
    """The tries of one call, or of one step of several calls."""

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
