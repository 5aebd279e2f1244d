"""What log and metrics show of a call."""

from __future__ import annotations

import inspect
import logging
from datetime import UTC, datetime

import pytest

from worker.mailchimp import calls
from worker.mailchimp.answers import Answer, Failure
from worker.mailchimp.calls import Call, member_hash, member_path
from worker.mailchimp.observed import KINDS, ObservedSender, answer_of, kind_of
from worker.mailchimp.user import ROOT
from worker.metrics import Metrics
from worker.model import AccountId, AddressKey, ListId, MembershipKey

ANN, LIST = AddressKey("ann@example.com"), ListId("a1b2c3")
MEMBER = MembershipKey(LIST, ANN)


class Answers:
    """Answers every call alike."""

    def send(self, call: Call) -> Answer:
        """Returns a missing member."""
        return Answer(404, {}, seconds=0.1234)


@pytest.mark.parametrize(
    ("call", "kind"),
    [
        (ROOT, "account"),
        (Call("GET", "/lists"), "read_lists"),
        (Call("GET", "/lists/a1/merge-fields"), "read_merge_fields"),
        (calls.read_list(LIST), "read_list"),
        (calls.add_all(LIST, []), "add_members"),
        (calls.read(MEMBER), "read_member"),
        (calls.archive(MEMBER), "archive_member"),
        (calls.read_all_tags(MEMBER), "read_tags"),
        (calls.tag(MEMBER, ["vip"], []), "tag_member"),
        (Call("PUT", member_path(LIST, ANN)), "put_member"),
        (Call("PATCH", member_path(LIST, ANN)), "update_member"),
        (Call("GET", "/lists/a1/members"), "read_members"),
        (Call("GET", "/campaigns"), "other"),
    ],
)
def test_every_call_has_one_of_few_kinds(call: Call, kind: str) -> None:
    """Whatever list or member it names."""
    assert kind_of(call) == kind
    assert kind in KINDS


ARGUMENTS = {
    "membership": MEMBER, "list_id": LIST, "address": ANN, "status": "subscribed", "fields": {}, "contacts": [],
    "since": datetime(2026, 11, 29, tzinfo=UTC), "offset": 0, "add": [], "remove": [],
}  # fmt: skip
"""By the name of a parameter."""


@pytest.mark.parametrize(
    "name",
    [
        name
        for name, item in vars(calls).items()
        if inspect.isfunction(item) and item.__annotations__.get("return") == "Call"
    ],
)
def test_every_call_of_a_flush_has_a_kind_of_its_own(name: str) -> None:
    """No function that builds a call of a flush builds one that counts as other."""
    build = getattr(calls, name)
    known = ARGUMENTS | {"since": None} if name == "members" else ARGUMENTS
    arguments = {parameter: known[parameter] for parameter in inspect.signature(build).parameters}
    assert kind_of(build(**arguments)) != "other"


@pytest.mark.parametrize(
    ("status", "body", "failure", "expected"),
    [
        (204, None, None, "2xx"),
        (403, {}, None, "4xx"),
        (403, None, None, "throttled"),
        (429, {}, None, "throttled"),
        (503, None, None, "5xx"),
        (None, None, "timeout", "timeout"),
    ],
)
def test_an_answer_is_counted_by_its_class(
    status: int | None, body: dict[str, str] | None, failure: Failure | None, expected: str
) -> None:
    """A refusal that asks for fewer calls is no refusal of what was asked."""
    assert answer_of(Answer(status, body, failure)) == expected


def test_a_call_is_counted_and_logged_at_debug_without_the_address(caplog: pytest.LogCaptureFixture) -> None:
    """Method, path, answer and milliseconds are fields; the hash of an address can be guessed, so it is left out."""
    metrics = Metrics()
    sender = ObservedSender(Answers(), metrics, AccountId("acct-1"))
    with caplog.at_level(logging.DEBUG, "worker.mailchimp"):
        sender.send(calls.read(MEMBER))
    (line,) = caplog.records
    facts = vars(line)
    assert line.levelno == logging.DEBUG
    assert {name: facts[name] for name in ("account", "method", "path", "answer", "milliseconds")} == {
        "account": "acct-1",
        "method": "GET",
        "path": f"/lists/{LIST}/members/…",
        "answer": 404,
        "milliseconds": 123,
    }
    assert member_hash(ANN) not in str(facts)
    assert metrics.calls == {("read_member", "4xx"): 1}
