"""Records of the outcomes topic, published about customers as CloudEvents. Does no I/O.

They are described in ``config/asyncapi.yaml`` and ``config/customer-outcome.schema.json``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from worker.changelog.table_rows import ChangelogRow
from worker.model import partition_key
from worker.sqlite.rows import from_json, json_bytes
from worker.store.customer_outcomes import NAMES

TYPE = "com.billmywork.mailchimp.customer.synced"
SOURCE = "/mailchimp-worker"
HEADERS = [("content-type", b"application/cloudevents+json")]
"""Of a record with a value: Kafka's protocol binding of CloudEvents knows its structured mode by it."""


def outcome_text(row: ChangelogRow | None) -> str | None:
    """Returns the outcome in a customer status; None if it has none, or is deleted."""
    return row.row.get("outcome") if row is not None and row.row is not None else None


def record_of(row: ChangelogRow) -> tuple[bytes, bytes | None]:
    """Returns key and value of the record about a customer.

    The key is that of the customer's own events. Without an outcome the value is None, so that compaction removes the
    customer.
    """
    account_id, customer_id = row.key
    key, text = partition_key(account_id, customer_id), outcome_text(row)
    return key.encode(), _event(account_id, customer_id, from_json(text)) if text is not None else None


def _event(account_id: str, customer_id: str, outcome: Mapping[str, Any]) -> bytes:
    data: dict[str, Any] = {"account_id": account_id, "customer_id": customer_id}
    for name in NAMES:
        data[name] = outcome.get(name)
    body = json_bytes(data)
    event = {
        "specversion": "1.0",
        # What is written twice has the same id.
        "id": hashlib.sha256(body).hexdigest()[:32],
        "source": SOURCE,
        "type": TYPE,
        "subject": partition_key(account_id, customer_id),
        "time": data["at"],
        "datacontenttype": "application/json",
    }
    return b'%s,"data":%s}' % (json_bytes(event)[:-1], body)
