"""Settings → Mailchimp: what needs the owner's attention, then every setting in the order of setup."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from starlette.responses import Response

from worker.errors import AccountError, MailchimpError, UsageError
from worker.model import ListId
from worker.store.accounts import AccountList, AccountSettings
from worker.web.account_editor import editor_of
from worker.web.account_reader import CurrentState, reader_of
from worker.web.call import Call
from worker.web.errors import TooManyTries
from worker.web.owner_messages import OwnerMessage, message_for_owner
from worker.web.pages.attention import needing_attention
from worker.web.pages.layout import GROUPS, back, just_done, page, when
from worker.web.pages.problems import REFRESH, SYNC, Problem, set_up
from worker.web.pages.syncs import chart_of, last_sync
from worker.web.pages.words import people
from worker.web.pages.your_data import fields_of, not_sent


def show(call: Call) -> Response:
    """Shows the page."""
    return shown(call)


def shown(
    call: Call,
    *,
    key_error: OwnerMessage | None = None,
    list_error: str | None = None,
    warning: str | None = None,
    status: int = 200,
) -> Response:
    """Returns the page, with each error beside the field that it is about."""
    reading = reader_of(call)
    now, parts = reading.current_state(), reading.runs(30)
    settings, facts = now.facts.settings, now.facts
    next_sync = when(call, now.next_flush)
    found = needing_attention(call, now)
    pressing, notes = ([one for one in found if (one.level == "note") is note] for note in (False, True))
    unsent = not_sent(facts.part.left_out, settings) if facts.part is not None else []
    refresh, message = reading.refresh(), warning or just_done(call)
    return page(
        call,
        "settings.html",
        tab="",
        title="Settings",
        status=status,
        message=message,
        tone="warn" if warning else "good",
        pressing=pressing,
        has_problem=any(one.level == "problem" for one in pressing),
        notes=notes,
        set_up=set_up(settings),
        headline=_headline(call, now, pressing, next_sync),
        progress=now.flush,
        connected=when(call, settings.connected_at) if settings.key_hint and settings.connected_at else None,
        user=reading.user(),
        settings=settings,
        key_error=key_error,
        key_refused=settings.pause is not None,
        flush_at=call.context.parts.config.flush.at,
        lists=_lists(settings, reading.new_lists(settings)),
        list_error=list_error,
        read_at=when(call, settings.refreshed_at) if settings.refreshed_at else None,
        refresh=REFRESH,
        refresh_problem=message_for_owner(refresh.problem)
        if refresh is not None and refresh.problem is not None
        else None,
        sync=SYNC,
        last=last_sync(call, parts),
        next_sync=next_sync,
        waiting=people(facts.waiting) if facts.waiting else None,
        chart=chart_of(call, parts),
        groups=GROUPS,
        fields=[
            {
                "detail": one.detail,
                "tag": one.tag,
                "only_on": ", ".join(one.only_on),
                "missing": any(each.tag == one.tag for each in unsent),
            }
            for one in fields_of(settings)
        ],
        mapped_lists=[one for one in settings.stored if not one.gone] if settings.key_hint else [],
        not_sent=unsent,
    )


def _headline(call: Call, now: CurrentState, pressing: list[Problem], next_sync: str) -> Mapping[str, str] | None:
    facts = now.facts
    if facts.delivering:
        more = "Load this page again to see how far it is."
        if now.flush is not None and now.flush.ends_at is not None:
            end = when(call, now.flush.ends_at)
            more = f"{people(now.flush.left)} left. It should end {end}. {more}"
        return _state("A sync is under way", more)
    if now.sync_requested:
        return _state("A sync begins within seconds", "Load this page again to see it.")
    if now.missing:
        return None
    waiting = people(facts.waiting) if facts.waiting else ""
    if pressing:
        return _state(f"Next sync {next_sync}", "", waiting, tone="off")
    more = "Everything is ready for it." if waiting else "Everything is in order."
    return _state(f"Ready. Next sync {next_sync}", more, waiting)


def _state(text: str, more: str, waiting: str = "", *, tone: str = "") -> dict[str, str]:
    return {"tone": tone, "text": text, "more": more, "waiting": waiting}


def _lists(settings: AccountSettings, new: Collection[ListId]) -> list[dict[str, Any]]:
    return [
        {
            "list_id": one.list_id,
            "name": one.name,
            "members": one.member_count,
            "stored": one.stored,
            "gone": one.gone,
            "master": one.list_id == settings.master_list,
            **_marked(one, new=one.list_id in new),
        }
        for one in settings.lists
        if one.stored or not one.gone
    ]


def _marked(one: AccountList, *, new: bool) -> dict[str, str]:
    if one.gone:
        return {
            "badge": "gone",
            "tone": "bad",
            "note": "No longer in Mailchimp. Untick it, so that its customers no longer wait.",
        }
    if one.pause is not None:
        return {"badge": "paused", "tone": "warn", "note": "Mailchimp refuses everyone whom we add."}
    permissions = "It asks its members for marketing permissions; we add people without any."
    note = permissions if one.stored and one.marketing_permissions else ""
    return {"badge": "new" if new else "", "tone": "", "note": note}


def connect(call: Call) -> Response:
    """Stores an API key, or shows beside the field why it cannot be used."""
    try:
        editor_of(call).connect(call.field("key").strip())
    except (UsageError, MailchimpError) as error:
        return shown(call, key_error=message_for_owner(error), status=422)
    reading = reader_of(call)
    if reading.settings().refreshed_at is None:
        # The next step anyway, so start it.
        editor_of(call).refresh_lists()
        return back(call, "/refreshing")
    return back(call, "", "connected")


def refresh(call: Call) -> Response:
    """Starts reading the lists from Mailchimp, and redirects to the page that waits for it."""
    editor_of(call).refresh_lists()
    return back(call, "/refreshing")


SECONDS = 1
"""Seconds between two reloads of the waiting page."""


def refreshing(call: Call) -> Response:
    """Shows that lists are being read, and reloads itself; once they are read, redirects to them."""
    found = reader_of(call).refresh()
    if found is None or not found.running:
        return back(call, "#lists", "refreshed" if found is not None and found.problem is None else None)
    answer = page(call, "refreshing.html", tab="", title="Reading your lists", began=when(call, found.began_at))
    answer.headers["Refresh"] = str(SECONDS)
    return answer


def resume(call: Call) -> Response:
    """Ends the pauses that Mailchimp's refusals caused."""
    editor_of(call).resume()
    return back(call, "", "resumed")


def sync(call: Call) -> Response:
    """Requests a sync now; says so if there has just been one."""
    try:
        editor_of(call).sync_now()
    except TooManyTries:
        again = reader_of(call).current_state().sync_again_at
        advice = f" You can ask again {when(call, again)}." if again is not None else ""
        return shown(call, warning=f"A sync was asked for within the last ten minutes.{advice}", status=429)
    except AccountError:
        return shown(call, warning="A sync cannot begin yet. See below what is missing.", status=409)
    return back(call, "", "syncing")
