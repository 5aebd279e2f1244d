"""One person: what happened to them and why, in plain words, with their current status in Mailchimp."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

from starlette.responses import Response

from worker.accounts.settings import missing
from worker.clock import as_moment
from worker.errors import NotFound
from worker.model import is_address
from worker.plan.outcomes import MEANINGS, NOTICED_DAILY, Outcome
from worker.status.explanation import Explanation, LiveMember
from worker.store.customer_outcomes import NO_MEMBER
from worker.store.receipts import Receipt
from worker.web.account_reader import Person, people_at
from worker.web.call import Call
from worker.web.pages.layout import page, when
from worker.web.pages.people import TONES, name_of
from worker.web.pages.words import LIST_REASONS, Group, list_name, of_status, words_of

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
        "next": next_of(explanation, person.live, when(call, call.next_flush)),
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
    if live is not None and live.status is not None and live.problem is None:
        return f"{of_status(live.status).capitalize()} on “{list_name(explanation.settings, live.membership.list_id)}”."
    if news is not None and news.member_status != NO_MEMBER:
        return f"{of_status(news.member_status).capitalize()} on “{list_name(explanation.settings, news.list_id)}”."
    if explanation.receipts:
        return words_of(explanation.receipts[-1].outcome).sentence
    return "Known here, and not on a list yet." if customer is not None else "No longer one of your customers."


def next_of(explanation: Explanation, live: LiveMember | None, next_sync: str) -> str:
    """Returns what happens next to a person.

    Args:
        live: the member's current state in Mailchimp; None if it was not read.
        next_sync: when the next sync is: "today at 10:00".
    """
    customer, last = explanation.customer, explanation.receipts[-1] if explanation.receipts else None
    if customer is None:
        return "Nothing: this customer is no longer in billmywork."
    if live is not None and live.status == "unsubscribed":
        return NEXT_AFTER[Outcome.LEFT]
    waits_for_owner = last is not None and last.revision == customer.revision and last.outcome == Outcome.HELD
    if customer.changed and not waits_for_owner:
        if explanation.settings is None or missing(explanation.settings):
            return "They are sent once the settings are complete. See Settings."
        return f"They are sent by the next sync, {next_sync}."
    latest = explanation.newer_outcome or last
    if latest is None:
        return NOTHING
    if latest.next == NOTICED_DAILY:
        return NEXT_AFTER[Outcome.LEFT]
    next_step = NEXT_AFTER.get(Outcome(latest.outcome)) if latest.outcome in MEANINGS else None
    return next_step or NOTHING


def _news(call: Call, explanation: Explanation) -> Iterator[dict[str, Any]]:
    # What was read after the last receipt, or all that survives of a lost database.
    if (news := explanation.newer_outcome) is None:
        return
    member = news.member_status != NO_MEMBER
    label = of_status(news.member_status) if member else words_of(news.outcome).label
    yield {
        "when": when(call, news.since),
        "label": label,
        "tone": TONES[words_of(news.outcome).group],
        "sentence": BY[news.caused_by],
        "place": f"List: {list_name(explanation.settings, news.list_id)}." if news.list_id is not None else "",
    }


def _event(call: Call, explanation: Explanation, receipt: Receipt) -> dict[str, Any]:
    words = words_of(receipt.outcome)
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
    return {"text": f"{of_status(live.status).capitalize()} on “{name}”", "note": since}
