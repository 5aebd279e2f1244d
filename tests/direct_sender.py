"""Calls to the stand-in without a network, for tests and properties that need speed."""

from __future__ import annotations

from dataclasses import dataclass

from worker.mailchimp.answers import Answer
from worker.mailchimp.calls import Call
from worker.sandbox.server_state import StandIn


@dataclass(frozen=True, slots=True)
class DirectSender:
    """A sender that hands its calls straight to a stand-in."""

    standin: StandIn
    api_key: str

    def send(self, call: Call) -> Answer:
        """Sends one call and returns its answer."""
        return self.standin.handle(self.api_key, call)
