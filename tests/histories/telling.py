"""Whether receipts tell what happened: each against what its flush did, and what it did against the receipts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from tests.histories.facts import ON_LIST, Facts
from tests.histories.wire import Change, Exchange
from worker.sandbox.server_state import StandIn
from worker.store.receipts import Receipt

PUT = ("added", "moved", "renamed", "restored")
"""Outcomes that say that somebody was put somewhere."""


def judge_receipts(
    receipts: Sequence[Receipt], exchanges: Iterable[Exchange], facts: Facts, standin: StandIn, since: datetime
) -> list[str]:
    """Returns what the receipts of one flush that went through tell wrongly, or leave out.

    Args:
        receipts: the receipts.
        exchanges: its calls.
        facts: what is so.
        standin: what Mailchimp holds after the flush.
        since: when the flush began.
    """
    broken = []
    for receipt in receipts:
        if (wrong := _wrong(receipt, facts, standin, since)) is not None:
            to_whom = f"{receipt.customer_id} for {receipt.address} on {receipt.list_id}"
            broken.append(f"receipt of {to_whom}: {receipt.outcome}. {receipt.detail} And {wrong}")
    memberships = {(receipt.list_id, receipt.address) for receipt in receipts}
    for exchange in exchanges:
        for change in exchange.changes if exchange.answer.ok and exchange.answer.body != {} else ():
            if not any((change.list_id, email) in memberships for email in _emails(change)):
                broken.append(f"no receipt tells of {exchange.call}, which did: {change}")
    return broken


def _wrong(receipt: Receipt, facts: Facts, standin: StandIn, since: datetime) -> str | None:
    if receipt.list_id is None or receipt.address is None:
        return None
    spot = (str(receipt.list_id), str(receipt.address))
    if any(at >= since and membership == spot for at, membership in facts.actions):
        return None
    changes = [change for _, change in facts.effects if change.list_id == spot[0] and spot[1] in _emails(change)]
    if receipt.outcome in PUT:
        if not any(change.after is not None and change.after.status in ON_LIST for change in changes):
            return "no call ever put it there"
        status = _status(standin, spot)
        # Another call of the same flush may have taken it off again, for an event that came meanwhile.
        later = {change.after.status for change in changes if change.after is not None}
        renamed = any(change.after is not None and change.after.email != spot[1] for change in changes)
        if renamed and status is None:
            return None
        if status not in ON_LIST and status not in later and "archived" not in later:
            return f"it is {status}"
    for outcome in ("archived", "unsubscribed"):
        if receipt.outcome == outcome and not any(
            change.after is not None and change.after.status == outcome for change in changes
        ):
            if outcome == "archived" and facts.seemingly_archived(spot):
                continue
            return f"no call {outcome} it"
    return None


def _emails(change: Change) -> set[str]:
    return {member.email for member in (change.before, change.after) if member is not None}


def _status(standin: StandIn, spot: tuple[str, str]) -> str | None:
    try:
        member = standin.find_list(spot[0]).find(spot[1])
    except KeyError:
        return None
    return member.status if member is not None else None
