"""The API for programs, ``/api/v1``: everything that the pages do, as JSON. Described by ``openapi.py``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from starlette.responses import JSONResponse, Response

from worker.accounts import api_keys, settings_log
from worker.accounts.lists import new_of
from worker.clock import as_text, text_or_none
from worker.model import AccountId, CustomerId, ListId, address_key
from worker.plan.outcomes import Outcome
from worker.sqlite.lock import seconds_since_beat
from worker.status import json_data
from worker.status.explanation import letters_naming
from worker.status.live import read_live
from worker.status.overview import account_data, overview
from worker.status.run_summary import run_data
from worker.store import accounts, dead_letters, receipts, runs
from worker.store.accounts import AccountSettings
from worker.web import account_editor, account_reader
from worker.web.access import sessions
from worker.web.access.visitor import Need
from worker.web.api import inputs
from worker.web.api.openapi import Operation, document
from worker.web.api.schemas import (
    ANYTHING,
    COUNT,
    FLAG,
    STATE,
    TEXT,
    TIME,
    Schema,
    array,
    at_most,
    nullable,
    record,
    ref,
)
from worker.web.call import Call
from worker.web.dead_letter_replay import dead_letter_of, replayed
from worker.web.pages.settings_page import needing_attention
from worker.web.refreshes import Refresh
from worker.web.routing import Handle

ROOT = "/api/v1"
OF_ACCOUNT = f"{ROOT}/accounts/{{account_id}}"


def _settings(call: Call, settings: AccountSettings) -> dict[str, Any]:
    return json_data.settings_data(settings, call.app.waiting_of(call.db, settings.account_id))


# For operators


def describe(call: Call) -> Response:
    """Returns the OpenAPI document."""
    return JSONResponse(document(PAGES))


def status(call: Call) -> Response:
    """Returns what ``status --json`` prints, without the other workers."""
    config = call.app.config
    beat, live = seconds_since_beat(config.staging.path), read_live(config.staging.path)
    return JSONResponse(overview(call.db, config, call.now, beat=beat, live=live))


def list_accounts(call: Call) -> Response:
    """Returns the settings of all accounts."""
    waiting = call.app.waiting(call.db)
    everyone = accounts.all_accounts(call.db)
    data = [json_data.settings_data(settings, waiting[settings.account_id]) for settings in everyone]
    return JSONResponse({"accounts": data})


def list_runs(call: Call) -> Response:
    """Returns the newest flush runs of all accounts, newest first."""
    limit = inputs.number(call, "limit", 30, inputs.MOST_RUNS)
    return JSONResponse({"runs": [run_data(run) for run in runs.last(call.db, limit)]})


def make_link(call: Call) -> Response:
    """Returns a link that opens an account's page once."""
    link = inputs.body(call, inputs.Link)
    token = sessions.new_link(call.context.signer("link"), AccountId(link.account_id), link.name, call.now)
    url = f"{call.app.config.web.url}/open?link={token}"
    expires_at = as_text(call.now + sessions.LINK)
    return JSONResponse({"account_id": link.account_id, "url": url, "expires_at": expires_at}, 201)


def revoke_sessions(call: Call) -> Response:
    """Ends all sessions and links of an account."""
    sessions.revoke(call.db, call.app.changelog, call.account, call.now)
    return Response(status_code=204)


def list_dead_letters(call: Call) -> Response:
    """Returns the newest dead letters, newest first, without their values."""
    limit = inputs.number(call, "limit", 100, inputs.MOST_DEAD_LETTERS)
    letters = dead_letters.all_letters(call.db, limit)
    data = [json_data.dead_letter_data(letter, whole=False) for letter in reversed(letters)]
    return JSONResponse({"count": dead_letters.count(call.db), "dead_letters": data})


def show_dead_letter(call: Call) -> Response:
    """Returns one dead letter with its value."""
    return JSONResponse(json_data.dead_letter_data(dead_letter_of(call, inputs.number_in_path(call))))


def replay_dead_letter(call: Call) -> Response:
    """Decodes a dead letter again with this release."""
    number = inputs.number_in_path(call)
    why = replayed(call, number)
    return JSONResponse({"number": number, "understood": why is None, "reason": why})


# One account


def show_account(call: Call) -> Response:
    """Returns an account's settings, its state and what comes next."""
    current, config = account_reader.current_state(call), call.app.config
    flush, user = current.flush, api_keys.owner_of(call.db, call.account)
    return JSONResponse(
        json_data.settings_data(current.facts.settings, current.facts.waits)
        | {
            "mailchimp": {"account_name": user.name, "login": user.login} if user is not None else None,
            "problems": [
                {name: getattr(problem, name) for name in ("code", "level", "title", "text", "details")}
                for problem in needing_attention(call, current)
            ],
            "state": account_data(current.facts, call.now, config),
            "next_flush": as_text(call.next_flush),
            "receipts_complete_since": as_text(account_reader.receipts_complete_since(call)),
            "sync_again_at": text_or_none(current.sync_again_at),
            "sync_asked": current.sync_requested,
            "flush": flush and {"settled": flush.settled, "left": flush.left, "ends_at": text_or_none(flush.ends_at)},
        }
    )


