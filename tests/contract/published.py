"""Mailchimp's published API description as a check of calls and answers.

The description lies beside the repository and is no part of it; where it is absent, nothing is checked.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from worker.mailchimp.answers import Answer
from worker.mailchimp.calls import Call, Sender

FILE = Path(__file__).parents[3] / "shared" / "mailchimp-openapi.json"
needed = pytest.mark.skipif(not FILE.exists(), reason=f"Mailchimp's API description is not at {FILE}")

_formats = jsonschema.FormatChecker(formats=())


@_formats.checks("date-time", raises=ValueError)
def _is_time(value: object) -> bool:
    # Mailchimp writes an empty text where there is no time.
    return not isinstance(value, str) or value == "" or datetime.fromisoformat(value).tzinfo is not None


def check_request(call: Call) -> None:
    """Fails unless the description has such a call: its path, method, query parameters and body, each member of it."""
    operation = _operation(call)
    parameters = {one["name"]: one["schema"] for one in operation.get("parameters", []) if one["in"] == "query"}
    for name, text in call.query.items():
        assert name in parameters, f"{call}: there is no query parameter {name}"
        _validate(_read(text, parameters[name]), parameters[name], f"{call}: {name}")
    described = operation.get("requestBody")
    if call.body is None:
        assert not (described or {}).get("required"), f"{call} needs a body"
        return
    assert described is not None, f"{call} takes no body"
    schema = _closed(_resolved(described)["content"]["application/json"]["schema"], writing=True)
    _validate(json.loads(json.dumps(call.body)), schema, f"{call}: body")


def check_answer(call: Call, answer: Answer) -> None:
    """Fails unless the description has such an answer to the call; one that never came is none."""
    if answer.status is None:
        return
    responses = _operation(call)["responses"]
    if not answer.ok:
        schema = responses["default"]["content"]["application/problem+json"]["schema"]
        _validate(answer.body, schema, f"{call}: {answer.status}")
        assert answer.body is not None, "it was validated"
        assert answer.body["status"] == answer.status, f"{call}: a problem names another status"
        return
    assert str(answer.status) in responses, f"{call}: {answer.status} is no answer to it"
    content = responses[str(answer.status)].get("content")
    if content is None:
        assert answer.body is None, f"{call}: {answer.status} has no body"
        return
    partial = bool({"fields", "exclude_fields"} & set(call.query))
    _validate(answer.body, _closed(content["application/json"]["schema"], partial=partial), f"{call}: answer")


@dataclass(frozen=True)
class CheckedSender:
    """A sender whose calls and answers are all checked, where the description is there."""

    sender: Sender

    def send(self, call: Call) -> Answer:
        """Sends one call, checked before and after."""
        if not FILE.exists():
            return self.sender.send(call)
        check_request(call)
        answer = self.sender.send(call)
        check_answer(call, answer)
        return answer


@functools.cache
def _description() -> dict[str, Any]:
    description: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
    return description


def _operation(call: Call) -> Mapping[str, Any]:
    for template, operations in _description()["paths"].items():
        if re.fullmatch(re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(template)), call.path):
            assert call.method.lower() in operations, f"{call}: {template} has no such method"
            operation: Mapping[str, Any] = operations[call.method.lower()]
            return operation
    raise AssertionError(f"{call}: there is no such path")


def _resolved(described: Mapping[str, Any]) -> Mapping[str, Any]:
    if "$ref" not in described:
        return described
    found: Any = _description()
    for part in described["$ref"].removeprefix("#/").split("/"):
        found = found[part]
    return _resolved(found)


def _closed(schema: Any, *, writing: bool = False, partial: bool = False) -> Any:
    """Returns the schema with nothing allowed that it does not name: a misspelt member is a defect."""
    if isinstance(schema, list):
        return [_closed(one, writing=writing, partial=partial) for one in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {name: _closed(value, writing=writing, partial=partial) for name, value in schema.items()}
    if isinstance(schema.get("properties"), dict) and schema.get("type") == "object":
        if writing:
            closed["properties"] = {k: v for k, v in closed["properties"].items() if not v.get("readOnly")}
        closed.setdefault("additionalProperties", False)
        if partial:
            closed.pop("required", None)
    return closed


def _read(text: str, schema: Mapping[str, Any]) -> Any:
    match schema.get("type"):
        case "integer":
            return int(text)
        case "boolean":
            return {"true": True, "false": False}.get(text, text)
        case "array":
            return text.split(",")
        case _:
            return text


def _validate(value: Any, schema: Mapping[str, Any], what: str) -> None:
    # OpenAPI 3.0 builds on what became draft 5 of JSON Schema, which differs from draft 4 in wording only.
    errors = list(jsonschema.Draft4Validator(schema, format_checker=_formats).iter_errors(value))
    assert not errors, f"{what}: " + "; ".join(f"{one.json_path}: {one.message}" for one in errors[:3])
