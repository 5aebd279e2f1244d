"""The intent of a write whose answer may be lost, as the ledger keeps it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

from worker.model import MembershipKey
from worker.sqlite.rows import from_json

IntentKind = Literal["add", "rename", "restore", "archive", "unsubscribe"]


@dataclass(frozen=True, slots=True)
class Intent:
    """What a write was about to do, stored before it is sent, so that the next flush can decide if its answer is lost.

    It proves nothing by itself: the member's contact id and Mailchimp's own times show whether the write was done. See
    :mod:`worker.plan.identity`.

    Attributes:
        at: Mailchimp's time of the read before the write, as text; "" if it gave none.
        until: Mailchimp's time by which the write was done, if it was; None while unknown.
        contact_id: of the member to write; for a rename, the member that was to get the new address.
        status: the member's status when it was read; for an add the status that was sent, None if tries differ in it.
        last_changed: the member's, as Mailchimp wrote it.
        born: when the member joined, as text.
        source: where a member was to be renamed from.
    """

    kind: IntentKind
    at: str
    until: str | None = None
    contact_id: str | None = None
    status: str | None = None
    last_changed: str | None = None
    born: str | None = None
    source: MembershipKey | None = None

    def as_text(self) -> str:
        """Returns it as the ledger keeps it: a JSON object without the parts that are not known."""
        return json.dumps({name: value for name in _PARTS if (value := getattr(self, name)) is not None})


def intent_of(row: Mapping[str, Any]) -> Intent | None:
    """Returns the intent in a ledger row, including one written by an earlier release.

    Args:
        row: its state, intent, sent_at and status_before.
    """
    if row["intent"] is not None:
        return _intent_of_json(row["intent"])
    # Earlier releases stored only these two, with their own machine's time.
    if row["state"] == "intended":
        return Intent("add", row["sent_at"])
    if row["state"] == "present" and row["status_before"] is not None:
        return Intent("archive", row["sent_at"], status=row["status_before"])
    return None


_PARTS = tuple(part.name for part in fields(Intent))


def _intent_of_json(text: str) -> Intent:
    stored = from_json(text)
    parts = {name: stored[name] for name in _PARTS if name in stored}
    source = parts.pop("source", None)
    return Intent(**parts, source=MembershipKey(*source) if source else None)
