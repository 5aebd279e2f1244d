"""What a write was about to do, noted before it is sent: should its answer be lost, the next flush decides by this."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from worker.model import AddressKey, ListId, MembershipKey

IntentKind = Literal["add", "rename", "restore", "archive", "unsubscribe"]


@dataclass(frozen=True, slots=True)
class Intent:
    """A write whose answer is not known, and what was seen right before it.

    An intent proves nothing by itself: the member's contact id and Mailchimp's own times
    show whether the write was done. See :mod:`worker.flush.identity`.

    Attributes:
        at: Mailchimp's time of the read before the write, as text; "" where it gave none.
        until: Mailchimp's time by which the write was done, if it was; None while that is not known.
        contact_id: of the member that the write is about; of a rename, the member that was to get the new address.
        status: that member's status as it was read, None for an add.
        last_changed: that member's, as Mailchimp wrote it.
        born: when that member joined, as text.
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
        return json.dumps({name: value for name, value in asdict(self).items() if value is not None})


def intent_of(row: Mapping[str, Any]) -> Intent | None:
    """Returns the intent in a row of the ledger, also in one that an earlier release wrote.

    Args:
        row: its state, intent, sent_at and status_before.
    """
    if row["intent"] is not None:
        return _from_json(json.loads(row["intent"]))
    # Earlier releases noted only these two, with their own machine's time.
    if row["state"] == "intended":
        return Intent("add", row["sent_at"])
    if row["state"] == "present" and row["status_before"] is not None:
        return Intent("archive", row["sent_at"], status=row["status_before"])
    return None


def _from_json(told: Mapping[str, Any]) -> Intent:
    source = told.get("source")
    return Intent(
        kind=told["kind"],
        at=told["at"],
        until=told.get("until"),
        contact_id=told.get("contact_id"),
        status=told.get("status"),
        last_changed=told.get("last_changed"),
        born=told.get("born"),
        source=MembershipKey(ListId(source[0]), AddressKey(source[1])) if source else None,
    )
