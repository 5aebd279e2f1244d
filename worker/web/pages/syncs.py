"""The results of an account's syncs: the last one in a sentence, recent days as a chart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any

from starlette.responses import Response

from worker.clock import as_moment
from worker.store.run_result import RunResult
from worker.store.runs import PartOfRun
from worker.web.access.signing_in import account_path
from worker.web.account_reader import runs_of
from worker.web.call import Call
from worker.web.pages.charts import Bar, bar_chart, share_bar
from worker.web.pages.layout import GROUPS, SLUGS, listed_from, page, when
from worker.web.pages.words import Group, by_group, run_in_words, words_of

DAYS = 30
_MAIN = (Group.ADDED, Group.UPDATED, Group.OFF)
_ENDS = {
    RunResult.DONE: "complete",
    RunResult.HELD: "waiting for you",
    RunResult.PAUSED: "waiting for you",
    RunResult.INCOMPLETE: "the rest is tried again",
    RunResult.STOPPED: "the rest is tried again",
    RunResult.FAILED: "tried again",
}

_UNFINISHED = (RunResult.FAILED, RunResult.STOPPED)


def last_sync(call: Call, parts: Sequence[PartOfRun]) -> dict[str, Any] | None:
    """Returns the last sync's results, for its sentence and its bar; None if there was none."""
    if not parts:
        return None
    last = parts[-1]
    words = run_in_words(last.part.counts)
    counts = by_group(last.part.counts)
    main = [{"slug": SLUGS[group], "text": f"{counts[group]:,} {group.value}"} for group in _MAIN if counts[group]]
    missed = counts[Group.NOT_ADDED] + counts[Group.WAITING]
    if missed:
        main.append({"slug": "missed", "text": f"{missed:,} not synced"})
    return {
        "run": last.run,
        "when": _began(call, last),
        "empty": not main,
        "unfinished": last.ended_at is not None and last.part.ended in _UNFINISHED,
        "main": main,
        "why": [
            {"outcome": part.outcome, "text": part.text, "sentence": words_of(part.outcome).sentence}
            for group in (Group.NOT_ADDED, Group.WAITING)
            for part in words.get(group, ())
        ],
        "share": share_bar({SLUGS[group]: count for group, count in counts.items()}) if main else None,
    }


def _began(call: Call, run: PartOfRun) -> str:
    words = when(call, run.started_at)
    return words[:1].upper() + words[1:]  # not capitalize(), which writes "dec"


def chart_of(call: Call, parts: Iterable[PartOfRun]) -> str:
    """Returns the last thirty days as a chart ending today. A day's bar links to the people of all its syncs.

    Args:
        parts: the account's parts of these days' runs, oldest first.
    """
    zone = call.app.config.flush.zone
    today = call.now.astimezone(zone).date()
    counts: dict[Any, Counter[str]] = {}
    for run in parts:
        day = as_moment(run.started_at).astimezone(zone).date()
        counts.setdefault(day, Counter()).update(run.part.counts)
    bars = []
    for day in (today - timedelta(days=back) for back in range(DAYS - 1, -1, -1)):
        name = f"{day.day} {day:%b}"
        href = f"{account_path(call.account)}/people?day={day}" if day in counts else None
        bars.append(bar_of(name, name, counts.get(day, {}), href))
    return bar_chart(bars)


def bar_of(label: str, name: str, counts: Mapping[str, int], href: str | None = None) -> Bar:
    """Returns the bar of some syncs' results.

    Args:
        name: of these syncs, for the tooltip.
        counts: outcome to number of changes; one person may have several.
        href: where a click leads; None for nowhere.
    """
    groups = by_group(counts)
    summary = ", ".join(f"{count:,} {group.value}" for group, count in groups.items() if count) or "no change"
    return Bar(label, f"{name}: {summary}", {SLUGS[group]: count for group, count in groups.items()}, href)


def show_runs(call: Call) -> Response:
    """Shows the syncs of the last thirty days; each number links to its people."""
    runs = runs_of(call, DAYS)
    rows = [
        {
            "run": run.run,
            "when": _began(call, run),
            "cells": [
                {"slug": SLUGS[group], "count": count, "label": group.value}
                for group, count in by_group(run.part.counts).items()
            ],
            "ended": _ENDS[run.part.ended] if run.ended_at is not None else "under way",
        }
        for run in reversed(runs)
    ]
    return page(
        call,
        "runs.html",
        tab="/runs",
        title="Syncs",
        chart=chart_of(call, runs),
        groups=GROUPS,
        rows=rows,
        next_sync=when(call, call.next_flush),
        listed_from=listed_from(call),
    )
