"""The OpenAPI 3.1 document of the API.

Source: https://spec.openapis.org/oas/v3.1.1.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from worker import __version__
from worker.plan.outcomes import Outcome
from worker.web.openapi_fields import CHOSEN_FIELDS, FIELDS

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
ID: Schema = {"type": "string", "minLength": 1, "maxLength": 1000}
TIME: Schema = {"type": "string", "format": "date-time"}
COUNT: Schema = {"type": "integer", "minimum": 0}
FLAG: Schema = {"type": "boolean"}
COUNTS: Schema = {"type": "object", "additionalProperties": COUNT}


def _or_null(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


def _list(of: Schema) -> Schema:
    return {"type": "array", "items": of}


def _object(required: dict[str, Schema], optional: dict[str, Schema] | None = None, *, closed: bool = False) -> Schema:
    made: Schema = {"type": "object", "properties": {**required, **(optional or {})}, "required": list(required)}
    return {**made, "additionalProperties": False} if closed else made


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


_WANTED = _object(
    {},
    {
        "enabled": _or_null(FLAG),
        "status_if_new": {"enum": ["subscribed", "pending", None]},
        "stored_list_ids": _or_null({"type": "array", "items": ID, "maxItems": 1000}),
        "master_list_id": _or_null(ID),
        "confirmed": _or_null({**COUNTS, "maxProperties": 1000}),
    },
    closed=True,
)
_LETTER: Schema = {
    "number": COUNT,
    "topic": TEXT,
    "partition": COUNT,
    "offset": COUNT,
    "read_at": TIME,
    "reason": TEXT,
    "key": _or_null({**TEXT, "description": "Bytes that are not UTF-8 are escaped, here and in value."}),
}
_PROBLEM = _object(
    {
        "code": TEXT,
        "level": {"enum": ["problem", "step", "note"]},
        "title": {**TEXT, "description": "In the words of the page, for the account's owner, as all of these."},
        "text": TEXT,
        "details": _list(TEXT),
    }
)
SCHEMAS: dict[str, Schema] = {
    "Problem": _object(
        {"type": TEXT, "title": TEXT, "status": {"type": "integer"}, "detail": TEXT, "code": TEXT, "advice": TEXT},
        {"to_confirm": COUNTS},
    ),
    "Settings": _object(
        {
            "account_id": TEXT,
            "enabled": FLAG,
            "api_key": _or_null(
                {**TEXT, "description": "The last four characters before the data centre, and the data centre."}
            ),
            "connected_at": _or_null(TIME),
            "status_if_new": {"enum": ["subscribed", "pending"]},
            "master_list_id": _or_null(TEXT),
            "stored_list_ids": _list(TEXT),
            "lists_refreshed_at": _or_null(TIME),
            "paused": _or_null(_object({"reason": TEXT, "since": TIME})),
            "customers_waiting": COUNT,
            "missing": _list(_object({"code": TEXT, "what": TEXT, "advice": TEXT})),
        }
    ),
    "Wanted": {**_WANTED, "description": "What is left out, or null, is not changed."},
    "Preview": _object(
        {
            "delivers": {**FLAG, "description": "False while something is missing, so that nothing is delivered."},
            "adds": COUNT,
            "status_if_new": {"enum": ["subscribed", "pending"]},
            "moves": _list(_object({"from_list_id": TEXT, "to_list_id": TEXT, "count": COUNT})),
            "leaves": COUNTS,
            "to_confirm": {
                **COUNTS,
                "description": "Send it back as confirmed to let this many members leave each list.",
            },
            "words": TEXT,
        }
    ),
    "List": _object(
        {
            "list_id": TEXT,
            "name": TEXT,
            "stored": FLAG,
            "master": FLAG,
            "members": COUNT,
            "marketing_permissions": FLAG,
            "new": {**FLAG, "description": "Found by a later refresh than the first, and not stored since."},
            "gone_since": _or_null(TIME),
            "paused": _or_null(_object({"reason": TEXT, "since": TIME})),
            "refreshed_at": TIME,
        }
    ),
    "Fields": FIELDS,
    "ChosenFields": CHOSEN_FIELDS,
    "Refresh": _object(
        {"state": {"enum": ["none", "running", "failed", "done"]}},
        {
            "began_at": TIME,
            "ended_at": _or_null(TIME),
            "problem": _or_null(_object({"detail": TEXT, "advice": TEXT})),
            "new_list_ids": _list(TEXT),
            "gone_list_ids": _list(TEXT),
            "back_list_ids": _list(TEXT),
        },
    ),
    "AccountRun": _object(
        {
            "run": COUNT,
            "started_at": TIME,
            "ended_at": _or_null(TIME),
            "trigger": TEXT,
            "ended": TEXT,
            "to_do": COUNT,
            "settled": COUNT,
            "counts": COUNTS,
            "message": _or_null(TEXT),
            "left_out": _list({"type": "object"}),
        }
    ),
    "Receipt": _object(
        {
            "run": COUNT,
            "at": TIME,
            "account_id": TEXT,
            "customer_id": TEXT,
            "email": _or_null(TEXT),
            "list_id": _or_null(TEXT),
            "outcome": TEXT,
            "detail": TEXT,
            "next": TEXT,
        }
    ),
    "DeadLetter": _object(_LETTER),
    "WholeDeadLetter": _object(
        {
            **_LETTER,
            "value": _or_null(TEXT),
            "value_base64": _or_null({**TEXT, "contentEncoding": "base64"}),
            "headers": _list(_list(_or_null(TEXT))),
        }
    ),
    "SettingChange": _object(
        {"at": TIME, "by": TEXT, "setting": TEXT, "before": _or_null(TEXT), "after": _or_null(TEXT)}
    ),
}

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
    needed: bool = True,
    query: tuple[Schema, ...] = (),
    status: int = 200,
    open_to_all: bool = False,
) -> Schema:
    good: Schema = {"description": summary}
    if answer is not None:
        good["content"] = _json(answer)
    problem = {"description": "What went wrong (RFC 9457).", "content": {"application/problem+json": {}}}
    problem["content"] = {"application/problem+json": {"schema": _ref("Problem")}}
    made: Schema = {
        "operationId": name,
        "summary": summary,
        "responses": {str(status): good, "4XX": problem, "5XX": problem},
    }
    if query:
        made["parameters"] = list(query)
    if body is not None:
        made["requestBody"] = {"required": needed, "content": _json(body)}
    if open_to_all:
        made["security"] = []
    return made


def _of_operators() -> dict[str, Schema]:
    anything: Schema = {"type": "object"}
    link = _object({"account_id": {**ID, "maxLength": 128}}, {"name": {**ID, "maxLength": 200}}, closed=True)
    made = _object({"account_id": TEXT, "url": {**TEXT, "format": "uri"}, "expires_at": TIME})
    return {
        "/api/v1/openapi.json": {
            "get": _operation("describe", "This description", anything, open_to_all=True),
        },
        "/api/v1/status": {"get": _operation("status", "The current state, as `status --json` prints it", anything)},
        "/api/v1/accounts": {
            "get": _operation("list_accounts", "All accounts", _object({"accounts": _list(_ref("Settings"))}))
        },
        "/api/v1/runs": {
            "get": _operation(
                "list_runs",
                "The newest flush runs, newest first",
                _object({"runs": _list(anything)}),
                query=(_number("limit", 1000),),
            )
        },
        "/api/v1/dead-letters": {
            "get": _operation(
                "list_dead_letters",
                "Records that could not be understood: how many, and the newest, newest first",
                _object({"count": COUNT, "dead_letters": _list(_ref("DeadLetter"))}),
                query=(_number("limit", 1000),),
            )
        },
        "/api/v1/dead-letters/{number}": {
            "get": _operation("show_dead_letter", "One of them in full", _ref("WholeDeadLetter"))
        },
        "/api/v1/dead-letters/{number}/replay": {
            "post": _operation(
                "replay_dead_letter",
                "Read it again with this release; it is kept if it still cannot be understood",
                _object({"number": COUNT, "understood": FLAG, "reason": _or_null(TEXT)}),
            )
        },
        "/api/v1/links": {
            "post": _operation("make_link", "A link that opens an account's page once", made, body=link, status=201)
        },
        "/api/v1/accounts/{account_id}/sessions": {
            "delete": _operation("revoke_sessions", "End all sessions and links of an account", None, status=204)
        },
    }


def _of_accounts() -> dict[str, Schema]:
    settings, root = _ref("Settings"), "/api/v1/accounts/{account_id}"
    key = _object({"api_key": ID}, closed=True)
    user = _object({"account_name": TEXT, "login": TEXT})
    flush = _object({"settled": COUNT, "left": COUNT, "ends_at": _or_null(TIME)})
    now = {"state": {"type": "object"}, "next_flush": TIME, "mailchimp": _or_null(user), "problems": _list(_PROBLEM)}
    now |= {"flush": _or_null(flush)}
    state: Schema = {"allOf": [settings, _object(now)]}
    outcome = _query("outcome", {"enum": [one.value for one in Outcome]})
    receipts = (_number("run", 2**53 - 1), outcome, _query("list_id", TEXT), _query("customer_id", TEXT))
    asked = _object({"request": COUNT, "requested_at": TIME})
    person = _object({"email": ID}, {"live": FLAG}, closed=True)
    paths: dict[str, Schema] = {
        "": {"get": _operation("show_account", "Settings, state and what comes next", state)},
        "/api-key": {
            "put": _operation("connect", "Store an API key once Mailchimp accepted it", settings, body=key),
            "delete": _operation("disconnect", "Remove the API key, and disable the integration", settings),
        },
        "/settings": {"put": _operation("put_settings", "Change settings (idempotent)", settings, body=_ref("Wanted"))},
        "/preview": {"post": _operation("preview", "What a change would do", _ref("Preview"), body=_ref("Wanted"))},
        "/resume": {"post": _operation("resume", "End every pause of the account and of its lists", settings)},
        "/lists": {
            "get": _operation(
                "show_lists", "Lists that the last refresh found", _object({"lists": _list(_ref("List"))})
            )
        },
        "/lists/{list_id}/fields": {
            "get": _operation("show_fields", "Merge fields of a list, and what goes there", _ref("Fields")),
            "put": _operation(
                "put_fields",
                "Choose what goes to which merge fields (idempotent)",
                _ref("Fields"),
                body=_ref("ChosenFields"),
            ),
        },
        "/refresh": {
            "get": _operation("show_refresh", "The last reading of the lists since the start", _ref("Refresh")),
            "post": _operation("refresh", "Begin to read the lists from Mailchimp", _ref("Refresh"), status=202),
        },
        "/sync": {
            "post": _operation(
                "sync",
                "Ask for a flush now: once in ten minutes, except to confirm what is held",
                asked,
                body=_object({}, {"confirm_held": FLAG}, closed=True),
                needed=False,
                status=202,
            )
        },
        "/runs": {
            "get": _operation(
                "show_runs",
                "The account's parts of the flushes of the last days, oldest first",
                _object({"runs": _list(_ref("AccountRun"))}),
                query=(_number("days", 400),),
            )
        },
        "/receipts": {
            "get": _operation(
                "show_receipts",
                "What became of customers: the newest, oldest first",
                _object({"receipts": _list(_ref("Receipt"))}),
                query=(*receipts, _number("limit", 10_000)),
            )
        },
        "/explain": {
            "post": _operation(
                "explain",
                "What happened to one person; with live, Mailchimp is asked too",
                _object({"customers": _list({"type": "object"})}),
                body=person,
            )
        },
        "/settings-log": {
            "get": _operation(
                "show_settings_log",
                "Who changed which setting when, newest first",
                _object({"changes": _list(_ref("SettingChange"))}),
            )
        },
    }
    return {f"{root}{path}": operations for path, operations in paths.items()}


@cache
def document() -> Schema:
    """Returns the document."""
    paths = {**_of_operators(), **_of_accounts()}
    for path, operations in paths.items():
        if named := [one for one in (_ACCOUNT, _LIST, _DEAD_LETTER) if f"{{{one['name']}}}" in path]:
            operations["parameters"] = named
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
