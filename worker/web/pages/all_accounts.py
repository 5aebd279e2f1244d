"""All accounts, each as its own worker knows it; marked as away if that worker does not answer."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from worker.model import AccountId
from worker.text.plural import counted
from worker.web import forwarding
from worker.web.forwarding import HEADER, forward
from worker.web.problems import WorkerAway
from worker.web.routing import Call

AWAY = "worker away"
"""The state of an account whose worker does not answer."""
STATUS = "/api/v1/status"
STATUS_SECONDS = 3.0
"""How long to wait for each of the other workers, all queried at once."""
_MOST_ASKED_AT_ONCE = 16


def from_their_workers(call: Call, accounts: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Returns accounts as :func:`worker.status.overview.account_data` gives them, each from the worker that has it.

    Args:
        accounts: as this worker knows them. It has all settings, but other data only of its own accounts.
    """
    own = list(accounts)
    places = {one["account_id"]: _place(call, AccountId(one["account_id"])) for one in own}
    reports = _asked(call, {url for url, _ in places.values() if url is not None})
    found = []
    for one in own:
        url, away = places[one["account_id"]]
        if url is None:
            found.append(_away(one, away) if away is not None else {**one, "at": None})
            continue
        there = reports[url].get(one["account_id"])
        found.append({**one, **there, "at": url} if there is not None else _away(one, f"{url} does not answer"))
    return found


def _place(call: Call, account_id: AccountId) -> tuple[str | None, str | None]:
    """Returns the URL of an account's worker, None for this one; and why it is unknown, None if it is not."""
    try:
        return call.context.elsewhere(call.db, account_id), None
    except WorkerAway as error:
        return None, error.what


def _away(one: Mapping[str, Any], why: str) -> dict[str, Any]:
    nothing: dict[str, Any] = {"customers_waiting": None, "waiting_since_in_words": None, "held": [], "at": None}
    advice = "Start it again, or wait until Kafka gives its partitions to another worker. Nothing is lost."
    return {**one, **nothing, "state": AWAY, "what": f"The account's worker is away: {why}.", "advice": advice}


def _asked(call: Call, urls: Iterable[str]) -> dict[str, Mapping[str, Any]]:
    """Returns what each worker reports of its accounts, by id; nothing from one that does not answer."""
    signer, ordered = call.context.signer("forwarded"), sorted(urls)
    if not ordered:
        return {}
    with ThreadPoolExecutor(min(len(ordered), _MOST_ASKED_AT_ONCE)) as pool:
        headers = [forwarding.signed(signer, call.me, "GET", STATUS, b"", call.now) for _ in ordered]
        return dict(zip(ordered, pool.map(_accounts_at, ordered, headers), strict=True))


def _accounts_at(url: str, visitor: str) -> Mapping[str, Any]:
    headers = {HEADER: visitor}
    try:
        answer = forward(url, "GET", STATUS, headers, b"", STATUS_SECONDS)
        return {one["account_id"]: one for one in json.loads(answer.body)["accounts"]} if answer.status == 200 else {}
    except (WorkerAway, ValueError, KeyError, TypeError):
        return {}


def away_in_words(accounts: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Yields a warning if accounts' workers are away."""
    if some := [one["account_id"] for one in accounts if one["state"] == AWAY]:
        named = ", ".join(some[:5]) + (", …" if len(some) > 5 else "")
        yield f"The workers of {counted(len(some), 'account')} are away: {named}."
