"""The stand-in as one of several workers reaches it."""

from __future__ import annotations

import time
from typing import Any

from worker.mailchimp.answers import Answer
from worker.mailchimp.calls import Call
from worker.sandbox.server_state import StandIn


class Door:
    """A stand-in as one worker reaches it: counts that worker's calls, and may keep it waiting."""

    def __init__(self, standin: StandIn) -> None:
        self._standin = standin
        self.latency = 0.0
        self.calls: list[Call] = []
        self.written_at: list[float] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._standin, name)

    def in_flight(self, key: str) -> Any:
        """Counts the call as begun."""
        return self._standin.in_flight(key)

    def answer(self, key: str, call: Call, *, crowded: bool) -> Answer:
        """Notes a call, and that it writes."""
        self.calls.append(call)
        if not call.reads_only:
            self.written_at.append(time.monotonic())
        return self._standin.answer(key, call, crowded=crowded)
