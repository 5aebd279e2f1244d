"""The people behind each number, one by one, and as comma-separated values."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import urlencode

from starlette.responses import Response

from worker.flush.outcomes import Outcome
from worker.model import Customer, CustomerId
from worker.store import customers, runs
from worker.store.accounts import AccountSettings
from worker.store.receipts import Receipt
from worker.web.pages.shown import SLUGS, page, reading_of, when
from worker.web.pages.words import LIST_REASONS, OUTCOMES, Group, run_in_words, words_of
from worker.web.problems import PageNotFound
from worker.web.routing import Call

MOST_SHOWN = 200
TONES = {
    Group.ADDED: "good",
    Group.UPDATED: "",
    Group.OFF: "",
    Group.NOT_ADDED: "warn",
    Group.WAITING: "bad",
    None: "",
}
_COLUMNS = ("time", "name", "email", "list", "what happened", "why", "customer id")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""Where a cell begins so, a spreadsheet would run it."""


def outcomes_of(group: str, outcome: str) -> tuple[str, ...] | None:
    """Returns the outcomes that a page is about; None for all of a sync.

    Args:
        group: a group's name in addresses, "missed" for all that were not added, "refused" for those Mailchimp refused.
        outcome: one outcome, which goes before the group.
    """
    if outcome in OUTCOMES:
        return (outcome,)
    if group == "refused":
        return (Outcome.REFUSED, Outcome.SUPPRESSED)
    wanted = {slug: (one,) for one, slug in SLUGS.items()} | {"missed": (Group.NOT_ADDED, Group.WAITING)}
    if group not in wanted:
        return None
    return tuple(one for one, said in OUTCOMES.items() if said.group in wanted[group])


def show(call: Call) -> Response:
    """Shows the people of a sync, or those of one outcome or group."""
    number, found = _found(call, MOST_SHOWN + 1)
    known, settings = _customers(call, found), reading_of(call).settings()
    rows = [_row(one, known.get(one.customer_id), settings) for one in reversed(found[-MOST_SHOWN:])]
    return page(
        call,
        "people.html",
        tab="/runs",
        title=_title(call, number),
        rows=rows,
        more=len(found) > MOST_SHOWN,
        query=_query(number, call.query.get("group", ""), call.query.get("outcome", "")),
        choices=_choices(call, number),
    )


def as_csv(call: Call) -> Response:
    """Returns the same people as a file for a spreadsheet, all of them."""
    number, found = _found(call, None)
    known, settings = _customers(call, found), reading_of(call).settings()
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(_COLUMNS)
    for one in found:
        row = _row(one, known.get(one.customer_id), settings)
        cells = (one.at, row["name"], row["email"], row["list"], row["label"], row["sentence"], one.customer_id)
        writer.writerow([_harmless(str(cell or "")) for cell in cells])
    name = f"mailchimp-sync-{number}.csv" if number is not None else "mailchimp-syncs.csv"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    # The mark tells spreadsheets that it is UTF-8.
    return Response("\ufeff" + out.getvalue(), headers=headers, media_type="text/csv; charset=utf-8")


def _harmless(cell: str) -> str:
    return f"'{cell}" if cell.startswith(_FORMULA) else cell


def _run_number(call: Call) -> int | None:
    given = call.query.get("run", "")
    if not given:
        return None
    if not (given.isascii() and given.isdecimal() and len(given) < 12):
        raise PageNotFound("There is no such sync.", "Choose one under Syncs.")
    return int(given)


def _found(call: Call, limit: int | None) -> tuple[int | None, list[Receipt]]:
    number = _run_number(call)
    chosen = outcomes_of(call.query.get("group", ""), call.query.get("outcome", ""))
    reading = reading_of(call)
    if chosen is None:
        return number, reading.receipts(run=number, limit=limit)
    parts = [reading.receipts(run=number, outcome=Outcome(one), limit=limit) for one in chosen]
    found = sorted((receipt for part in parts for receipt in part), key=lambda one: one.at)
    return number, found if limit is None else found[-limit:]


def _customers(call: Call, found: Iterable[Receipt]) -> dict[CustomerId, Customer]:
    ids = list(dict.fromkeys(one.customer_id for one in found))
    return {one.customer_id: one for one in customers.by_ids(call.db, call.account, ids)}


def name_of(customer: Customer | None) -> str:
    """Returns a customer's name, or the company's; "" where it is not known."""
    if customer is None:
        return ""
    state = customer.state
    return " ".join(filter(None, (state.first_name, state.last_name))).strip() or (state.company or "")


def _row(one: Receipt, customer: Customer | None, settings: AccountSettings) -> dict[str, Any]:
    said, known = words_of(one.outcome), settings.list_of(one.list_id)
    reason = LIST_REASONS.get(one.list_reason or "")
    return {
        "name": name_of(customer),
        "email": one.address,
        "list": known.name if known is not None else one.list_id,
        "label": said.label,
        "tone": TONES[said.group],
        "sentence": f"{said.sentence} It is {reason}." if reason and said.group is Group.ADDED else said.sentence,
    }


def _title(call: Call, number: int | None) -> str:
    run = runs.get(call.db, number) if number is not None else None
    if run is not None and any(part.account_id == call.account for part in run.accounts):
        return f"Sync of {when(call, run.started_at)}"
    if number is not None:
        raise PageNotFound("There is no such sync.", "Choose one under Syncs.")
    return "People"


def _query(number: int | None, group: str, outcome: str) -> str:
    given = (("run", number), ("group", group), ("outcome", outcome))
    return urlencode([(name, value) for name, value in given if value not in (None, "")])


def _choices(call: Call, number: int | None) -> Sequence[dict[str, Any]]:
    if number is None:
        return ()
    run = runs.get(call.db, number)
    part = next((one for one in run.accounts if one.account_id == call.account), None) if run is not None else None
    if part is None:
        return ()
    group, outcome = call.query.get("group", ""), call.query.get("outcome", "")
    found = [{"label": "All", "query": _query(number, "", ""), "chosen": outcomes_of(group, outcome) is None}]
    for each, parts in run_in_words(part.counts).groups.items():
        slug = SLUGS[each]
        chosen = not outcome and group == slug
        count = sum(one.count for one in parts)
        found.append({"label": f"{count:,} {each.value}", "query": _query(number, slug, ""), "chosen": chosen})
    return found
