"""Faults to inject into the stand-in: what goes wrong, for which calls, and how often."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from worker.mailchimp.answers import Answer
from worker.mailchimp.calls import Call

Kind = Literal[
    "status", "bare", "status_after", "bare_after", "page", "garbled", "lacking", "cut", "timeout_before",
    "timeout_after",
]  # fmt: skip
"""What Mailchimp does and answers.

status, bare: a problem document, or a status without JSON; not carried out · status_after, bare_after: the same, but
carried out · page: 200 with a proxy's web page; not carried out · garbled: 200 without JSON; carried out · lacking: 200
with an empty object; carried out · cut: carried out, and the connection ends within the answer · timeout_before,
timeout_after: no answer; not carried out, or carried out.
"""

DONE_FIRST: frozenset[Kind] = frozenset({"status_after", "bare_after", "garbled", "lacking", "cut", "timeout_after"})
"""Faults that occur after Mailchimp has carried out the call."""


@dataclass(slots=True)
class Fault:
    """A fault and the calls that it affects.

    Attributes:
        method: regular expression; matches the whole method.
        path: regular expression, searched in the path.
        key: regular expression, searched in the API key.
        times: how many more calls it affects; None for all.
        chance: probability that it affects a matching call, from 0 to 1.
    """

    kind: Kind
    method: str = ".*"
    path: str = ""
    key: str = ""
    status: int = 500
    title: str = "Internal Server Error"
    times: int | None = None
    chance: float = 1.0

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Fault:
        """Returns the fault in a request to the control endpoint.

        Raises:
            TypeError: it has an unknown field.
            ValueError: its kind is unknown, or a regular expression is invalid.
        """
        fault = cls(**data)
        if fault.kind not in get_args(Kind):
            raise ValueError(f"kind must be one of {', '.join(get_args(Kind))}")
        for expression in (fault.method, fault.path, fault.key):
            try:
                re.compile(expression)
            except re.error as error:
                raise ValueError(f"{expression} is no regular expression: {error}") from error
        return fault

    def meets(self, key: str, call: Call, chance: random.Random) -> bool:
        """Returns whether it affects this call with this API key; if so, counts the call."""
        if self.times == 0 or not re.fullmatch(self.method, call.method):
            return False
        if not re.search(self.path, call.path) or not re.search(self.key, key):
            return False
        if chance.random() >= self.chance:
            return False
        if self.times is not None:
            self.times -= 1
        return True

    def answer(self) -> Answer:
        """Returns the answer to send instead."""
        match self.kind:
            case "status" | "status_after":
                body = {"type": "about:blank", "title": self.title, "status": self.status, "detail": "", "instance": ""}
                return Answer(self.status, body)
            case "bare" | "bare_after":
                return Answer(self.status)
            case "page" | "garbled":
                return Answer(200)
            case "lacking":
                return Answer(200, {})
            case "cut":
                return Answer(None, failure="connection")
            case "timeout_before" | "timeout_after":
                return Answer(None, failure="timeout")