def connect(call: Call) -> Response:
    """Stores an API key once Mailchimp has accepted it."""
    connected = account_editor.connect(call, inputs.body(call, inputs.ApiKey).api_key)
    user = {"account_name": connected.user.name, "login": connected.user.login}
    return JSONResponse(_settings(call, connected.settings) | {"mailchimp": user, "notice": connected.notice})


def disconnect(call: Call) -> Response:
    """Removes the API key."""
    return JSONResponse(_settings(call, account_editor.disconnect(call)))


def put_settings(call: Call) -> Response:
    """Changes settings."""
    wanted = inputs.body(call, inputs.Wanted)
    confirmed = {ListId(list_id): count for list_id, count in (wanted.confirmed or {}).items()}
    return JSONResponse(_settings(call, account_editor.change(call, wanted.requested(), confirmed)))


def preview(call: Call) -> Response:
    """Returns the consequences of a change of settings."""
    preview = account_reader.preview(call, inputs.body(call, inputs.Wanted).requested())
    follows = preview.follows
    moves = sorted(follows.moves.items()) if follows is not None else ()
    return JSONResponse(
        {
            "delivers": follows is not None,
            "adds": follows.adds if follows is not None else 0,
            "status_if_new": preview.settings.status_if_new,
            "moves": [{"from_list_id": a, "to_list_id": b, "count": count} for (a, b), count in moves],
            "leaves": dict(follows.leaves) if follows is not None else {},
            "to_confirm": preview.to_confirm,
            "words": preview.in_words,
        }
    )


def resume(call: Call) -> Response:
    """Ends every pause."""
    return JSONResponse(_settings(call, account_editor.resume(call)))


def show_lists(call: Call) -> Response:
    """Returns the lists that the last refresh found."""
    settings = account_reader.settings_of(call)
    new = new_of(call.db, settings)
    lists = [data | {"new": data["list_id"] in new} for data in json_data.lists_data(settings)]
    return JSONResponse({"lists": lists})


def show_fields(call: Call) -> Response:
    """Returns the merge fields of a list, as Mailchimp has them now, with their sources."""
    list_id = ListId(call.path["list_id"])
    return JSONResponse(
        {"list_id": list_id, "fields": json_data.mapping_data(account_reader.merge_fields_of(call, list_id))}
    )


def put_fields(call: Call) -> Response:
    """Replaces the mapping of a list's merge fields."""
    list_id = ListId(call.path["list_id"])
    fields = account_editor.choose_fields(call, list_id, inputs.body(call, inputs.ChosenFields).sources())
    return JSONResponse({"list_id": list_id, "fields": json_data.mapping_data(fields)})


def show_refresh(call: Call) -> Response:
    """Returns the last refresh of the lists."""
    return JSONResponse(_refresh_data(call.context.refreshes.of(call.account)))


def refresh(call: Call) -> Response:
    """Starts reading the lists from Mailchimp."""
    return JSONResponse(_refresh_data(account_editor.refresh_lists(call)), 202)


def _refresh_data(refresh: Refresh | None) -> dict[str, Any]:
    if refresh is None:
        return {"state": "none"}
    refreshed = refresh.refreshed
    return {
        "state": "running" if refresh.running else "failed" if refresh.problem else "done",
        "began_at": as_text(refresh.began_at),
        "ended_at": text_or_none(refresh.ended_at),
        "problem": {"detail": refresh.problem.message, "advice": refresh.problem.advice} if refresh.problem else None,
        "new_list_ids": [mailing_list.list_id for mailing_list in refreshed.new] if refreshed else [],
        "gone_list_ids": [mailing_list.list_id for mailing_list in refreshed.missing] if refreshed else [],
        "back_list_ids": [mailing_list.list_id for mailing_list in refreshed.back] if refreshed else [],
    }


def sync(call: Call) -> Response:
    """Requests a flush of the account now."""
    request = account_editor.sync_now(call, confirm_held=inputs.body(call, inputs.Sync).confirm_held)
    return JSONResponse({"request": request.request, "requested_at": request.requested_at}, 202)


def show_runs(call: Call) -> Response:
    """Returns the account's parts of recent flushes, oldest first."""
    days = inputs.number(call, "days", 30, inputs.MOST_DAYS)
    parts = [asdict(run) for run in account_reader.runs_of(call, days)]
    since = as_text(account_reader.receipts_complete_since(call))
    return JSONResponse({"runs": [part.pop("part") | part for part in parts], "complete_since": since})


def show_receipts(call: Call) -> Response:
    """Returns the newest receipts, oldest first."""
    list_id, customer_id = call.query.get("list_id"), call.query.get("customer_id")
    run, outcome = inputs.number(call, "run", 0, inputs.LARGEST), inputs.outcome(call)
    matching = receipts.find(
        call.db,
        account_id=call.account,
        runs=[run] if run else None,
        outcomes=[outcome] if outcome is not None else None,
        list_id=ListId(list_id) if list_id is not None else None,
        customer_id=CustomerId(customer_id) if customer_id is not None else None,
        limit=inputs.number(call, "limit", 100, inputs.MOST_RECEIPTS),
    )
    since = as_text(account_reader.receipts_complete_since(call))
    return JSONResponse(
        {"receipts": [json_data.receipt_data(receipt) for receipt in matching], "complete_since": since}
    )


