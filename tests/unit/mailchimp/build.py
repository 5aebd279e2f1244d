"""A Mailchimp that answers from a list, and time that only waiting moves."""

from __future__ import annotations

from math import inf

from worker.mailchimp.answers import Answer
from worker.mailchimp.calls import Call


class Scripted:
    """Answers call after call in order, and notes them."""

    def __init__(self, *answers: Answer) -> None:
        """Takes the answers."""
        self.answers = list(answers)
        self.calls: list[Call] = []

    def send(self, call: Call) -> Answer:
        """Returns the next answer."""
        self.calls.append(call)
        return self.answers.pop(0)


class Time:
    """A clock that only waiting moves, and a stop that may come during a wait."""

    def __init__(self, stop_at: float = inf) -> None:
        """Begins at 0."""
        self.now, self.stop_at = 0.0, stop_at
        self.waits: list[float] = []

    def __call__(self) -> float:
        """The seconds."""
        return self.now

    def is_set(self) -> bool:
        """Whether it is time to stop."""
        return self.now >= self.stop_at

    def wait(self, timeout: float) -> bool:
        """Waits; returns whether it is time to stop."""
        self.waits.append(timeout)
        self.now = min(self.now + timeout, self.stop_at)
        return self.is_set()
