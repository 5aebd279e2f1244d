"""What `forget` says was erased, and by whom."""

from __future__ import annotations

from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest

from worker.cli import forget
from worker.cli.forget import erased_in_words, others_in_words
from worker.errors import MailchimpError
from worker.mailchimp.answers import Answer
from worker.model import AccountId, AddressKey, ListId, MembershipKey
from worker.store.ledger import LedgerEntry

ANN = AddressKey("ann@example.com")
GONE = {"receipts": 2, "places": 1, "customers": 1, "dead letters": 0}


@pytest.mark.parametrize(
    ("by_worker", "said"),
    [
        (None, []),
        ("all", ["The running worker erased this, because it took its partition back from this command."]),
        ("part", ["The running worker erased part of this, because it took its partition back from this command."]),
    ],
)
def test_it_is_said_what_was_erased_and_whether_the_running_worker_did(by_worker: str | None, said: list[str]) -> None:
    """Each kind with its number, and in plain words who did it."""
    erased = "Erased of ann@example.com from this worker's database: 2 receipts, 1 list entry, 1 customer."
    assert list(erased_in_words(ANN, GONE, by_worker, any_unconnected=True)) == [erased, *said]


def test_an_address_that_nobody_had_is_said_to_be_unknown() -> None:
    """With the hint that it may be a typing error."""
    (said,) = erased_in_words(ANN, dict.fromkeys(GONE, 0), None, any_unconnected=False)
    assert said == "This worker knows nothing about ann@example.com. Check the spelling."


def test_customers_without_addresses_may_include_the_person() -> None:
    """No address of an account that is not connected is stored, so the request waits for the account."""
    _, said = erased_in_words(ANN, dict.fromkeys(GONE, 0), None, any_unconnected=True)
    assert said == (
        "Customers of accounts that are not connected are staged without their addresses. If the person is one of "
        "them, the worker erases it once the account is connected."
    )


@pytest.mark.parametrize(
    ("members", "now"),
    [
        ([], ""),
        (["worker-1 on 10.0.0.1"], ""),
        (["worker-1 on 10.0.0.1", "worker-11 on 10.0.0.2"], " (1 other worker in the group now)"),
        (["worker-2 on 10.0.0.1", "worker-3 on 10.0.0.2"], " (2 other workers in the group now)"),
    ],
)
def test_only_other_workers_are_counted_as_others(members: list[str], now: str) -> None:
    """The worker of this database is none of them, whether it runs or not; one that is away erases too."""
    told = others_in_words(members, "worker-1")
    assert told.startswith(f"Every other worker erases its own copy, even one that is away{now}. ")


@pytest.mark.parametrize(
    ("answer", "archived"),
    [
        (Answer(204), True),
        (Answer(404, {}), True),
        (Answer(405, {}), True),
        (Answer(200), False),
        (Answer(200, {}), False),
        (Answer(503), False),
    ],
)
def test_nothing_is_erased_unless_mailchimp_confirms_the_archive(answer: Answer, archived: bool) -> None:
    """A proxy's page is no confirmation."""
    app: Any = SimpleNamespace(
        open_client_of=lambda db, account_id: nullcontext(SimpleNamespace(send=lambda call: answer))
    )
    db: Any = None
    entry = LedgerEntry(MembershipKey(ListId("m1"), ANN), None, "present", "added", "now")
    if archived:
        forget._archive(app, db, AccountId("acct-1"), entry)
        return
    with pytest.raises(MailchimpError) as caught:
        forget._archive(app, db, AccountId("acct-1"), entry)
    assert caught.value.message.startswith("Nothing was erased: ")
