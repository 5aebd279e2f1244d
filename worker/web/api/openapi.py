"""The OpenAPI 3.1 document of the API, from its routes.

Source: https://spec.openapis.org/oas/v3.1.1.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import msgspec

from worker import __version__
from worker.web.access.visitor import Need
from worker.web.api import inputs
from worker.web.api.schemas import ID, SCHEMAS, Schema, ref
from worker.web.routing import Page

_IN_PATH: Mapping[str, Schema] = {
    "account_id": {"type": "string", "pattern": "^[A-Za-z0-9._~-]{1,128}$"},
    "list_id": ID,
    "number": {"type": "integer", "minimum": 1, "maximum": inputs.LARGEST},
}


@dataclass(frozen=True, slots=True)
class Operation(Page):
    """A route of the API. The name of its function is the operation's id; the function's docstring is the summary.

    Attributes:
        answer: the JSON; None for no content.
        body: one of :data:`worker.web.api.inputs.BODIES`; None for no body.
        query: the parameters, by name.
        status: of the answer if all goes well.
    """

    answer: Schema | None = None
    body: type | None = None
    query: Mapping[str, Schema] | None = None
    status: int = 200


def _described(operation: Operation) -> Schema:
    summary = (operation.handle.__doc__ or "").rstrip(".")
    success: Schema = {"description": summary}
    if operation.answer is not None:
        success["content"] = {"application/json": {"schema": operation.answer}}
    problem = {
        "description": "What went wrong (RFC 9457).",
        "content": {"application/problem+json": {"schema": ref("Problem")}},
    }
    described: Schema = {
        "operationId": operation.handle.__name__,
        "summary": summary,
        "responses": {str(operation.status): success, "4XX": problem, "5XX": problem},
    }
    if operation.need is Need.NOTHING:
        described["security"] = []
    if operation.query is not None:
        parameters = operation.query.items()
        described["parameters"] = [{"name": key, "in": "query", "schema": schema} for key, schema in parameters]
    if operation.body is not None:
        content = {"application/json": {"schema": ref(operation.body.__name__)}}
        described["requestBody"] = {"required": operation.body is not inputs.Sync, "content": content}
    return described


def document(operations: Iterable[Operation]) -> Schema:
    """Returns the document of the API's routes."""
    paths: dict[str, Schema] = {}
    for operation in operations:
        in_path = [
            {"name": name, "in": "path", "required": True, "schema": schema}
            for name, schema in _IN_PATH.items()
            if f"{{{name}}}" in operation.path
        ]
        methods = paths.setdefault(operation.path, {"parameters": in_path} if in_path else {})
        methods[operation.methods[0].lower()] = _described(operation)
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
