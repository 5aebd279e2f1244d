"""The worker's calls, and the check itself, against Mailchimp's published API description."""

from datetime import UTC, datetime

import pytest

from tests.contract.published import check_answer, check_request, needed
from tests.contract.world import LIST, World, contact, member
from worker.mailchimp import calls
from worker.mailchimp.answers import Answer, AnswerClass, classify_empty
from worker.mailchimp.calls import Call
from worker.mailchimp.user import ROOT
from worker.model import AddressKey, ListId, MembershipKey

PLACE = MembershipKey(ListId(LIST), AddressKey("ann@example.com"))
FIELDS = {"FNAME": "Ann", "ADDRESS": {"addr1": "1 High St", "city": "Leeds", "state": "W", "zip": "LS1"}}

pytestmark = needed


@pytest.mark.parametrize(
    "call",
    [
        ROOT,
        calls.any_archived(PLACE.list_id),
        calls.archived_page(PLACE.list_id, 1000),
        calls.archived_since(PLACE.list_id, datetime(2026, 11, 22, 10, tzinfo=UTC)),
        calls.members(PLACE.list_id, "all", None, 0),
        calls.members(PLACE.list_id, "archived", "2026-11-22T10:00:00.000Z", 999),
        calls.add_all(PLACE.list_id, [calls.contact("ann@example.com", "subscribed", FIELDS)]),
        calls.add_one(PLACE, "ann@example.com", "pending", FIELDS),
        calls.update(PLACE, FIELDS),
        calls.rename(PLACE, "ann@example.org", FIELDS),
        calls.read(PLACE),
        calls.read_tags(PLACE),
        calls.read_all_tags(PLACE),
        calls.tag(PLACE, ["vip"], ["old"]),
        calls.read_list(PLACE.list_id),
        calls.archive(PLACE),
        calls.unsubscribe(PLACE),
        calls.restore(PLACE, "ann@example.com", "unsubscribed", FIELDS),
    ],
    ids=str,
)
def test_every_call_of_a_flush_is_published(call: Call):
    """Each call that a flush makes has the path, parameters and body that Mailchimp published."""
    check_request(call)


@pytest.mark.parametrize("call", [calls.tag(PLACE, ["vip"], []), calls.archive(PLACE)], ids=str)
def test_tags_and_archives_are_done_only_by_an_answer_without_content(call: Call):
    """For these two, 204 is the only published success; a page or an object is an answer of somebody in between."""
    assert classify_empty(Answer(204)).kind is AnswerClass.DONE
    check_answer(call, Answer(204))
    for answer in (Answer(200), Answer(200, {}), Answer(202), Answer(201, {"status": "archived"})):
        assert classify_empty(answer).kind is AnswerClass.LATER
        with pytest.raises(AssertionError):
            check_answer(call, answer)


@pytest.mark.parametrize(
    "call",
    [
        Call("GET", "/nowhere"),
        Call("POST", "/ping"),
        Call("GET", "/lists", {"page": "2"}),
        Call("GET", f"/lists/{LIST}/members", {"count": "1001"}),
        Call("GET", f"/lists/{LIST}/members", {"status": "gone"}),
        Call("POST", f"/lists/{LIST}", {"skip_merge_validation": "yes"}, {"members": []}),
        Call("POST", f"/lists/{LIST}"),
        Call("POST", f"/lists/{LIST}", {}, {"members": [{**contact("a@example.com"), "state": "subscribed"}]}),
        Call("POST", f"/lists/{LIST}", {}, {"members": [contact("a@example.com", "archived")]}),
        Call("PUT", member("a@example.com"), {}, {"email_address": "a@example.com"}),
        Call("PATCH", member("a@example.com"), {}, {"id": "0"}),
        Call("DELETE", member("a@example.com"), {}, {"status": "archived"}),
    ],
    ids=str,
)
def test_the_check_finds_what_is_not_published(call: Call):
    """A path, method, parameter, value or member of a body that Mailchimp does not have fails the check."""
    with pytest.raises(AssertionError):
        check_request(call)


@pytest.mark.parametrize(
    "answer",
    [
        Answer(201, {"members": []}),
        Answer(200, {"membres": []}),
        Answer(200, {"members": [{"status": "gone"}]}),
        Answer(200, {"members": [{"last_changed": "yesterday"}]}),
        Answer(200, None),
        Answer(404, {"title": "Resource Not Found"}),
        Answer(404, {"type": "", "title": "", "status": 400, "detail": "", "instance": ""}),
    ],
)
def test_the_check_finds_answers_that_are_not_published(answer: Answer):
    """A status, member or value that Mailchimp does not answer with fails the check."""
    with pytest.raises(AssertionError):
        check_answer(Call("GET", f"/lists/{LIST}/members"), answer)


def test_every_status_is_reported_as_published(world: World):
    """Members of every status, in a list with every kind of field, have the shape that Mailchimp published."""
    for number, acts in enumerate(((), ("sign up",), ("unsubscribe",), ("clean",), ("archive",))):
        world.become(f"a{number}@example.com", *acts)
    world.put("buyer@example.com", status_if_new="transactional", merge_fields=FIELDS)
    for status in ("subscribed", "pending", "unsubscribed", "cleaned", "archived", "transactional"):
        answer = world.get(f"/lists/{LIST}/members", status=status)
        assert answer.body is not None
        assert answer.body["total_items"] == 1, status