def explain(call: Call) -> Response:
    """Returns the history of one person. The address is in the body, so that no access log contains it."""
    asked = inputs.body(call, inputs.Person)
    people = account_reader.people_at(call, asked.email, live=asked.live)
    address = address_key(asked.email)
    # A dead letter may belong to any account, so only operators see them.
    letters = letters_naming(call.db, address) if address is not None and call.signed_in.operator else []
    return JSONResponse(
        {"customers": [json_data.explanation_data(person.explanation, person.live, letters) for person in people]}
    )


def show_settings_log(call: Call) -> Response:
    """Returns who changed which setting, and when, newest first."""
    return JSONResponse({"changes": [asdict(change) for change in settings_log.read(call.db, call.account)[::-1]]})


_GET, _POST, _PUT, _DELETE = (("GET",), ("POST",), ("PUT",), ("DELETE",))
_RECEIPTS = {
    "run": at_most(inputs.LARGEST),
    "outcome": {"enum": [outcome.value for outcome in Outcome]},
    "list_id": TEXT,
    "customer_id": TEXT,
    "limit": at_most(inputs.MOST_RECEIPTS),
}
_DAYS = {"days": at_most(inputs.MOST_DAYS)}
_LETTERS = record({"count": COUNT, "dead_letters": array(ref("DeadLetter"))})
_REPLAYED = record({"number": COUNT, "understood": FLAG, "reason": nullable(TEXT)})
_LINK = record({"account_id": TEXT, "url": {**TEXT, "format": "uri"}, "expires_at": TIME})
_RECEIPTS_FOUND = record({"receipts": array(ref("Receipt")), "complete_since": TIME})


def _operator(path: str, handle: Handle, methods: Sequence[str], answer: Schema | None, **more: Any) -> Operation:
    return Operation(f"{ROOT}{path}", handle, Need.OPERATOR, methods, answer=answer, **more)


def _account(path: str, handle: Handle, methods: Sequence[str], answer: Schema, **more: Any) -> Operation:
    return Operation(f"{OF_ACCOUNT}{path}", handle, Need.ACCOUNT, methods, answer=answer, **more)


PAGES = (
    Operation(f"{ROOT}/openapi.json", describe, Need.NOTHING, answer=ANYTHING),
    _operator("/status", status, _GET, ANYTHING),
    _operator("/accounts", list_accounts, _GET, record({"accounts": array(ref("Settings"))})),
    _operator("/runs", list_runs, _GET, record({"runs": array(ANYTHING)}), query={"limit": at_most(inputs.MOST_RUNS)}),
    _operator("/dead-letters", list_dead_letters, _GET, _LETTERS, query={"limit": at_most(inputs.MOST_DEAD_LETTERS)}),
    _operator("/dead-letters/{number}", show_dead_letter, _GET, ref("WholeDeadLetter")),
    _operator("/dead-letters/{number}/replay", replay_dead_letter, _POST, _REPLAYED),
    _operator("/links", make_link, _POST, _LINK, body=inputs.Link, status=201),
    _operator("/accounts/{account_id}/sessions", revoke_sessions, _DELETE, None, status=204, anywhere=True),
    _account("", show_account, _GET, {"allOf": [ref("Settings"), STATE]}),
    _account("/api-key", connect, _PUT, ref("Settings"), body=inputs.ApiKey),
    _account("/api-key", disconnect, _DELETE, ref("Settings")),
    _account("/settings", put_settings, _PUT, ref("Settings"), body=inputs.Wanted),
    _account("/preview", preview, _POST, ref("Preview"), body=inputs.Wanted),
    _account("/resume", resume, _POST, ref("Settings")),
    _account("/lists", show_lists, _GET, record({"lists": array(ref("List"))}), anywhere=True),
    _account("/lists/{list_id}/fields", show_fields, _GET, ref("Fields")),
    _account("/lists/{list_id}/fields", put_fields, _PUT, ref("Fields"), body=inputs.ChosenFields),
    _account("/refresh", show_refresh, _GET, ref("Refresh")),
    _account("/refresh", refresh, _POST, ref("Refresh"), status=202),
    _account("/sync", sync, _POST, record({"request": COUNT, "requested_at": TIME}), body=inputs.Sync, status=202),
    _account(
        "/runs",
        show_runs,
        _GET,
        record({"runs": array(ref("AccountRun")), "complete_since": TIME}),
        query={"days": at_most(inputs.MOST_DAYS)},
    ),
    _account("/receipts", show_receipts, _GET, _RECEIPTS_FOUND, query=_RECEIPTS),
    _account("/explain", explain, _POST, record({"customers": array(ANYTHING)}), body=inputs.Person),
    _account("/settings-log", show_settings_log, _GET, record({"changes": array(ref("SettingChange"))}), anywhere=True),
)
