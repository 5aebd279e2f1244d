import pytest

from tests.unit.mailchimp.build import Scripted
from worker.mailchimp.answers import Answer
from worker.mailchimp.paging import PAGE, garbled, read_all


def page(first, last, total):
    """A page of numbered objects."""
    return Answer(200, {"things": [{"id": number} for number in range(first, last)], "total_items": total})


def read(*answers):
    """What was read, and by what calls."""
    sender = Scripted(*answers)
    return read_all(sender, "/things", "things", {"fields": "things.id,total_items"}), sender.calls


@pytest.mark.parametrize("total", [0, 1, PAGE - 1, PAGE, PAGE + 1, 2 * PAGE, 2300])
def test_a_collection_is_read_whole_with_as_few_calls_as_there_are_pages(total):
    """However many there are, all are read in order, and no page is asked for that nothing is on."""
    pages = [page(first, min(first + PAGE, total), total) for first in range(0, max(total, 1), PAGE)]
    found, calls = read(*pages)
    assert [one["id"] for one in found] == list(range(total))
    assert [one.query["offset"] for one in calls] == [str(first) for first in range(0, max(total, 1), PAGE)]
    assert {one.query["count"] for one in calls} == {"1000"}
    assert {one.query["fields"] for one in calls} == {"things.id,total_items"}
    assert {one.path for one in calls} == {"/things"}


def test_pages_that_are_shorter_than_asked_for_are_read_on():
    """Where Mailchimp puts fewer on a page than it was asked for, reading goes on behind what came."""
    found, calls = read(page(0, 400, 1000), page(400, 1000, 1000))
    assert len(found) == 1000
    assert [one.query["offset"] for one in calls] == ["0", "400"]


def test_a_collection_that_shrinks_meanwhile_ends():
    """When things vanish while pages are read, the page with nothing on it ends the reading."""
    found, calls = read(page(0, 1000, 1001), page(0, 0, 1000))
    assert len(found) == 1000
    assert len(calls) == 2


def test_a_page_that_is_empty_too_early_is_garbled():
    """Where Mailchimp says that there is more but gives nothing, what is missing is not taken for gone."""
    found, calls = read(page(0, 1000, 2000), page(0, 0, 2000))
    assert isinstance(found, Answer)
    assert found.failure == "garbled"
    assert len(calls) == 2


@pytest.mark.parametrize(
    "answer", [Answer(404, {"title": "Resource Not Found"}), Answer(500), Answer(302), Answer(None, failure="timeout")]
)
def test_an_answer_that_is_no_good_ends_the_reading(answer):
    """A refusal or a failure, on whatever page, is what comes back; nothing more is asked."""
    assert read(answer)[0] == answer
    found, calls = read(page(0, 1000, 3000), answer)
    assert found == answer
    assert len(calls) == 2


@pytest.mark.parametrize(
    "body",
    [
        None,
        {},
        {"things": []},
        {"things": None, "total_items": 0},
        {"things": {}, "total_items": 0},
        {"things": [], "total_items": "0"},
        {"things": [], "total_items": None},
        {"things": ["no object"], "total_items": 1},
        {"things": [None], "total_items": 1},
    ],
)
def test_an_answer_that_is_not_as_documented_is_garbled(body):
    """A 2xx answer that lacks the collection or its total is never taken for an empty collection."""
    for answers in ((Answer(200, body),), (page(0, 1000, 2000), Answer(200, body))):
        found, _ = read(*answers)
        assert isinstance(found, Answer)
        assert (found.status, found.failure, found.ok) == (None, "garbled", False)


def test_a_garbled_answer_keeps_its_body_and_time():
    """The body is kept with an answer that cannot be used, so that an operator can look into it."""
    assert garbled(Answer(200, {"a": 1}, seconds=2.0)) == Answer(None, {"a": 1}, "garbled", 2.0)
