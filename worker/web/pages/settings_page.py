"""Settings → Mailchimp: what needs the owner's attention, then every setting in the order of setup."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.responses import Response

from worker.accounts import api_keys
from worker.accounts.lists import new_of
from worker.errors import AccountError, MailchimpError, UsageError
from worker.sqlite.lock import is_locked
from worker.status.live import read_live
from worker.store import customers, sent_fields
from worker.store.accounts import AccountList
from worker.web import account_editor
from worker.web.account_reader import CurrentState, current_state, runs_of, settings_of
from worker.web.call import Call
from worker.web.error_responses import OwnerMessage, message_for_owner
from worker.web.errors import TooManyTries
from worker.web.pages.layout import GROUPS, MESSAGES, NOT_COMPARED, back, listed_from, page, when
from worker.web.pages.problems import REFRESH, SYNC, Problem, ProblemContext, problems_of, set_up
from worker.web.pages.syncs import chart_of, last_sync
from worker.web.pages.words import people
from worker.web.pages.your_data import badge_of, fields_of, not_sent


def show(call: Call) -> Response:
    """Shows the page."""
    return settings_response(call)


def settings_response(
    call: Call,
    *,
    key_error: OwnerMessage | None = None,
    list_error: str | None = None,
    warning: str | None = None,
    status: int = 200,
) -> Response:
    """Returns the page, with each error beside the field that it is about."""
    current, parts = current_state(call), runs_of(call)
    settings, facts = current.facts.settings, current.facts
    new = new_of(call.db, settings)
    next_sync = when(call, call.next_flush)
    problems = needing_attention(call, current)
    pressing, notes = ([problem for problem in problems if (problem.level == "note") is note] for note in (False, True))
    since = listed_from(call)
    left_out = facts.part.left_out if facts.part is not None else ()
    sent = sent_fields.tags(call.db, call.account, [on_list.list_id for on_list in settings.stored])
    refresh, message = call.context.refreshes.of(call.account), warning or MESSAGES.get(call.query.get("done", ""))
    return page(
        call,
        "settings.html",
        title="Settings",
        status=status,
        message=message,
        tone="warn" if warning else "good",
        pressing=pressing,
        has_problem=any(problem.level == "problem" for problem in pressing),
        notes=notes,
        set_up=set_up(settings),
        headline=_headline(call, current, pressing, next_sync),
        progress=current.flush,
        connected=when(call, settings.connected_at) if settings.key_hint and settings.connected_at else None,
        user=api_keys.owner_of(call.db, call.account),
        settings=settings,
        key_error=key_error,
        key_refused=settings.pause is not None,
        flush_at=call.app.config.flush.at,
        lists=[
            (mailing_list, *_mark(mailing_list, new=mailing_list.list_id in new))
            for mailing_list in settings.lists
            if mailing_list.stored or not mailing_list.gone
        ],
        list_error=list_error,
        read_at=when(call, settings.refreshed_at) if settings.refreshed_at else None,
        refresh=REFRESH,
        refresh_problem=message_for_owner(refresh.problem) if refresh and refresh.problem else None,
        sync=SYNC,
        syncing=current.syncing,
        last=last_sync(call, parts),
        next_sync=next_sync,
        listed_from=since,
        waiting=people(facts.waiting) if facts.waiting else None,
        later=people(facts.waits.later) if facts.waits.later else None,
        chart=chart_of(call, parts),
        groups=GROUPS,
        fields=[
            (field, badge_of(field.tag, left_out, sent, synced=facts.part is not None or since is not None))
            for field in fields_of(settings)
        ],
        mapped_lists=[on_list for on_list in settings.stored if not on_list.gone] if settings.key_hint else [],
        not_sent=[not_sent(row, settings) for row in left_out],
    )


def needing_attention(call: Call, now: CurrentState) -> list[Problem]:
    """Returns what the account's owner must do or know, the most important first; for the API too."""
    context = ProblemContext(
        _away(call),
        customers.count_of(call.db, call.account),
        when(call, call.next_flush),
        sync_requested=now.sync_requested,
        listed_from=listed_from(call),
    )
    return problems_of(now.facts, context, call.now)


