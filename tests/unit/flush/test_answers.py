"""How answers are sorted."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.flush.answers import AnswerClass, ClassifiedAnswer, classify, customer_status_after, sort_contact_error
from worker.mailchimp.call import Answer
from worker.model import AddressKey, CustomerId, ListId, MembershipKey
from worker.store.ledger import CustomerStatus

ANN = AddressKey("ann@example.com")
PLACE = MembershipKey(ListId("m1"), ANN)
NOW = datetime(2026, 11, 22, 10, tzinfo=UTC)


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


def test_an_unclear_refusal_is_tried_after_1_3_and_7_days_and_is_final_then():
    """A refusal that may pass is tried again after days, three times."""
    customer_status, seen = CustomerStatus(CustomerId("c")), []
    for _ in range(4):
        customer_status = customer_status_after(
            ClassifiedAnswer(AnswerClass.UNCLEAR, "Invalid Resource"), customer_status, PLACE, NOW
        )
        seen.append(customer_status.retry_at and customer_status.retry_at[:10])
    assert seen == ["2026-11-23", "2026-11-25", "2026-11-29", None]


def test_another_address_starts_the_tries_again():
    """What was refused of one address counts nothing against another."""
    before = CustomerStatus(CustomerId("c"), refusal="Invalid Resource", refused_address=ANN, attempts=3)
    after = customer_status_after(
        ClassifiedAnswer(AnswerClass.UNCLEAR, "Invalid Resource"),
        before,
        PLACE._replace(address=AddressKey("new@example.com")),
        NOW,
    )
    assert after.attempts == 1


def test_a_lasting_refusal_is_a_departure_from_the_refused_place():
    """In compliance state or forgotten: the address is refused, and the customer is known where somebody left."""
    barred = ClassifiedAnswer(AnswerClass.BARRED, "Member In Compliance State")
    after = customer_status_after(barred, CustomerStatus(CustomerId("c")), PLACE, NOW)
    assert (after.membership, after.refused_address, after.retry_at) == (PLACE, ANN, None)
    assert after.lasting
    elsewhere = MembershipKey(ListId("old"), ANN)
    assert customer_status_after(barred, CustomerStatus(CustomerId("c"), elsewhere), PLACE, NOW).membership == elsewhere
