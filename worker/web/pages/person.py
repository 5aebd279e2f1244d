"""One person: what happened to them and why, in plain words, with their current status in Mailchimp."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from starlette.responses import Response

from worker.clock import as_moment
from worker.errors import NotFound
from worker.model import is_address
from worker.plan.outcomes import Outcome
from worker.status.explanation import Explanation, LiveMember
from worker.store.customer_outcomes import NO_MEMBER
from worker.store.receipts import Receipt
from worker.web.account_reader import Person, people_at
from worker.web.call import Call
from worker.web.pages.layout import page, when
from worker.web.pages.next_steps import next_in_words
from worker.web.pages.people import TONES, name_of
from worker.web.pages.words import LIST_REASONS, Group, list_name, of_status, words_for, words_of

BY = {
    "person": "They did this themselves.",
    "mailchimp": "This was done in Mailchimp.",
    "billmywork": "This follows from a change in billmywork.",
    "worker": "We wait until something is confirmed or corrected.",
}
"""Who caused an outcome, in words."""


def show(call: Call) -> Response:
    """Shows the search, and everybody in the account who has or had the address."""
    email = call.query.get("email", "").strip()[:320]
    people: Sequence[Person] = ()
    if email and is_address(email):
        with suppress(NotFound):
            people = people_at(call, email)
    rows = [_row(call, person) for person in people]
    return page(call, "person.html", tab="/person", title="Find a person", email=email, people=rows)


def _row(call: Call, person: Person) -> dict[str, Any]:
    explanation = person.explanation
    address = explanation.customer.state.email if explanation.customer is not None else None
    return {
        "name": " · ".join(filter(None, (name_of(explanation.customer), address))) or str(explanation.customer_id),
        "now": in_short(explanation, person.live),
        "live": [_live(call, explanation, person.live)] if person.live is not None else [],
        "next": next_in_words(explanation.next_step(person.live), partial(when, call), when(call, call.next_flush)),
        "events": [
            *_news(call, explanation),
            *(_event(call, explanation, receipt) for receipt in reversed(explanation.receipts)),
        ],
    }


def in_short(explanation: Explanation, live: LiveMember | None) -> str:
    """Returns a person's current state in a sentence."""
    customer, news = explanation.customer, explanation.newer_outcome
    if customer is not None and customer.deleted:
        return "Deleted in billmywork."
    if live is not None and live.problem is None:
        return _status_on(explanation, live.status, live.membership.list_id)
    if news is not None and news.member_status != NO_MEMBER:
        return _status_on(explanation, news.member_status, news.list_id)
    if explanation.receipts:
        return words_for(explanation.receipts[-1]).sentence
    return "Known here, and not on a list yet." if customer is not None else "No longer one of your customers."


def _status_on(explanation: Explanation, status: str | None, list_id: str | None) -> str:
    name, address = list_name(explanation.settings, list_id), explanation.changed_address
    if status is None:
        return f"Not on “{name}”."
    under = f" as {address}: they changed their address in Mailchimp" if address is not None else ""
    return f"{of_status(status).capitalize()} on “{name}”{under}."


def _news(call: Call, explanation: Explanation) -> Iterator[dict[str, Any]]:
    # What was read after the last receipt, or all that survives of a lost database.
    if (news := explanation.newer_outcome) is None:
        return
    member = news.member_status != NO_MEMBER
    label = of_status(news.member_status) if member else words_of(news.outcome).label
    since, sentence, address = news.since, BY[news.caused_by], explanation.changed_address
    if address is not None and news.outcome == Outcome.GONE:
        # Its status is older, and Mailchimp does not tell when the address was changed.
        since, label = news.at, "with another address"
        sentence = f"They changed their address in Mailchimp to {address}. We noticed it then."
    yield {
        "when": when(call, since),
        "label": label,
        "tone": TONES[words_of(news.outcome).group],
        "sentence": sentence,
        "place": f"List: {list_name(explanation.settings, news.list_id)}." if news.list_id is not None else "",
    }


def _event(call: Call, explanation: Explanation, receipt: Receipt) -> dict[str, Any]:
    words = words_for(receipt)
    reason = LIST_REASONS.get(receipt.list_reason or "") if words.group is not Group.NOT_ADDED else None
    place = ""
    if receipt.list_id is not None:
        place = f"List: {list_name(explanation.settings, receipt.list_id)}{f', {reason}' if reason else ''}."
    return {
        "when": when(call, receipt.at),
        "label": words.label,
        "tone": TONES[words.group],
        "sentence": words.sentence,
        "place": place,
    }


def _live(call: Call, explanation: Explanation, live: LiveMember) -> dict[str, str]:
    name = list_name(explanation.settings, live.membership.list_id)
    if live.problem is not None:
        return {"text": "Mailchimp does not answer at the moment.", "note": "Try again later."}
    if live.status is None:
        return {"text": f"Not on “{name}”.", "note": ""}
    since = ""
    if live.last_changed:
        with suppress(ValueError):
            since = f"changed {when(call, as_moment(live.last_changed))}"
    under = "" if explanation.changed_address is None else f", as {live.membership.address}"
    return {"text": f"{of_status(live.status).capitalize()} on “{name}”{under}", "note": since}
