"""All accounts, each as its own worker knows it; marked as away if that worker does not answer."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from worker.model import AccountId
from worker.text.plural import counted
from worker.web import forwarding
from worker.web.call import Call
from worker.web.errors import WorkerAway
from worker.web.forwarding import HEADER, ForwardedRequest, forward

AWAY = "worker away"
"""The state of an account whose worker does not answer."""
STATUS_SECONDS = 3.0
"""How long to wait for each of the other workers, all queried at once."""
_MOST_ASKED_AT_ONCE = 16
_STATUS_REQUEST = ForwardedRequest("GET", "/api/v1/status")


def from_their_workers(call: Call, accounts: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Returns accounts as :func:`worker.status.overview.account_data` gives them, each from the worker that has it.

    Args:
        accounts: as this worker knows them. It has all settings, but other data only of its own accounts.
    """
    own = list(accounts)
    urls = {account["account_id"]: _worker_url(call, AccountId(account["account_id"])) for account in own}
    reports = _reports(call, {url for url, _ in urls.values() if url is not None})
    merged = []
    for account in own:
        url, away = urls[account["account_id"]]
        if url is None:
            merged.append(_away(account, away) if away is not None else {**account, "at": None})
            continue
        report = reports[url].get(account["account_id"])
        merged.append(
            {**account, **report, "at": url} if report is not None else _away(account, f"{url} does not answer")
        )
    return merged


def _worker_url(call: Call, account_id: AccountId) -> tuple[str | None, str | None]:
    """Returns the URL of an account's worker, None for this one; and why it is unknown, None if it is not."""
    try:
        return call.context.elsewhere(call.db, account_id), None
    except WorkerAway as error:
        return None, error.message


def _away(account: Mapping[str, Any], why: str) -> dict[str, Any]:
    nothing: dict[str, Any] = {"customers_waiting": None, "waiting_since_in_words": None, "held": [], "at": None}
    advice = "Start it again, or wait until Kafka gives its partitions to another worker. Nothing is lost."
    return {**account, **nothing, "state": AWAY, "what": f"The account's worker is away: {why}.", "advice": advice}


def _reports(call: Call, urls: Iterable[str]) -> dict[str, Mapping[str, Any]]:
    """Returns what each worker reports of its accounts, by id; nothing from one that does not answer."""
    signer, ordered = call.context.signer("forwarded"), sorted(urls)
    if not ordered:
        return {}
    with ThreadPoolExecutor(min(len(ordered), _MOST_ASKED_AT_ONCE)) as pool:
        signatures = [forwarding.signed(signer, call.signed_in, _STATUS_REQUEST, call.now) for _ in ordered]
        return dict(zip(ordered, pool.map(_accounts_at, ordered, signatures), strict=True))


def _accounts_at(url: str, signature: str) -> Mapping[str, Any]:
    try:
        answer = forward(url, _STATUS_REQUEST, {HEADER: signature}, STATUS_SECONDS)
        if answer.status_code != 200:
            return {}
        return {account["account_id"]: account for account in json.loads(bytes(answer.body))["accounts"]}
    except (WorkerAway, ValueError, KeyError, TypeError):
        return {}


def away_in_words(accounts: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Yields a warning if accounts' workers are away."""
    if account_ids := [account["account_id"] for account in accounts if account["state"] == AWAY]:
        named = ", ".join(account_ids[:5]) + (", …" if len(account_ids) > 5 else "")
        yield f"The workers of {counted(len(account_ids), 'account')} are away: {named}."
