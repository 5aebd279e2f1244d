"""The OpenAPI 3.1 document of the API.

Source: https://spec.openapis.org/oas/v3.1.1.
"""

from __future__ import annotations

from functools import cache

from worker import __version__
from worker.plan.outcomes import Outcome
from worker.web.api.schemas import COUNT, FLAG, ID, PROBLEM, SCHEMAS, TEXT, TIME, Schema, array, nullable, record, ref

_LIST = {"name": "list_id", "in": "path", "required": True, "schema": ID}
_ACCOUNT = {
    "name": "account_id",
    "in": "path",
    "required": True,
    "schema": {"type": "string", "pattern": "^[A-Za-z0-9._~-]{1,128}$"},
}

_DEAD_LETTER = {
    "name": "number",
    "in": "path",
    "required": True,
    "schema": {"type": "integer", "minimum": 1, "maximum": 2**53 - 1},
}


def _query(name: str, schema: Schema) -> Schema:
    return {"name": name, "in": "query", "required": False, "schema": schema}


def _number(name: str, most: int) -> Schema:
    return _query(name, {"type": "integer", "minimum": 1, "maximum": most})


def _json(schema: Schema) -> Schema:
    return {"application/json": {"schema": schema}}


def _operation(
    name: str,
    summary: str,
    answer: Schema | None,
    *,
    body: Schema | None = None,
    body_required: bool = True,
    query: tuple[Schema, ...] = (),
    status: int = 200,
) -> Schema:
    success: Schema = {"description": summary}
    if answer is not None:
        success["content"] = _json(answer)
    problem = {
        "description": "What went wrong (RFC 9457).",
        "content": {"application/problem+json": {"schema": ref("Problem")}},
    }
    operation: Schema = {
        "operationId": name,
        "summary": summary,
        "responses": {str(status): success, "4XX": problem, "5XX": problem},
    }
    if query:
        operation["parameters"] = list(query)
    if body is not None:
        operation["requestBody"] = {"required": body_required, "content": _json(body)}
    return operation


def _of_operators() -> dict[str, Schema]:
    anything: Schema = {"type": "object"}
    link = record({"account_id": {**ID, "maxLength": 128}}, {"name": {**ID, "maxLength": 200}}, closed=True)
    new_link = record({"account_id": TEXT, "url": {**TEXT, "format": "uri"}, "expires_at": TIME})
    return {
        "/api/v1/openapi.json": {
            "get": {**_operation("describe", "This description", anything), "security": []},
        },
        "/api/v1/status": {"get": _operation("status", "The current state, as `status --json` prints it", anything)},
        "/api/v1/accounts": {
            "get": _operation("list_accounts", "All accounts", record({"accounts": array(ref("Settings"))}))
        },
        "/api/v1/runs": {
            "get": _operation(
                "list_runs",
                "The newest flush runs, newest first",
                record({"runs": array(anything)}),
                query=(_number("limit", 1000),),
            )
        },
        "/api/v1/dead-letters": {
            "get": _operation(
                "list_dead_letters",
                "Records that could not be understood: how many, and the newest, newest first",
                record({"count": COUNT, "dead_letters": array(ref("DeadLetter"))}),
                query=(_number("limit", 1000),),
            )
        },
        "/api/v1/dead-letters/{number}": {
            "get": _operation("show_dead_letter", "One of them in full", ref("WholeDeadLetter"))
        },
        "/api/v1/dead-letters/{number}/replay": {
            "post": _operation(
                "replay_dead_letter",
                "Read it again with this release; it is kept if it still cannot be understood",
                record({"number": COUNT, "understood": FLAG, "reason": nullable(TEXT)}),
            )
        },
        "/api/v1/links": {
            "post": _operation("make_link", "A link that opens an account's page once", new_link, body=link, status=201)
        },
        "/api/v1/accounts/{account_id}/sessions": {
            "delete": _operation("revoke_sessions", "End all sessions and links of an account", None, status=204)
        },
    }


def _of_accounts() -> dict[str, Schema]:
    paths = {**_of_settings(), **_of_deliveries()}
    return {f"/api/v1/accounts/{{account_id}}{path}": operations for path, operations in paths.items()}


