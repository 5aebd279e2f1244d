"""Faults of the stand-in: what goes wrong, for which calls, how often."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from worker.mailchimp.call import Answer, Call

Kind = Literal[
    "status", "bare", "status_after", "bare_after", "page", "garbled", "lacking", "cut", "timeout_before",
    "timeout_after",
]  # fmt: skip
"""status, bare: a problem document, a status without JSON; not done · status_after, bare_after: the same, done ·
page: 200 with a web page of somebody in between; not done · garbled: 200 that is not JSON, done · lacking: 200 with an
empty object, done · cut: done, and the connection cut mid-answer · timeout_before, timeout_after: no answer; not done,
or done."""

DONE_FIRST: frozenset[Kind] = frozenset({"status_after", "bare_after", "garbled", "lacking", "cut", "timeout_after"})
"""Faults of an answer to a call that Mailchimp carried out."""


@dataclass(slots=True)
class Fault:
    """One fault.

    Attributes:
        method: regular expression of the methods it meets.
        path: regular expression found in the paths it meets.
        key: regular expression found in the API keys it meets.
        times: how many calls it still meets; None: all.
        chance: of meeting one of these, 0 to 1.
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
        """Returns the fault that a control call describes.

        Raises:
            TypeError: it has a member that no fault has.
            ValueError: it is of no known kind, or an expression is none.
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
        """Returns whether it meets this call with this API key, and counts it."""
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
        """Returns what comes back instead of the answer."""
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
