"""A Mailchimp that answers from a list."""

from __future__ import annotations

from worker.mailchimp.call import Answer, Call


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
