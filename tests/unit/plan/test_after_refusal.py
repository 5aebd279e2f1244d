"""What a refusal means for a customer."""

from datetime import UTC, datetime

from worker.mailchimp.answers import AnswerClass, ClassifiedAnswer
from worker.model import AddressKey, CustomerId, ListId, MembershipKey
from worker.plan.after_refusal import customer_status_after
from worker.store.ledger import CustomerStatus

ANN = AddressKey("ann@example.com")
PLACE = MembershipKey(ListId("m1"), ANN)
NOW = datetime(2026, 11, 22, 10, tzinfo=UTC)


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
