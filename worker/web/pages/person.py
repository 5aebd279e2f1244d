"""One person: what happened to them and why, in plain words, with their current status in Mailchimp."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from starlette.responses import Response

from worker.accounts.settings import missing
from worker.clock import as_moment
from worker.errors import NotFound
from worker.model import is_address
from worker.plan.outcomes import MEANINGS, Outcome
from worker.status.explanation import Explanation, LiveMember
from worker.store.customer_outcomes import NO_MEMBER
from worker.store.receipts import Receipt
from worker.web.account_reader import Person, reader_of
from worker.web.call import Call
from worker.web.pages.layout import page, when
from worker.web.pages.people import TONES, name_of
from worker.web.pages.words import LIST_REASONS, Group, of_status, words_of

NEXT_AFTER = {
    Outcome.LEFT: "Only they can join again, by the sign-up form of your list.",
    Outcome.UNSUBSCRIBED: "Only they can join again, by the sign-up form of your list.",
    Outcome.GONE: "We do not put them back, because they may have left. They can join by your sign-up form.",
    Outcome.SUPPRESSED: "Nothing, until their address changes. Our support can let us try again.",
    Outcome.REFUSED: "We try again when their address changes, and a few times before that.",
    Outcome.NO_ADDRESS: "Add an email address in billmywork, and they are added by the next sync.",
    Outcome.WITHHELD: "Nothing, until they give their consent.",
    Outcome.HELD: "They are sent once you have confirmed or corrected what is waiting.",
}
BY = {
    "person": "They did this themselves.",
    "mailchimp": "This was done in Mailchimp.",
    "billmywork": "This follows from a change in billmywork.",
    "worker": "We wait until something is confirmed or corrected.",
}
"""Who caused an outcome, in words."""
NOTHING = "Nothing, until you change this customer in billmywork."


def show(call: Call) -> Response:
    """Shows the search, and everybody in the account who has or had the address."""
    email = call.query.get("email", "").strip()[:320]
    found = []
    if email and is_address(email):
        try:
            found = list(reader_of(call).person(email))
        except NotFound:
            found = []
    people = [_person(call, one) for one in found]
    return page(call, "person.html", tab="/person", title="Find a person", email=email, people=people)


def _person(call: Call, person: Person) -> dict[str, Any]:
    one = person.explanation
    known = name_of(one.customer)
    address = one.customer.state.email if one.customer is not None else None
    name = known or address or str(one.customer_id)
    return {
        "name": f"{known} · {address}" if known and address else name,
        "now": in_short(one, person.live),
        "live": [_live(call, one, person.live)] if person.live is not None else [],
        "next": next_of(one, person.live, when(call, reader_of(call).current_state().next_flush)),
        "events": [*_news(call, one), *(_event(call, one, receipt) for receipt in reversed(one.receipts))],
    }


def in_short(one: Explanation, live: LiveMember | None) -> str:
    """Returns a person's current state in a sentence."""
    if one.customer is not None and one.customer.deleted:
        return "Deleted in billmywork."
    if live is not None and live.status is not None and live.problem is None:
        return f"{of_status(live.status).capitalize()} on “{_list(one, live.membership.list_id)}”."
    if one.news is not None and one.news.member_status != NO_MEMBER:
        return f"{of_status(one.news.member_status).capitalize()} on “{_list(one, one.news.list_id)}”."
    if one.receipts:
        return words_of(one.receipts[-1].outcome).sentence
    return "Known here, and not on a list yet." if one.customer is not None else "No longer one of your customers."


def next_of(one: Explanation, live: LiveMember | None, next_sync: str) -> str:
    """Returns what happens next to a person.

    Args:
        live: the member's current state in Mailchimp; None if it was not read.
        next_sync: when the next sync is: "today at 10:00".
    """
    customer, last = one.customer, one.receipts[-1] if one.receipts else None
    if customer is None:
        return "Nothing: this customer is no longer in billmywork."
    if live is not None and live.status == "unsubscribed":
        return NEXT_AFTER[Outcome.LEFT]
    waits_for_owner = last is not None and last.revision == customer.revision and last.outcome == Outcome.HELD
    if customer.changed and not waits_for_owner:
        if one.settings is None or missing(one.settings):
            return "They are sent once the settings are complete. See Settings."
        return f"They are sent by the next sync, {next_sync}."
    known = one.news or last
    if known is None:
        return NOTHING
    next_step = NEXT_AFTER.get(Outcome(known.outcome)) if known.outcome in MEANINGS else None
    return next_step or NOTHING


def _news(call: Call, one: Explanation) -> Iterator[dict[str, Any]]:
    # What was read after the last receipt, or all that survives of a lost database.
    if (news := one.news) is None:
        return
    member = news.member_status != NO_MEMBER
    label = of_status(news.member_status) if member else words_of(news.outcome).label
    yield {
        "when": when(call, news.since),
        "label": label,
        "tone": TONES[words_of(news.outcome).group],
        "sentence": BY[news.caused_by],
        "place": f"List: {_list(one, news.list_id)}." if news.list_id is not None else "",
    }


def _event(call: Call, one: Explanation, receipt: Receipt) -> dict[str, Any]:
    said = words_of(receipt.outcome)
    reason = LIST_REASONS.get(receipt.list_reason or "") if said.group is not Group.NOT_ADDED else None
    place = ""
    if receipt.list_id is not None:
        place = f"List: {_list(one, receipt.list_id)}{f', {reason}' if reason else ''}."
    return {
        "when": when(call, receipt.at),
        "label": said.label,
        "tone": TONES[said.group],
        "sentence": said.sentence,
        "place": place,
    }


def _live(call: Call, one: Explanation, live: LiveMember) -> dict[str, str]:
    where = _list(one, live.membership.list_id)
    if live.problem is not None:
        return {"text": "Mailchimp does not answer at the moment.", "note": "Try again later."}
    if live.status is None:
        return {"text": f"Not on “{where}”.", "note": ""}
    since = ""
    if live.last_changed:
        try:
            since = f"changed {when(call, as_moment(live.last_changed))}"
        except ValueError:
            since = ""
    return {"text": f"{of_status(live.status).capitalize()} on “{where}”", "note": since}


def _list(one: Explanation, list_id: str | None) -> str:
    known = one.settings.list_of(list_id) if one.settings is not None else None
    return known.name if known is not None else str(list_id)
