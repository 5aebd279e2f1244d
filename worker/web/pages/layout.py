"""What all pages of an account share: navigation, the visitor, redirects, and the message after an action."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import quote

from starlette.responses import HTMLResponse, RedirectResponse, Response

from worker.clock import as_moment
from worker.status.times import moment_in_words
from worker.web.access.signing_in import account_path
from worker.web.account_reader import syncs_listed_from
from worker.web.call import Call
from worker.web.pages.words import Group
from worker.web.templates import render

MESSAGES: Mapping[str, str] = {
    "connected": "Connected. Mailchimp accepts the key.",
    "disconnected": "Disconnected. Nothing was changed in Mailchimp.",
    "on": "The integration is on.",
    "off": "The integration is off. Nothing more is sent to Mailchimp.",
    "saved": "Saved.",
    "same": "Nothing was changed: these settings were saved already.",
    "refreshed": "Your lists were read from Mailchimp.",
    "resumed": "The next sync tries again.",
    "syncing": "A sync begins within seconds. Load this page again to see how far it is.",
    "confirmed": "Confirmed. The sync begins within seconds.",
}
"""Messages after an action, by the name in the URL, so that no text comes from the URL."""

NOT_COMPARED = "We are still finding out who waits for it. Load this page again in two minutes."
"""After a take-over."""

SLUGS: Mapping[Group, str] = {group: "off" if group is Group.OFF else group.value.replace(" ", "-") for group in Group}
"""The groups of outcomes in URLs and in the style sheet."""
GROUPS = tuple({"name": SLUGS[group], "label": group.value.capitalize()} for group in Group)
"""The same for legends and table headers."""


def page(call: Call, template: str, *, title: str, tab: str = "", status: int = 200, **values: Any) -> Response:
    """Returns a page of the account of a call.

    Args:
        tab: which of the tabs is shown as chosen, by its path.
    """
    common = {
        "account_id": call.account,
        "base": account_path(call.account),
        "csrf": call.csrf,
        "operator": call.signed_in.operator,
        "sign_out": "/logout" if call.signed_in.operator else f"/accounts/{quote(call.account, safe='')}/logout",
        "tab": tab,
        "title": title,
    }
    return HTMLResponse(render(template, **common, **values), status)


def back(call: Call, to: str = "", done: str | None = None) -> Response:
    """Redirects from a submitted form to a page of the account.

    Args:
        to: below the account's page, with an anchor.
        done: a key of :data:`MESSAGES`, whose message the page shows; None for no message.
    """
    part, _, anchor = to.partition("#")
    query = f"{'&' if '?' in part else '?'}done={done}" if done else ""
    anchor = f"#{anchor}" if anchor else ""
    return RedirectResponse(f"{account_path(call.account)}{part}{query}{anchor}", 303)


def listed_from(call: Call) -> str | None:
    """Returns from when on syncs are listed: "today at 10:00"; None if all are. The time may lie ahead."""
    since = syncs_listed_from(call)
    return None if since is None else when(call, since)


def when(call: Call, moment: datetime | str) -> str:
    """Returns a moment in the words of the page: "today at 10:00"."""
    zone = call.app.config.flush.zone
    return moment_in_words(as_moment(moment) if isinstance(moment, str) else moment, call.now, zone)
