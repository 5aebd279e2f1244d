"""The people behind each number, as a page and as CSV; also those whose changes the next sync delivers."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import date
from functools import partial
from itertools import islice
from tempfile import SpooledTemporaryFile
from typing import IO, Any, cast
from urllib.parse import urlencode

from starlette.responses import Response, StreamingResponse

from worker.clock import as_moment, as_text
from worker.model import AddressKey, Customer, CustomerId
from worker.plan.outcomes import Outcome
from worker.sqlite.file import translated_file
from worker.store import bare_customers, customers, ledger, receipts, runs, waiting
from worker.store.accounts import AccountSettings
from worker.store.receipts import Receipt, Receipts
from worker.store.runs import PartOfRun
from worker.text.escape import csv_cell
from worker.web.account_reader import receipts_complete_since, runs_of, settings_of
from worker.web.call import Call
from worker.web.errors import PageNotFound
from worker.web.pages.layout import NOT_COMPARED, SLUGS, page, when
from worker.web.pages.next_steps import in_words, retry
from worker.web.pages.words import LIST_REASONS, OUTCOMES, Group, run_in_words, words_for

MOST_SHOWN = 200
READ_AT_ONCE = 500
"""People whose names are looked up together."""
MOST_IN_MEMORY, SENT_AT_ONCE = 1024 * 1024, 64 * 1024
"""Bytes of CSV that are kept in memory before it goes to a file, and those sent at a time."""
LONGEST_DAYS = 5000
"""How many days ago the requested day may be."""
TONES = {Group.ADDED: "good", Group.UPDATED: "", Group.OFF: "", Group.NOT_ADDED: "warn", Group.WAITING: "bad", None: ""}
_COLUMNS = ("time", "name", "email", "list", "what happened", "why", "customer id")
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
    groups = {slug: (member,) for member, slug in SLUGS.items()} | {"missed": (Group.NOT_ADDED, Group.WAITING)}
    if group not in groups:
        return None
    return tuple(name for name, words in OUTCOMES.items() if words.group in groups[group])


@dataclass(frozen=True, slots=True)
class _Selection:
    """The people that a page shows.

    Attributes:
        parts: the account's parts of the requested syncs; None for all receipts.
        name: of these syncs: "run" and its number, or "day" and its date; None for all.
    """

    parts: tuple[PartOfRun, ...] | None
    name: tuple[str, str] | None
    title: str

    def counts(self) -> Counter[str]:
        """Returns how many receipts have each outcome."""
        return sum((Counter(run.part.counts) for run in self.parts or ()), Counter[str]())


def show(call: Call) -> Response:
    """Shows the people of a sync, of a day's syncs, or of one outcome or group."""
    selection = _selection(call)
    matching = list(_receipts(call, selection, MOST_SHOWN + 1))
    by_id, settings = _customers(call, matching), settings_of(call)
    rows = [
        _row(call, receipt, by_id.get(receipt.customer_id), settings) for receipt in reversed(matching[-MOST_SHOWN:])
    ]
    return page(
        call,
        "people.html",
        tab="/runs",
        title=selection.title,
        rows=rows,
        more=len(matching) > MOST_SHOWN,
        query=_query(selection, call.query.get("group", ""), call.query.get("outcome", "")),
        choices=_choices(call, selection),
        since=when(call, receipts_complete_since(call)) if not rows else "",
    )


