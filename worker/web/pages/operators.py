"""The operators' page: what is running, waiting or wrong, and what to do about it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from starlette.responses import HTMLResponse, RedirectResponse, Response

from worker.clock import as_moment
from worker.plan.outcomes import MEANINGS
from worker.sqlite.lock import seconds_since_beat
from worker.status.account_state import State
from worker.status.live import read_live
from worker.status.other_workers import all_workers
from worker.status.overview import overview
from worker.store import dead_letters, runs
from worker.text.plural import counted, some_of
from worker.web.access.signing_in import account_path
from worker.web.call import Call
from worker.web.dead_letter_replay import may_replay, replayed
from worker.web.pages.all_accounts import AWAY, away_in_words, from_their_workers
from worker.web.pages.charts import bar_chart
from worker.web.pages.layout import GROUPS, when
from worker.web.pages.syncs import bar_of
from worker.web.templates import render

RUNS = 30
ACCOUNTS = 200
"""Accounts in the table, those that need attention first; a search finds the others."""
LONGEST_SEARCH = 128
ACCOUNTS_NAMED = 3
"""Accounts named of a running flush."""
LETTERS = 50
"""Dead letters on their page, newest first."""
SHOWN_BYTES = 400
"""Bytes shown of a dead letter's key and value."""
TONES: Mapping[str, str] = {
    State.NOT_READY: "warn",
    State.PAUSED: "bad",
    State.HELD: "bad",
    State.FAILED: "bad",
    State.INCOMPLETE: "warn",
    State.DELIVERING: "good",
    State.WAITING: "good",
    State.UP_TO_DATE: "good",
    State.OFF: "",
    AWAY: "bad",
}
_WORST_FIRST = ("bad", "warn", "good", "")


def show(call: Call) -> Response:
    """Shows the page."""
    config, path = call.app.config, call.app.config.staging.path
    beat, live = seconds_since_beat(path), read_live(path)
    status = overview(call.db, config, call.now, beat=beat, live=live)
    members = all_workers(config, call.db, live if beat is not None else None)
    last = runs.last(call.db, RUNS)
    accounts = from_their_workers(call, status["accounts"])
    search = call.query.get("find", "").strip()[:LONGEST_SEARCH]
    matching = [account for account in accounts if search.lower() in account["account_id"].lower()]
    matching.sort(key=lambda account: (_WORST_FIRST.index(TONES.get(account["state"], "")), account["account_id"]))
    return HTMLResponse(
        render(
            "operators.html",
            csrf=call.csrf,
            status=status,
            accounts=[
                account | {"path": account_path(account["account_id"]), "tone": TONES.get(account["state"], "")}
                for account in matching[:ACCOUNTS]
            ],
            matching=len(matching),
            account_count=len(accounts),
            find=search,
            warnings=[*warnings_of(status), *away_in_words(accounts)],
            several_workers=any(account["at"] for account in accounts),
            workers=members,
            lag=sum(partition["lag"] or 0 for partition in status["partitions"]),
            flushes=[
                {**flush, "accounts_in_words": some_of(flush["accounts"], ACCOUNTS_NAMED)}
                for flush in status["flushes"]
            ],
            chart=_chart(call, last),
            groups=GROUPS,
            runs=last[:10],
            when=partial(when, call),
        )
    )


def warnings_of(status: Mapping[str, Any]) -> Iterator[str]:
    """Yields what operators should attend to, from :func:`worker.status.overview.overview`."""
    worker, broker = status["worker"], status["broker"]
    if not worker["running"]:
        yield "No worker runs with this database: nothing is read and nothing delivered."
    if broker["reached"] is False:
        yield f"Kafka is away: {broker['words']}."
    if worker["running"] and status["next_flush_due"] and status["flush"] is None:
        yield f"The daily flush is {status['next_flush_in_words']}."
    for outcome, count in status["needs_somebody"].items():
        yield f"{counted(count, 'customer')} {outcome} in the last run. {MEANINGS[outcome].sentence}"
    if count := status["suppressed"]:
        yield f"{counted(count, 'customer')} refused by Mailchimp."
    if count := status["stuck_customers"]:
        yield f"{counted(count, 'customer')} with an older event in use, because a later one has a lower version."
    if misplaced := status["misplaced_accounts"]:
        named = ", ".join(account["account_id"] for account in misplaced[:5])
        yield f"{counted(len(misplaced), 'account')} with events and ledger in different partitions: {named}."
    if scattered := status["scattered_accounts"]:
        named = ", ".join(sorted(scattered)[:5])
        yield f"{counted(len(scattered), 'account')} with events in more than one partition: {named}."
    if count := status["customers_without_settings"]:
        yield f"{counted(count, 'customer')} of accounts that never connected Mailchimp wait."


def _chart(call: Call, last: list[runs.Run]) -> Any:
    zone = call.app.config.flush.zone
    bars = []
    for run in reversed(last):
        local = as_moment(run.started_at).astimezone(zone)
        counts = sum((Counter(part.counts) for part in run.accounts), Counter[str]())
        bars.append(bar_of(f"{local.day} {local:%b}", f"Run {run.run}, {when(call, run.started_at)}", counts))
    return bar_chart(bars, RUNS)


def show_dead_letters(call: Call) -> Response:
    """Shows the newest dead letters, each with a button to replay it."""
    messages = {"understood": "Understood, and no longer here.", "not": "Still not understood. It is kept."}
    return HTMLResponse(
        render(
            "dead_letters.html",
            csrf=call.csrf,
            letters=dead_letters.all_letters(call.db, LETTERS)[::-1],
            when=partial(when, call),
            start_of=_start_of,
            may_replay=may_replay,
            count=dead_letters.count(call.db),
            message=messages.get(call.query.get("done", "")),
            tone="warn" if call.query.get("done") == "not" else "good",
        )
    )


def _start_of(content: bytes | None) -> str:
    if content is None:
        return "null"
    text = content[:SHOWN_BYTES].decode("utf-8", "backslashreplace")
    return f"{text}…" if len(content) > SHOWN_BYTES else text


def replay(call: Call) -> Response:
    """Replays a dead letter with this release."""
    number = call.field("number")
    why = replayed(call, int(number) if number.isascii() and number.isdecimal() and len(number) < 12 else 0)
    return RedirectResponse(f"/dead-letters?done={'not' if why else 'understood'}", 303)
