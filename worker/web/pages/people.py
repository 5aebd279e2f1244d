"""The people behind each number, as a page and as CSV."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any
from urllib.parse import urlencode

from starlette.responses import Response

from worker.clock import as_moment
from worker.model import Customer, CustomerId
from worker.plan.outcomes import Outcome
from worker.store import customers, runs
from worker.store.accounts import AccountSettings
from worker.store.receipts import Receipt
from worker.store.runs import PartOfRun
from worker.web.account_reader import reader_of
from worker.web.call import Call
from worker.web.errors import PageNotFound
from worker.web.pages.layout import SLUGS, page, when
from worker.web.pages.words import LIST_REASONS, OUTCOMES, Group, run_in_words, words_of

MOST_SHOWN = 200
LONGEST_DAYS = 5000
"""How many days ago the requested day may be."""
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
"""A spreadsheet would run a cell that begins with one of these as a formula."""


def outcomes_of(group: str, outcome: str) -> tuple[str, ...] | None:
    """Returns the outcomes that a page shows; None for all outcomes of a sync.

    Args:
        group: a group's name in the URL, "missed" for all who were not added, "refused" for those Mailchimp refused.
        outcome: one outcome, which takes precedence over the group.
    """
    if outcome in OUTCOMES:
        return (outcome,)
    if group == "refused":
        return (Outcome.REFUSED, Outcome.SUPPRESSED)
    wanted = {slug: (one,) for one, slug in SLUGS.items()} | {"missed": (Group.NOT_ADDED, Group.WAITING)}
    if group not in wanted:
        return None
    return tuple(one for one, said in OUTCOMES.items() if said.group in wanted[group])


@dataclass(frozen=True, slots=True)
class _Asked:
    """What a page of people shows.

    Attributes:
        parts: the account's parts of the requested syncs; None for all receipts.
        name: of these syncs: "run" and its number, or "day" and its date; None for all.
        title: of the page.
    """

    parts: tuple[PartOfRun, ...] | None
    name: tuple[str, str] | None
    title: str

    def counts(self) -> Counter[str]:
        """Returns how many people had each outcome."""
        return sum((Counter(one.part.counts) for one in self.parts or ()), Counter[str]())


def show(call: Call) -> Response:
    """Shows the people of a sync, of a day's syncs, or of one outcome or group."""
    asked = _asked(call)
    found = _found(call, asked, MOST_SHOWN + 1)
    known, settings = _customers(call, found), reader_of(call).settings()
    rows = [_row(one, known.get(one.customer_id), settings) for one in reversed(found[-MOST_SHOWN:])]
    return page(
        call,
        "people.html",
        tab="/runs",
        title=asked.title,
        rows=rows,
        more=len(found) > MOST_SHOWN,
        query=_query(asked, call.query.get("group", ""), call.query.get("outcome", "")),
        choices=_choices(call, asked),
    )


def as_csv(call: Call) -> Response:
    """Returns all of the same people as CSV for a spreadsheet."""
    asked = _asked(call)
    found = _found(call, asked, None)
    known, settings = _customers(call, found), reader_of(call).settings()
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(_COLUMNS)
    for one in found:
        row = _row(one, known.get(one.customer_id), settings)
        cells = (one.at, row["name"], row["email"], row["list"], row["label"], row["sentence"], one.customer_id)
        writer.writerow([_harmless(str(cell or "")) for cell in cells])
    name = f"mailchimp-sync-{asked.name[1]}.csv" if asked.name is not None else "mailchimp-syncs.csv"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    # The byte order mark tells spreadsheets that it is UTF-8.
    return Response("\ufeff" + out.getvalue(), headers=headers, media_type="text/csv; charset=utf-8")


def _harmless(cell: str) -> str:
    return f"'{cell}" if cell.startswith(_FORMULA) else cell


def _asked(call: Call) -> _Asked:
    """Returns what the query requests.

    Raises:
        PageNotFound: the account has no such sync.
    """
    run, day = call.query.get("run", ""), call.query.get("day", "")
    if run:
        return _of_run(call, run)
    if day:
        return _of_day(call, day)
    return _Asked(None, None, "People")


def _of_run(call: Call, given: str) -> _Asked:
    if not (given.isascii() and given.isdecimal() and len(given) < 12):
        raise _no_such_sync()
    run = runs.get(call.db, int(given))
    own = tuple(part for part in run.accounts if part.account_id == call.account) if run is not None else ()
    if run is None or not own:
        raise _no_such_sync()
    parts = tuple(PartOfRun(run.run, run.started_at, run.ended_at, run.trigger, part) for part in own)
    return _Asked(parts, ("run", str(run.run)), f"Sync of {when(call, run.started_at)}")


def _of_day(call: Call, given: str) -> _Asked:
    zone = call.context.parts.config.flush.zone
    try:
        day = date.fromisoformat(given)
    except ValueError as error:
        raise _no_such_sync() from error
    since = max((call.now.astimezone(zone).date() - day).days + 1, 1)
    # No receipt is kept this long.
    found = reader_of(call).runs(since) if since < LONGEST_DAYS else []
    parts = tuple(one for one in found if as_moment(one.started_at).astimezone(zone).date() == day)
    if not parts:
        raise _no_such_sync()
    many = "Sync" if len(parts) == 1 else "Syncs"
    return _Asked(parts, ("day", day.isoformat()), f"{many} of {day:%a} {day.day} {day:%b}")


def _no_such_sync() -> PageNotFound:
    return PageNotFound("There is no such sync.", "Choose one under Syncs.")


def _found(call: Call, asked: _Asked, limit: int | None) -> list[Receipt]:
    chosen = outcomes_of(call.query.get("group", ""), call.query.get("outcome", ""))
    reading = reader_of(call)
    numbers: Sequence[int | None] = [one.run for one in asked.parts] if asked.parts is not None else [None]
    wanted = [Outcome(one) for one in chosen] if chosen is not None else [None]
    parts = [reading.receipts(run=run, outcome=one, limit=limit) for run in numbers for one in wanted]
    found = parts[0] if len(parts) == 1 else sorted((one for part in parts for one in part), key=lambda one: one.at)
    return found if limit is None else found[-limit:]


def _customers(call: Call, found: Iterable[Receipt]) -> dict[CustomerId, Customer]:
    ids = list(dict.fromkeys(one.customer_id for one in found))
    return {one.customer_id: one for one in customers.by_ids(call.db, call.account, ids)}


def name_of(customer: Customer | None) -> str:
    """Returns a customer's name, or the company's; "" if unknown."""
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


def _query(asked: _Asked, group: str, outcome: str) -> str:
    given = (*((asked.name,) if asked.name is not None else ()), ("group", group), ("outcome", outcome))
    return urlencode([(name, value) for name, value in given if value])


def _choices(call: Call, asked: _Asked) -> Sequence[dict[str, Any]]:
    if asked.parts is None:
        return ()
    group, outcome = call.query.get("group", ""), call.query.get("outcome", "")
    found = [{"label": "All", "query": _query(asked, "", ""), "chosen": outcomes_of(group, outcome) is None}]
    for each, parts in run_in_words(asked.counts()).groups.items():
        slug = SLUGS[each]
        chosen = not outcome and group == slug
        count = sum(one.count for one in parts)
        found.append({"label": f"{count:,} {each.value}", "query": _query(asked, slug, ""), "chosen": chosen})
    return found
