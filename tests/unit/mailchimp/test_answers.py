"""How answers are sorted."""

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.mailchimp.answers import Answer, AnswerClass, Failure, classify, classify_read, sort_contact_error


def problem(status: int, title: str, *fields: str) -> Answer:
    """A problem document as Mailchimp writes it."""
    errors = [{"field": field, "message": "mensaje traducido"} for field in fields]
    return Answer(status, {"title": title, "status": status, "detail": "…", **({"errors": errors} if errors else {})})


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (Answer(200, {}), AnswerClass.DONE),
        (Answer(204), AnswerClass.DONE),
        (problem(400, "Member Exists"), AnswerClass.EXISTS),
        (problem(400, "Member In Compliance State"), AnswerClass.BARRED),
        (problem(400, "Forgotten Email Not Subscribed"), AnswerClass.BARRED),
        (problem(400, "Invalid Resource"), AnswerClass.UNCLEAR),
        (problem(400, "Invalid Resource", "email_address"), AnswerClass.BAD_ADDRESS),
        (problem(400, "Invalid Resource", "PHONE"), AnswerClass.FIELD),
        (problem(400, "A Title Of Tomorrow"), AnswerClass.UNCLEAR),
        (problem(401, "API Key Invalid"), AnswerClass.ACCOUNT_STOPPED),
        (problem(403, "User Disabled"), AnswerClass.ACCOUNT_STOPPED),
        (Answer(403), AnswerClass.LATER),
        (problem(404, "Resource Not Found"), AnswerClass.NOT_THERE),
        (problem(405, "Method Not Allowed"), AnswerClass.NOT_ALLOWED),
        (problem(429, "Too Many Requests"), AnswerClass.LATER),
        (Answer(500), AnswerClass.LATER),
        (Answer(503, {"title": "x"}), AnswerClass.LATER),
        (Answer(302), AnswerClass.LATER),
        (Answer(None, failure="timeout"), AnswerClass.LATER),
        (Answer(None, failure="connection"), AnswerClass.LATER),
    ],
)
def test_each_answer_falls_into_its_class(answer, kind):
    """Answers are sorted by status, title and field."""
    assert classify(answer).kind is kind


@pytest.mark.parametrize("title", ["Invalid Resource", "Member Exists", "Forgotten Email Not Subscribed"])
def test_a_read_refuses_no_contact(title: str) -> None:
    """Whatever is wrong with it, the next flush tries again."""
    for fields in ((), ("email_address",), ("PHONE",)):
        assert classify_read(problem(400, title, *fields)).kind is AnswerClass.LATER
    assert classify_read(Answer(418, {})).kind is AnswerClass.LATER
    assert classify_read(problem(404, "Resource Not Found")).kind is AnswerClass.NOT_THERE


def test_a_refused_part_of_an_address_names_the_field():
    """A refusal of ADDRESS.zip is one of the field ADDRESS, which is what was sent."""
    assert classify(problem(400, "Invalid Resource", "ADDRESS.zip", "ADDRESS.city")).fields == ("ADDRESS",)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"error_code": "ERROR_CONTACT_EXISTS"}, AnswerClass.EXISTS),
        ({"error_code": "ERROR_GENERIC"}, AnswerClass.UNCLEAR),
        ({"error_code": "ERROR_GENERIC", "field": ""}, AnswerClass.UNCLEAR),
        ({"error_code": "ERROR_GENERIC", "field": "email_address"}, AnswerClass.BAD_ADDRESS),
        ({"error_code": "ERROR_GENERIC", "field": "PHONE"}, AnswerClass.FIELD),
        ({}, AnswerClass.UNCLEAR),
        ({"error_code": 7, "field": ["x"]}, AnswerClass.UNCLEAR),
    ],
)
def test_each_error_of_a_batch_falls_into_its_class(error, kind):
    """Errors of single contacts in a batch are sorted by code and field."""
    assert sort_contact_error(error).kind is kind


@given(
    st.integers(100, 599),
    st.none() | st.dictionaries(st.text(max_size=8), st.recursive(st.none() | st.text(), st.lists), max_size=4),
)
def test_no_answer_is_too_strange_to_sort(status, body):
    """Whatever Mailchimp answers, it is sorted, and only a 2xx is done."""
    classified = classify(Answer(status, body))
    assert (classified.kind is AnswerClass.DONE) == (200 <= status < 300)


@given(st.sampled_from([401, 403, 429, 500, 502, 503, 504]), st.booleans())
def test_what_may_pass_settles_nobody(status, with_json):
    """401, 403, 429 and 5xx say nothing about a contact: they are never a refusal of it."""
    answer = problem(status, "Invalid Resource", "email_address") if with_json else Answer(status)
    assert classify(answer).kind in (AnswerClass.LATER, AnswerClass.ACCOUNT_STOPPED)


@pytest.mark.parametrize("failure", [one for one in get_args(Failure) if one not in ("stale", "certificate")])
def test_why_there_is_no_answer_is_said_in_words(failure: Failure) -> None:
    """Operators read it in receipts and in the result of a flush; a certificate's failure has its own reason."""
    assert len(classify(Answer(None, failure=failure)).title.split()) > 3
