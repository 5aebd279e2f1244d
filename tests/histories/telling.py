"""Whether receipts tell what happened: each against what its flush did, and what it did against the receipts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from tests.histories.facts import THERE, Facts
from tests.histories.wire import Change, Exchange
from worker.sandbox.server_state import StandIn
from worker.store.receipts import Receipt

PUT = ("added", "moved", "renamed", "restored")
"""Outcomes that say that somebody was put somewhere."""


def judge_receipts(
    told: Sequence[Receipt], exchanges: Iterable[Exchange], facts: Facts, standin: StandIn, since: datetime
) -> list[str]:
    """Returns what the receipts of one flush that went through tell wrongly, or leave out.

    Args:
        told: the receipts.
        exchanges: its calls.
        facts: what is so.
        standin: what Mailchimp holds after the flush.
        since: when the flush began.
    """
    broken = [
        f"receipt of {one.customer_id} for {one.address} on {one.list_id}: {one.outcome}. {one.detail} And {wrong}"
        for one in told
        if (wrong := _wrong(one, facts, standin, since)) is not None
    ]
    memberships = {(one.list_id, one.address) for one in told}
    for exchange in exchanges:
        for change in exchange.changes if exchange.answer.ok and exchange.answer.body != {} else ():
            if not any((change.list_id, email) in memberships for email in _emails(change)):
                broken.append(f"no receipt tells of {exchange.call}, which did: {change}")
    return broken


def _wrong(one: Receipt, facts: Facts, standin: StandIn, since: datetime) -> str | None:
    if one.list_id is None or one.address is None:
        return None
    spot = (str(one.list_id), str(one.address))
    if any(at >= since and membership == spot for at, membership in facts.acts):
        return None
    done = [change for _, change in facts.effects if change.list_id == spot[0] and spot[1] in _emails(change)]
    if one.outcome in PUT:
        if not any(change.now is not None and change.now.status in THERE for change in done):
            return "no call ever put it there"
        status = _status(standin, spot)
        # Another call of the same flush may have taken it off again, for an event that came meanwhile.
        later = {change.now.status for change in done if change.now is not None}
        if status not in THERE and status not in later and "archived" not in later:
            return f"it is {status}"
    for outcome in ("archived", "unsubscribed"):
        if one.outcome == outcome and not any(
            change.now is not None and change.now.status == outcome for change in done
        ):
            if outcome == "archived" and facts.seemingly_archived(spot):
                continue
            return f"no call {outcome} it"
    return None


def _emails(change: Change) -> set[str]:
    return {one.email for one in (change.was, change.now) if one is not None}


def _status(standin: StandIn, spot: tuple[str, str]) -> str | None:
    try:
        member = standin.find_list(spot[0]).find(spot[1])
    except KeyError:
        return None
    return member.status if member is not None else None
