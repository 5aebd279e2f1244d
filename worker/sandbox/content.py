"""The initial content of the stand-in: three accounts with several lists each, and members of every status."""

from __future__ import annotations

from dataclasses import dataclass, replace

from worker.sandbox.audit import BY_HAND
from worker.sandbox.merge import MergeField
from worker.sandbox.server_state import StandIn


@dataclass(frozen=True, slots=True)
class ListContent:
    """The initial content of a list.

    Attributes:
        members: number of subscribed members that this worker did not add.
    """

    list_id: str
    name: str
    members: int = 0


@dataclass(frozen=True, slots=True)
class AccountContent:
    """The initial content of one Mailchimp account."""

    account_id: str
    api_key: str
    lists: tuple[ListContent, ...]


ACCOUNTS = (
    AccountContent(
        "leeds-plumbing",
        "5a0db0c5e5a0db0c5e5a0db0c5e00001-us1",
        (
            ListContent("a1b2c3d4e5", "All customers", 20),
            ListContent("a1b2c3d4e6", "Boiler care plan", 5),
            ListContent("a1b2c3d4e7", "Newsletter (old)", 3),
        ),
    ),
    AccountContent(
        "harbour-books",
        "5a0db0c5e5a0db0c5e5a0db0c5e00002-us1",
        (ListContent("b1b2c3d4e5", "Readers", 10), ListContent("b1b2c3d4e6", "Trade", 2)),
    ),
    AccountContent(
        "acme-rentals",
        "5a0db0c5e5a0db0c5e5a0db0c5e00003-us2",
        (ListContent("c1b2c3d4e5", "Renters"), ListContent("c1b2c3d4e6", "Owners")),
    ),
)


def seed(standin: StandIn) -> None:
    """Fills a stand-in, always with the same content."""
    for account in ACCOUNTS:
        standin.add_key(account.api_key, account.account_id)
        for content in account.lists:
            mailing_list = standin.create_list(account.account_id, content.list_id, content.name)
            for number in range(content.members):
                mailing_list.insert(f"member{number}@{account.account_id}.example", "subscribed", {}, BY_HAND)
    _particulars(standin)


def _particulars(standin: StandIn) -> None:
    everybody = standin.find_list("a1b2c3d4e5")
    plans = ("Silver", "Gold")
    everybody.fields["PLAN"] = MergeField(len(everybody.fields) + 1, "PLAN", "Care plan", "dropdown", choices=plans)
    trade = standin.find_list("b1b2c3d4e6")
    del trade.fields["COMPANY"]
    owners = standin.find_list("c1b2c3d4e6")
    owners.fields["PHONE"] = replace(owners.fields["PHONE"], phone_format="US")
    owners.fields["FNAME"] = replace(owners.fields["FNAME"], required=True)
    for email, action in (
        ("left@leeds-plumbing.example", "unsubscribe"),
        ("bounced@leeds-plumbing.example", "clean"),
        ("archived@leeds-plumbing.example", "archive"),
        ("forgotten@leeds-plumbing.example", "forget"),
    ):
        standin.by_hand("a1b2c3d4e5", email, "subscribe")
        standin.by_hand("a1b2c3d4e5", email, action)
    standin.by_hand("a1b2c3d4e5", "unconfirmed@leeds-plumbing.example", "sign up")
    buyers = standin.find_list("a1b2c3d4e5")
    buyers.insert("buyer@leeds-plumbing.example", "transactional", {}, BY_HAND)
