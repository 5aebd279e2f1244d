import hashlib
from typing import get_args

import pytest

from worker.mailchimp.answers import UNSENT, Answer, Failure
from worker.mailchimp.calls import Call, member_hash, member_path
from worker.model import AddressKey, ListId, address_key


def test_a_call_is_printed_with_method_path_and_query():
    """A call is printed as a person would write it, without its body."""
    assert str(Call("GET", "/ping")) == "GET /ping"
    assert str(Call("GET", "/lists", {"count": "1000", "offset": "0"})) == "GET /lists?count=1000&offset=0"
    assert str(Call("PATCH", "/lists/a/members/b", body={"status": "x"})) == "PATCH /lists/a/members/b"


@pytest.mark.parametrize(
    ("method", "reads"), [("GET", True), ("POST", False), ("PUT", False), ("PATCH", False), ("DELETE", False)]
)
def test_only_a_get_reads(method, reads):
    """Every method but GET may change something."""
    assert Call(method, "/ping").reads_only is reads


@pytest.mark.parametrize(
    ("status", "ok"), [(200, True), (204, True), (299, True), (199, False), (300, False), (400, False), (None, False)]
)
def test_an_answer_is_good_from_200_to_299(status, ok):
    """2xx is good; a redirect, a refusal and no answer are not."""
    assert Answer(status).ok is ok


@pytest.mark.parametrize("failure", get_args(Failure))
def test_a_call_is_unsent_only_where_that_is_sure(failure):
    """After a timeout, a broken connection or an answer that is not understood Mailchimp may have acted."""
    unsent = {"unconnected", "unknown_host", "certificate", "stopped", "stale"}
    assert Answer(None, failure=failure).unsent is (failure in unsent)
    assert set(get_args(Failure)) >= UNSENT


def test_an_answer_with_a_status_was_sent():
    """Whatever Mailchimp answered, it saw the call."""
    assert not Answer(500).unsent


@pytest.mark.parametrize(
    ("answer", "throttled"),
    [
        (Answer(429, {"title": "Too Many Requests"}), True),
        (Answer(429), True),
        (Answer(403), True),
        (Answer(403, {"title": "Forbidden"}), False),
        (Answer(403, {}), False),
        (Answer(503), False),
        (Answer(200), False),
        (Answer(None, failure="timeout"), False),
    ],
)
def test_a_429_and_a_403_without_json_ask_for_fewer_calls(answer, throttled):
    """Mailchimp's front door refuses with a 403 that is no JSON; one with a problem document is about the key."""
    assert answer.throttled is throttled


@pytest.mark.parametrize(
    ("answer", "title"),
    [
        (Answer(400, {"title": "Member Exists"}), "Member Exists"),
        (Answer(400, {"title": 5}), None),
        (Answer(400, {}), None),
        (Answer(400), None),
        (Answer(200, {"title": "A survey's"}), None),
        (Answer(None, failure="timeout"), None),
    ],
)
def test_the_title_is_a_problem_documents(answer, title):
    """Only an answer that is not 2xx has a title, and only where it is text."""
    assert answer.title == title


def test_a_member_is_named_by_the_hash_of_its_lowercased_address():
    """Addresses that differ in case or in space around them name the same member, by Mailchimp's documented MD5."""
    known = AddressKey("urist.mcvankab@freddiesjokes.com")
    assert member_hash(known) == hashlib.md5(b"urist.mcvankab@freddiesjokes.com").hexdigest()
    again = address_key("  Urist.McVankab@freddiesjokes.com ")
    assert again is not None
    assert member_path(ListId("a1"), again) == f"/lists/a1/members/{member_hash(known)}"
    assert member_hash(AddressKey("émile@example.com")) == hashlib.md5("émile@example.com".encode()).hexdigest()
