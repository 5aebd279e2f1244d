"""Records as the files in tests/data/events tell them, each with what it must be understood as."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

from worker.consumer.decode import Record

FOLDER = Path(__file__).parents[2] / "data" / "events"


def cases(kind: str) -> list[dict[str, Any]]:
    """Returns the cases of a file: understood, skipped or undecodable."""
    found: list[dict[str, Any]] = json.loads((FOLDER / f"{kind}.json").read_text())
    return found


def record(case: dict[str, Any], offset: int = 0) -> Record:
    """Returns the record that a case tells.

    A case has ``null``, ``value`` (any JSON), ``text``, ``base64``, or ``prefix`` with ``repeat`` and ``suffix``.
    """
    key = base64.b64decode(case["key_base64"]) if "key_base64" in case else case.get("key")
    headers = tuple((name, value.encode()) for name, value in case.get("headers", {}).items())
    return Record(0, offset, key.encode() if isinstance(key, str) else key, _value(case), headers)


def _value(case: dict[str, Any]) -> bytes | None:
    if "null" in case:
        return None
    if "value" in case:
        return json.dumps(case["value"], ensure_ascii=False).encode()
    if "base64" in case:
        return base64.b64decode(case["base64"])
    if "repeat" in case:
        return (case["prefix"] + case["repeat"] * case["times"] + case["suffix"]).encode()
    return str(case["text"]).encode()
