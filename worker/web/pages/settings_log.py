"""The page of who changed which setting, and when."""

from __future__ import annotations

import re

from starlette.responses import Response

from worker.accounts import settings_log
from worker.accounts.settings_log import SettingChange
from worker.web.call import Call
from worker.web.pages.layout import page, when


def show(call: Call) -> Response:
    """Shows the changes of the account's settings, newest first."""
    rows = [
        {"when": when(call, change.at), "who": in_words_who(change.by), "what": in_words(change)}
        for change in settings_log.read(call.db, call.account)[::-1]
    ]
    return page(call, "log.html", tab="/log", title="Changes", rows=rows)


def in_words_who(by: str) -> str:
    """Returns who made a change: their name if known, "you", or "support"."""
    named = re.search(r"\((.+)\)$", by)
    if by.startswith("account "):
        return named[1] if named else "your billmywork account"
    return f"support ({named[1]})" if named else "support"


def in_words(change: SettingChange) -> str:
    """Returns one change in a sentence."""
    match change.setting:
        case "api_key":
            return _key(change.before, change.after)
        case "enabled":
            return "Turned the integration on." if change.after == "true" else "Turned the integration off."
        case "status_if_new":
            if change.after == "pending":
                return "New people are asked to confirm first."
            return "New people are added as subscribed."
        case "stored_list":
            if change.after is not None:
                return f"Chose the list {_name(change.after)}."
            return f"No longer uses the list {_name(change.before)}."
        case "master_list":
            if change.after is None:
                return f"{_name(change.before)} is no longer the master list."
            return f"Made {_name(change.after)} the master list."
        case "merge_field":
            return f"Chose what a field gets: {change.after or 'the default'}, before {change.before or 'the default'}."
        case "paused":
            return "Let us try again after Mailchimp had refused."
    return f"Changed {change.setting}."


def _key(before: str | None, after: str | None) -> str:
    if after is None:
        return f"Disconnected, and deleted the key {before} here."
    if before is None:
        return f"Connected with the key {after}."
    return f"Replaced the key {before} by {after}." if before != after else f"Entered the key {after} again."


def _name(text: str | None) -> str:
    # Kept as "All customers (a1b2c3d4e5)".
    return f"“{re.sub(r' [(][^()]*[)]$', '', text or '')}”"
