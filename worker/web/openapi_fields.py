"""The OpenAPI schemas of a list's merge fields and their sources."""

from __future__ import annotations

from typing import Any

_TEXT = {"type": "string"}
_TEXT_OR_NULL = {"anyOf": [_TEXT, {"type": "null"}]}
_FLAG = {"type": "boolean"}
_FIELD: dict[str, Any] = {
    "tag": _TEXT,
    "name": _TEXT_OR_NULL,
    "type": _TEXT_OR_NULL,
    "choices": {"type": "array", "items": _TEXT},
    "source": {**_TEXT_OR_NULL, "description": "A customer's field or an attribute; null: none."},
    "chosen": {**_FLAG, "description": "Whether the account chose that; else it is the default."},
    "on_list": {**_FLAG, "description": "False for a tag that the list does not have."},
}
FIELDS: dict[str, Any] = {
    "type": "object",
    "properties": {
        "list_id": _TEXT,
        "fields": {
            "type": "array",
            "items": {"type": "object", "properties": _FIELD, "required": list(_FIELD)},
        },
    },
    "required": ["list_id", "fields"],
}
CHOSEN_FIELDS: dict[str, Any] = {
    "type": "object",
    "properties": {
        "fields": {
            "type": "object",
            "description": "Merge tag to what goes there: first_name, last_name, company, phone, address or an "
            "attribute's name; null for nothing. A tag that is left out is as by default.",
            "propertyNames": {"minLength": 1, "maxLength": 1000},
            "additionalProperties": {"anyOf": [{**_TEXT, "maxLength": 1000}, {"type": "null"}]},
            "maxProperties": 100,
        }
    },
    "required": ["fields"],
    "additionalProperties": False,
}