def _away(call: Call) -> str | None:
    path = call.app.config.staging.path
    live = read_live(path) if is_locked(path) else None
    if live is not None and live.away_since is not None:
        return f"The connection has been away since {when(call, live.away_since)}."
    return None


def _headline(call: Call, current: CurrentState, pressing: list[Problem], next_sync: str) -> Mapping[str, str] | None:
    facts = current.facts
    if facts.delivering:
        more = "Load this page again to see how far it is."
        if current.flush is not None and current.flush.ends_at is not None:
            end = when(call, current.flush.ends_at)
            more = f"{people(current.flush.left)} left. It should end {end}. {more}"
        return _state("A sync is under way", more)
    if current.sync_requested:
        return _state("A sync begins within seconds", "Load this page again to see it.")
    if current.missing:
        return None
    waiting = people(facts.waiting) if facts.waiting else ""
    if pressing or not facts.waits.compared:
        more = "" if facts.waits.compared else NOT_COMPARED
        return _state(f"Next sync {next_sync}", more, waiting, tone="off")
    more = "Everything is ready for it." if waiting else "Everything is in order."
    return _state(f"Ready. Next sync {next_sync}", more, waiting)


def _state(text: str, more: str, waiting: str = "", *, tone: str = "") -> dict[str, str]:
    return {"tone": tone, "text": text, "more": more, "waiting": waiting}


def _mark(mailing_list: AccountList, *, new: bool) -> tuple[str, str, str]:
    # Its badge, the badge's tone, and a note.
    if mailing_list.gone:
        note = "No longer in Mailchimp. Each sync looks for it again. Untick it only if you deleted it for good."
        return "gone", "bad", note
    if mailing_list.pause is not None:
        return "paused", "warn", "Mailchimp refuses everyone whom we add."
    permissions = "It asks its members for marketing permissions; we add people without any."
    note = permissions if mailing_list.stored and mailing_list.marketing_permissions else ""
    return "new" if new else "", "", note


def connect(call: Call) -> Response:
    """Stores an API key, or shows beside the field why it cannot be used."""
    try:
        account_editor.connect(call, call.field("key").strip())
    except (UsageError, MailchimpError) as error:
        return settings_response(call, key_error=message_for_owner(error), status=422)
    if settings_of(call).refreshed_at is None:
        # The next step anyway, so start it.
        account_editor.refresh_lists(call)
        return back(call, "/refreshing")
    return back(call, "", "connected")


def refresh(call: Call) -> Response:
    """Starts reading the lists from Mailchimp, and redirects to the page that waits for it."""
    account_editor.refresh_lists(call)
    return back(call, "/refreshing")


SECONDS = 1
"""Seconds between two reloads of the waiting page."""


def refreshing(call: Call) -> Response:
    """Shows that lists are being read, and reloads itself; once they are read, redirects to them."""
    refresh = call.context.refreshes.of(call.account)
    if refresh is None or not refresh.running:
        return back(call, "#lists", "refreshed" if refresh is not None and refresh.problem is None else None)
    answer = page(call, "refreshing.html", title="Reading your lists", began=when(call, refresh.began_at))
    answer.headers["Refresh"] = str(SECONDS)
    return answer


def resume(call: Call) -> Response:
    """Ends the pauses that Mailchimp's refusals caused."""
    account_editor.resume(call)
    return back(call, "", "resumed")


def sync(call: Call) -> Response:
    """Requests a sync now; says so if there has just been one."""
    try:
        account_editor.sync_now(call)
    except TooManyTries as error:
        return settings_response(call, warning=" ".join(message_for_owner(error)), status=429)
    except AccountError:
        return settings_response(call, warning="A sync cannot begin yet. See below what is missing.", status=409)
    return back(call, "", "syncing")