def _of_settings() -> dict[str, Schema]:
    settings = ref("Settings")
    key = record({"api_key": ID}, closed=True)
    user = record({"account_name": TEXT, "login": TEXT})
    flush = record({"settled": COUNT, "left": COUNT, "ends_at": nullable(TIME)})
    state_now = record(
        {
            "state": {"type": "object"},
            "next_flush": TIME,
            "mailchimp": nullable(user),
            "problems": array(PROBLEM),
            "flush": nullable(flush),
        }
    )
    state: Schema = {"allOf": [settings, state_now]}
    return {
        "": {"get": _operation("show_account", "Settings, state and what comes next", state)},
        "/api-key": {
            "put": _operation("connect", "Store an API key once Mailchimp accepted it", settings, body=key),
            "delete": _operation("disconnect", "Remove the API key, and disable the integration", settings),
        },
        "/settings": {"put": _operation("put_settings", "Change settings (idempotent)", settings, body=ref("Wanted"))},
        "/preview": {"post": _operation("preview", "What a change would do", ref("Preview"), body=ref("Wanted"))},
        "/resume": {"post": _operation("resume", "End every pause of the account and of its lists", settings)},
        "/lists": {
            "get": _operation("show_lists", "Lists that the last refresh found", record({"lists": array(ref("List"))}))
        },
        "/lists/{list_id}/fields": {
            "get": _operation("show_fields", "Merge fields of a list, and what goes there", ref("Fields")),
            "put": _operation(
                "put_fields",
                "Choose what goes to which merge fields (idempotent)",
                ref("Fields"),
                body=ref("ChosenFields"),
            ),
        },
        "/refresh": {
            "get": _operation("show_refresh", "The last reading of the lists since the start", ref("Refresh")),
            "post": _operation("refresh", "Begin to read the lists from Mailchimp", ref("Refresh"), status=202),
        },
    }


def _of_deliveries() -> dict[str, Schema]:
    outcomes = _query("outcome", {"enum": [outcome.value for outcome in Outcome]})
    receipts = (_number("run", 2**53 - 1), outcomes, _query("list_id", TEXT), _query("customer_id", TEXT))
    request = record({"request": COUNT, "requested_at": TIME})
    person = record({"email": ID}, {"live": FLAG}, closed=True)
    return {
        "/sync": {
            "post": _operation(
                "sync",
                "Ask for a flush now: once in ten minutes, except to confirm what is held",
                request,
                body=record({}, {"confirm_held": FLAG}, closed=True),
                body_required=False,
                status=202,
            )
        },
        "/runs": {
            "get": _operation(
                "show_runs",
                "The account's parts of the flushes of the last days, oldest first",
                record({"runs": array(ref("AccountRun"))}),
                query=(_number("days", 400),),
            )
        },
        "/receipts": {
            "get": _operation(
                "show_receipts",
                "What became of customers: the newest, oldest first",
                record({"receipts": array(ref("Receipt")), "complete_since": TIME}),
                query=(*receipts, _number("limit", 10_000)),
            )
        },
        "/explain": {
            "post": _operation(
                "explain",
                "What happened to one person; with live, Mailchimp is asked too",
                record({"customers": array({"type": "object"})}),
                body=person,
            )
        },
        "/settings-log": {
            "get": _operation(
                "show_settings_log",
                "Who changed which setting when, newest first",
                record({"changes": array(ref("SettingChange"))}),
            )
        },
    }


@cache
def document() -> Schema:
    """Returns the document."""
    paths = {**_of_operators(), **_of_accounts()}
    for path, operations in paths.items():
        in_path = [parameter for parameter in (_ACCOUNT, _LIST, _DEAD_LETTER) if f"{{{parameter['name']}}}" in path]
        if in_path:
            operations["parameters"] = in_path
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "mailchimp-worker",
            "version": __version__,
            "description": "Everything that the settings pages do. Names are those of the event contract. "
            "Ignore fields that you do not know.",
        },
        "servers": [{"url": "/"}],
        "security": [{"token": []}, {"session": [], "form": []}],
        "paths": paths,
        "components": {
            "schemas": SCHEMAS,
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "web.token"},
                "session": {"type": "apiKey", "in": "cookie", "name": "mailchimp_worker"},
                "form": {"type": "apiKey", "in": "header", "name": "X-CSRF-Token"},
            },
        },
    }
