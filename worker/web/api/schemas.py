"""The JSON schemas of what the API answers."""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]

ANYTHING: Schema = {"type": "object"}
TEXT: Schema = {"type": "string"}
ID: Schema = {"type": "string", "minLength": 1, "maxLength": 1000}
TIME: Schema = {"type": "string", "format": "date-time"}
COUNT: Schema = {"type": "integer", "minimum": 0}
FLAG: Schema = {"type": "boolean"}
COUNTS: Schema = {"type": "object", "additionalProperties": COUNT}


def nullable(schema: Schema) -> Schema:
    """Returns the schema of a value or null."""
    return {"anyOf": [schema, {"type": "null"}]}


def array(items: Schema) -> Schema:
    """Returns the schema of an array."""
    return {"type": "array", "items": items}


def record(required: dict[str, Schema], optional: dict[str, Schema] | None = None) -> Schema:
    """Returns the schema of an object that may have other fields too."""
    return {"type": "object", "properties": {**required, **(optional or {})}, "required": list(required)}


def ref(name: str) -> Schema:
    """Returns a reference to one of :data:`SCHEMAS`."""
    return {"$ref": f"#/components/schemas/{name}"}


def at_most(most: int) -> Schema:
    """Returns the schema of a positive integer."""
    return {"type": "integer", "minimum": 1, "maximum": most}


_LETTER: Schema = {
    "number": COUNT,
    "topic": TEXT,
    "partition": COUNT,
    "offset": COUNT,
    "read_at": TIME,
    "reason": TEXT,
    "key": nullable({**TEXT, "description": "Bytes that are not UTF-8 are escaped, here and in value."}),
}
_PROBLEM = record(
    {
        "code": TEXT,
        "level": {"enum": ["problem", "step", "note"]},
        "title": {**TEXT, "description": "In the words of the page, for the account's owner, as all of these."},
        "text": TEXT,
        "details": array(TEXT),
    }
)
_FIELD = record(
    {
        "tag": TEXT,
        "name": nullable(TEXT),
        "type": nullable(TEXT),
        "choices": array(TEXT),
        "source": {**nullable(TEXT), "description": "A customer's field or an attribute; null: none."},
        "chosen": {**FLAG, "description": "Whether the account chose that; else it is the default."},
        "on_list": {**FLAG, "description": "False for a tag that the list does not have."},
    }
)
STATE = record(
    {
        "state": ANYTHING,
        "next_flush": TIME,
        "mailchimp": nullable(record({"account_name": TEXT, "login": TEXT})),
        "problems": array(_PROBLEM),
        "flush": nullable(record({"settled": COUNT, "left": COUNT, "ends_at": nullable(TIME)})),
    }
)
SCHEMAS: dict[str, Schema] = {
    "Problem": record(
        {"type": TEXT, "title": TEXT, "status": {"type": "integer"}, "detail": TEXT, "code": TEXT, "advice": TEXT},
        {"to_confirm": COUNTS},
    ),
    "Settings": record(
        {
            "account_id": TEXT,
            "enabled": FLAG,
            "api_key": nullable(
                {**TEXT, "description": "The last four characters before the data centre, and the data centre."}
            ),
            "connected_at": nullable(TIME),
            "status_if_new": {"enum": ["subscribed", "pending"]},
            "master_list_id": nullable(TEXT),
            "stored_list_ids": array(TEXT),
            "lists_refreshed_at": nullable(TIME),
            "paused": nullable(record({"reason": TEXT, "since": TIME})),
            "customers_waiting": nullable({**COUNT, "description": "Null: not known yet, after a take-over."}),
            "customers_retried_later": COUNT,
            "missing": array(record({"code": TEXT, "what": TEXT, "advice": TEXT})),
        }
    ),
    "Preview": record(
        {
            "delivers": {**FLAG, "description": "False while something is missing, so that nothing is delivered."},
            "adds": COUNT,
            "status_if_new": {"enum": ["subscribed", "pending"]},
            "moves": array(record({"from_list_id": TEXT, "to_list_id": TEXT, "count": COUNT})),
            "leaves": COUNTS,
            "to_confirm": {
                **COUNTS,
                "description": "Send it back as confirmed to let this many members leave each list.",
            },
            "words": TEXT,
        }
    ),
    "List": record(
        {
            "list_id": TEXT,
            "name": TEXT,
            "stored": FLAG,
            "master": FLAG,
            "members": COUNT,
            "marketing_permissions": FLAG,
            "new": {**FLAG, "description": "Found by a later refresh than the first, and not stored since."},
            "gone_since": nullable(TIME),
            "paused": nullable(record({"reason": TEXT, "since": TIME})),
            "refreshed_at": TIME,
        }
    ),
    "Fields": record({"list_id": TEXT, "fields": array(_FIELD)}),
    "Refresh": record(
        {"state": {"enum": ["none", "running", "failed", "done"]}},
        {
            "began_at": TIME,
            "ended_at": nullable(TIME),
            "problem": nullable(record({"detail": TEXT, "advice": TEXT})),
            "new_list_ids": array(TEXT),
            "gone_list_ids": array(TEXT),
            "back_list_ids": array(TEXT),
        },
    ),
    "AccountRun": record(
        {
            "run": COUNT,
            "started_at": TIME,
            "ended_at": nullable(TIME),
            "trigger": TEXT,
            "ended": TEXT,
            "to_do": COUNT,
            "settled": COUNT,
            "counts": COUNTS,
            "message": nullable(TEXT),
            "left_out": array({"type": "object"}),
        }
    ),
    "Receipt": record(
        {
            "run": COUNT,
            "at": TIME,
            "account_id": TEXT,
            "customer_id": TEXT,
            "email": nullable(TEXT),
            "list_id": nullable(TEXT),
            "outcome": TEXT,
            "detail": TEXT,
            "next": TEXT,
        }
    ),
    "DeadLetter": record(_LETTER),
    "WholeDeadLetter": record(
        {
            **_LETTER,
            "value": nullable(TEXT),
            "value_base64": nullable({**TEXT, "contentEncoding": "base64"}),
            "headers": array(array(nullable(TEXT))),
        }
    ),
    "SettingChange": record(
        {"at": TIME, "by": TEXT, "setting": TEXT, "before": nullable(TEXT), "after": nullable(TEXT)}
    ),
}