def as_csv(call: Call) -> Response:
    """Returns all of the same people as CSV for a spreadsheet. They may be millions, so it passes through a file."""
    selection = _selection(call)
    matching, settings = iter(_receipts(call, selection, None)), settings_of(call)
    folder = call.app.config.staging.path.parent
    with translated_file(), ExitStack() as opened:
        file = opened.enter_context(SpooledTemporaryFile(MOST_IN_MEMORY, dir=str(folder)))
        text = io.TextIOWrapper(cast(IO[bytes], file), "utf-8-sig", newline="")  # spreadsheets know UTF-8 by the mark
        writer = csv.writer(text)
        writer.writerow(_COLUMNS)
        while part := list(islice(matching, READ_AT_ONCE)):
            by_id = _customers(call, part)
            writer.writerows(_cells(call, receipt, by_id.get(receipt.customer_id), settings) for receipt in part)
        text.detach()
        file.seek(0)
        opened.pop_all()
    name = f"mailchimp-sync-{selection.name[1]}.csv" if selection.name is not None else "mailchimp-syncs.csv"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return StreamingResponse(_content(file), headers=headers, media_type="text/csv; charset=utf-8")


def _content(file: IO[bytes]) -> Iterator[bytes]:
    with file:
        while content := file.read(SENT_AT_ONCE):
            yield content


def _cells(call: Call, receipt: Receipt, customer: Customer | None, settings: AccountSettings) -> list[str]:
    row = _row(call, receipt, customer, settings)
    cells = (receipt.at, row["name"], row["email"], row["list"], row["label"], row["sentence"], receipt.customer_id)
    return [csv_cell(cell) for cell in cells]


def _selection(call: Call) -> _Selection:
    """Returns what the query requests.

    Raises:
        PageNotFound: the account has no such sync.
    """
    run, day = call.query.get("run", ""), call.query.get("day", "")
    if run:
        return _of_run(call, run)
    if day:
        return _of_day(call, day)
    return _Selection(None, None, "People")


def _of_run(call: Call, number: str) -> _Selection:
    if not (number.isascii() and number.isdecimal() and len(number) < 12):
        raise _no_such_sync()
    run = runs.get(call.db, int(number))
    own = tuple(part for part in run.accounts if part.account_id == call.account) if run is not None else ()
    if run is None or not own:
        raise _no_such_sync()
    parts = tuple(PartOfRun(run.run, run.started_at, run.ended_at, run.trigger, part) for part in own)
    return _Selection(parts, ("run", str(run.run)), f"Sync of {when(call, run.started_at)}")


def _of_day(call: Call, text: str) -> _Selection:
    zone = call.app.config.flush.zone
    try:
        day = date.fromisoformat(text)
    except ValueError as error:
        raise _no_such_sync() from error
    since = max((call.now.astimezone(zone).date() - day).days + 1, 1)
    # No receipt is kept this long.
    recent = runs_of(call, since) if since < LONGEST_DAYS else []
    parts = tuple(run for run in recent if as_moment(run.started_at).astimezone(zone).date() == day)
    if not parts:
        raise _no_such_sync()
    syncs = "Sync" if len(parts) == 1 else "Syncs"
    return _Selection(parts, ("day", day.isoformat()), f"{syncs} of {day:%a} {day.day} {day:%b}")


def _no_such_sync() -> PageNotFound:
    return PageNotFound("There is no such sync.", "Choose one under Syncs.")


def _receipts(call: Call, selection: _Selection, limit: int | None) -> Receipts:
    outcomes = outcomes_of(call.query.get("group", ""), call.query.get("outcome", ""))
    numbers = [run.run for run in selection.parts] if selection.parts is not None else None
    return receipts.find(call.db, account_id=call.account, runs=numbers, outcomes=outcomes, limit=limit)


def _customers(call: Call, matching: Iterable[Receipt]) -> dict[CustomerId, Customer]:
    ids = list(dict.fromkeys(receipt.customer_id for receipt in matching))
    return {customer.customer_id: customer for customer in customers.by_ids(call.db, call.account, ids)}


def name_of(customer: Customer | None) -> str:
    """Returns a customer's name, or the company's; "" if unknown."""
    if customer is None:
        return ""
    state = customer.state
    return " ".join(filter(None, (state.first_name, state.last_name))).strip() or (state.company or "")


