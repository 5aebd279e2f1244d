"""What a refusal means for a customer: whether and when it is sent again. Does no I/O."""

from __future__ import annotations

from datetime import datetime, timedelta

from worker.clock import as_text
from worker.mailchimp.answers import AnswerClass, ClassifiedAnswer
from worker.model import MembershipKey
from worker.store.ledger import CustomerStatus

RETRY_DAYS = (1, 3, 7)
"""Days to wait after a refusal that may be temporary; after the last one it is final."""


def customer_status_after(
    classified: ClassifiedAnswer, customer_status: CustomerStatus, place: MembershipKey, now: datetime
) -> CustomerStatus:
    """Returns the customer's status after a refusal.

    Args:
        classified: BAD_ADDRESS, BARRED or UNCLEAR.
        place: that was refused. A customer known nowhere else is known there if somebody left it.

    Returns:
        final, or with a time to retry after 1, 3 and 7 days. Never final at the first refusal for a title that does not
        say so by itself.
    """
    address, attempts, retry_at = place.address, 0, None
    if classified.kind is AnswerClass.UNCLEAR:
        same = customer_status.refused_address == address
        attempts = (customer_status.attempts if same else 0) + 1
        retry_at = as_text(now + timedelta(days=RETRY_DAYS[attempts - 1])) if attempts <= len(RETRY_DAYS) else None
    return CustomerStatus(
        customer_id=customer_status.customer_id,
        membership=customer_status.membership or (place if classified.kind is AnswerClass.BARRED else None),
        refusal=classified.title,
        refused_address=address,
        attempts=attempts,
        retry_at=retry_at,
    )
