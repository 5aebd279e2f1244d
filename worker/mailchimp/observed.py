"""Calls as the log and the metrics show them: without addresses, their hashes, or keys."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass

from worker.mailchimp.answers import Answer
from worker.mailchimp.calls import Call, Sender
from worker.metrics import Metrics
from worker.model import AccountId

log = logging.getLogger("worker.mailchimp")

_MEMBER = re.compile(r"(/members)/[^/]+")
_KINDS = {
    ("GET", "/"): "account",
    ("GET", "/lists"): "read_lists",
    ("GET", "/lists/…"): "read_list",
    ("POST", "/lists/…"): "add_members",
    ("GET", "/lists/…/merge-fields"): "read_merge_fields",
    ("GET", "/lists/…/members"): "read_members",
    ("GET", "/lists/…/members/…"): "read_member",
    ("PUT", "/lists/…/members/…"): "put_member",
    ("PATCH", "/lists/…/members/…"): "update_member",
    ("DELETE", "/lists/…/members/…"): "archive_member",
    ("GET", "/lists/…/members/…/tags"): "read_tags",
    ("POST", "/lists/…/members/…/tags"): "tag_member",
}
KINDS = (*_KINDS.values(), "other")


def kind_of(call: Call) -> str:
    """Returns what a call does, in one of few words."""
    parts = call.path.split("/")
    parts[2::2] = ["…" if part else "" for part in parts[2::2]]  # ids
    return _KINDS.get((call.method, "/".join(parts)), "other")


def answer_of(answer: Answer) -> str:
    """Returns the result of a call as a metric label: a status class, ``throttled``, or the failure."""
    if answer.failure is not None:
        return answer.failure
    return "throttled" if answer.throttled else f"{(answer.status or 0) // 100}xx"


def shown_path(call: Call) -> str:
    """Returns a call's path without the hash of an address, from which the address can be guessed."""
    return _MEMBER.sub(r"\1/…", call.path)


@dataclass(frozen=True, slots=True)
class ObservedSender:
    """Counts calls and logs each at debug level.

    Attributes:
        account_id: the account that makes the calls; None if it is unknown.
    """

    sender: Sender
    metrics: Metrics
    account_id: AccountId | None = None

    def send(self, call: Call) -> Answer:
        """Sends one call and waits for its answer."""
        answer = self.sender.send(call)
        self.metrics.called(kind_of(call), answer_of(answer), answer.seconds)
        if log.isEnabledFor(logging.DEBUG):
            facts = {
                "account": self.account_id,
                "method": call.method,
                "path": shown_path(call),
                "answer": answer.status or answer.failure,
                "milliseconds": round(answer.seconds * 1000),
            }
            log.debug("called Mailchimp", extra=facts)
        return answer