def _row(call: Call, receipt: Receipt, customer: Customer | None, settings: AccountSettings) -> dict[str, Any]:
    words, mailing_list, more = words_for(receipt), settings.list_of(receipt.list_id), ""
    if words.group is Group.ADDED and (reason := LIST_REASONS.get(receipt.list_reason or "")):
        more = f" It is {reason}."
    elif words.group in (Group.NOT_ADDED, Group.WAITING):
        more = f" {in_words(receipt.next, partial(when, call))}"
    return {
        "name": name_of(customer),
        "email": receipt.address,
        "list": mailing_list.name if mailing_list is not None else receipt.list_id,
        "label": words.label,
        "tone": TONES[words.group],
        "sentence": f"{words.sentence}{more}",
    }


def _query(selection: _Selection, group: str, outcome: str) -> str:
    parameters = [("group", group), ("outcome", outcome)]
    if selection.name is not None:
        parameters.insert(0, selection.name)
    return urlencode([(name, value) for name, value in parameters if value])


def _choices(call: Call, selection: _Selection) -> Sequence[dict[str, Any]]:
    if selection.parts is None:
        return ()
    group, outcome = call.query.get("group", ""), call.query.get("outcome", "")
    choices = [{"label": "All", "query": _query(selection, "", ""), "chosen": outcomes_of(group, outcome) is None}]
    for choice_group, parts in run_in_words(selection.counts()).items():
        slug = SLUGS[choice_group]
        chosen = not outcome and group == slug
        count = sum(part.count for part in parts)
        label = f"{count:,} {choice_group.value}"
        choices.append({"label": label, "query": _query(selection, slug, ""), "chosen": chosen})
    return choices


def show_waiting(call: Call) -> Response:
    """Shows the waiting customers, ordered by their billmywork ids, up to a limit, and those who are tried later."""
    settings, next_flush = settings_of(call), as_text(call.next_flush)
    those_waiting = waiting.people(call.db, call.account, next_flush, MOST_SHOWN)
    later = waiting.people_later(call.db, call.account, next_flush, MOST_SHOWN)
    ids = [customer.customer_id for customer in (*those_waiting, *later)]
    statuses = ledger.customer_statuses_of(call.db, call.account, ids)
    retry_at = {status.customer_id: status.retry_at for status in statuses}
    last_known = {status.customer_id: status.membership.address for status in statuses if status.membership is not None}
    bare = bare_customers.of_account(call.db, call.account)
    unread = bare.count if bare is not None and bare.reading else 0
    counts = call.app.waiting_of(call.db, call.account)
    return page(
        call,
        "waiting.html",
        title="People waiting for the next sync",
        rows=[
            _waiting_row(customer, settings, last_known.get(customer.customer_id), _sentence(customer))
            for customer in those_waiting
        ],
        count=counts.count - unread,
        later=[
            _waiting_row(customer, settings, None, f"Mailchimp refused them. {retry(when(call, at))}")
            for customer in later
            if (at := retry_at.get(customer.customer_id))
        ],
        later_count=counts.later,
        not_compared=None if counts.compared else NOT_COMPARED,
        unread=unread,
    )


def _waiting_row(
    customer: Customer, settings: AccountSettings, last_known: AddressKey | None, sentence: str
) -> dict[str, Any]:
    return {
        "name": name_of(customer),
        "email": customer.address or (last_known if customer.deleted else None),
        "list": _list_name(customer, settings),
        "sentence": sentence,
    }


def _list_name(customer: Customer, settings: AccountSettings) -> str | None:
    if customer.deleted or settings.master_list is None:
        return None
    chosen = settings.list_of(settings.target_list(customer, None).list_id)
    return chosen.name if chosen is not None else None


def _sentence(customer: Customer) -> str:
    if customer.deleted:
        return "Deleted in billmywork: taken off your lists if the sync added them."
    if customer.state.marketing_consent is False:
        return "Does not want marketing: unsubscribed where subscribed, and added nowhere."
    if customer.address is None:
        return "Has no e-mail address, so nothing is sent."
    return "New, changed, or to be checked again."
