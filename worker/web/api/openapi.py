"""The OpenAPI 3.1 document of the API, from its routes.

Source: https://spec.openapis.org/oas/v3.1.1.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import msgspec

from worker import __version__
from worker.plan.outcomes import Outcome
from worker.web.access.visitor import Need
from worker.web.api import inputs
from worker.web.api.schemas import COUNT, FLAG, ID, PROBLEM, SCHEMAS, TEXT, TIME, Schema, array, nullable, record, ref
from worker.web.routing import Page

_IN_PATH: Mapping[str, Schema] = {
    "account_id": {"type": "string", "pattern": "^[A-Za-z0-9._~-]{1,128}$"},
    "list_id": ID,
    "number": {"type": "integer", "minimum": 1, "maximum": inputs.LARGEST},
}


@dataclass(frozen=True, slots=True)
class Operation:
    """What the function of a route takes and answers.

    Attributes:
        answer: the JSON; None for no content.
        body: one of :data:`worker.web.api.inputs.BODIES`; None for no body.
        query: the parameters, by name.
    """

    answer: Schema | None
    body: type | None = None
    query: Mapping[str, Schema] | None = None
    status: int = 200


def _at_most(most: int) -> Schema:
    return {"type": "integer", "minimum": 1, "maximum": most}


_ANYTHING: Schema = {"type": "object"}
_STATE = record(
    {
        "state": _ANYTHING,
        "next_flush": TIME,
        "mailchimp": nullable(record({"account_name": TEXT, "login": TEXT})),
        "problems": array(PROBLEM),
        "flush": nullable(record({"settled": COUNT, "left": COUNT, "ends_at": nullable(TIME)})),
    }
)
_RECEIPTS = {
    "run": _at_most(inputs.LARGEST),
    "outcome": {"enum": [outcome.value for outcome in Outcome]},
    "list_id": TEXT,
    "customer_id": TEXT,
    "limit": _at_most(inputs.MOST_RECEIPTS),
}
_OPERATIONS: Mapping[str, Operation] = {
    "describe": Operation(_ANYTHING),
    "status": Operation(_ANYTHING),
    "list_accounts": Operation(record({"accounts": array(ref("Settings"))})),
    "list_runs": Operation(record({"runs": array(_ANYTHING)}), query={"limit": _at_most(inputs.MOST_RUNS)}),
    "list_dead_letters": Operation(
        record({"count": COUNT, "dead_letters": array(ref("DeadLetter"))}),
        query={"limit": _at_most(inputs.MOST_DEAD_LETTERS)},
    ),
    "show_dead_letter": Operation(ref("WholeDeadLetter")),
    "replay_dead_letter": Operation(record({"number": COUNT, "understood": FLAG, "reason": nullable(TEXT)})),
    "make_link": Operation(
        record({"account_id": TEXT, "url": {**TEXT, "format": "uri"}, "expires_at": TIME}), inputs.Link, status=201
    ),
    "revoke_sessions": Operation(None, status=204),
    "show_account": Operation({"allOf": [ref("Settings"), _STATE]}),
    "connect": Operation(ref("Settings"), inputs.ApiKey),
    "disconnect": Operation(ref("Settings")),
    "put_settings": Operation(ref("Settings"), inputs.Wanted),
    "preview": Operation(ref("Preview"), inputs.Wanted),
    "resume": Operation(ref("Settings")),
    "show_lists": Operation(record({"lists": array(ref("List"))})),
    "show_fields": Operation(ref("Fields")),
    "put_fields": Operation(ref("Fields"), inputs.ChosenFields),
    "show_refresh": Operation(ref("Refresh")),
    "refresh": Operation(ref("Refresh"), status=202),
    "sync": Operation(record({"request": COUNT, "requested_at": TIME}), inputs.Sync, status=202),
    "show_runs": Operation(record({"runs": array(ref("AccountRun"))}), query={"days": _at_most(inputs.MOST_DAYS)}),
    "show_receipts": Operation(record({"receipts": array(ref("Receipt")), "complete_since": TIME}), query=_RECEIPTS),
    "explain": Operation(record({"customers": array(_ANYTHING)}), inputs.Person),
    "show_settings_log": Operation(record({"changes": array(ref("SettingChange"))})),
}
"""By the name of the route's function, which is the operation's id; its docstring is the summary."""


def _described(page: Page) -> Schema:
    name, summary = page.handle.__name__, (page.handle.__doc__ or "").rstrip(".")
    operation = _OPERATIONS[name]
    success: Schema = {"description": summary}
    if operation.answer is not None:
        success["content"] = {"application/json": {"schema": operation.answer}}
    problem = {
        "description": "What went wrong (RFC 9457).",
        "content": {"application/problem+json": {"schema": ref("Problem")}},
    }
    described: Schema = {
        "operationId": name,
        "summary": summary,
        "responses": {str(operation.status): success, "4XX": problem, "5XX": problem},
    }
    if page.need is Need.NOTHING:
        described["security"] = []
    if operation.query is not None:
        parameters = operation.query.items()
        described["parameters"] = [{"name": key, "in": "query", "schema": schema} for key, schema in parameters]
    if operation.body is not None:
        content = {"application/json": {"schema": ref(operation.body.__name__)}}
        described["requestBody"] = {"required": operation.body is not inputs.Sync, "content": content}
    return described


def document(pages: Iterable[Page]) -> Schema:
    """Returns the document of the API's routes."""
    paths: dict[str, Schema] = {}
    for page in pages:
        in_path = [
            {"name": name, "in": "path", "required": True, "schema": schema}
            for name, schema in _IN_PATH.items()
            if f"{{{name}}}" in page.path
        ]
        operations = paths.setdefault(page.path, {"parameters": in_path} if in_path else {})
        operations[page.methods[0].lower()] = _described(page)
    _, bodies = msgspec.json.schema_components(inputs.BODIES, ref_template="#/components/schemas/{name}")
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
            "schemas": SCHEMAS | bodies,
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "web.token"},
                "session": {"type": "apiKey", "in": "cookie", "name": "mailchimp_worker"},
                "form": {"type": "apiKey", "in": "header", "name": "X-CSRF-Token"},
            },
        },
    }
