"""Accounts, lists, receipts and explanations as JSON data, for commands and the API alike."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from worker.accounts.settings import missing
from worker.clock import as_text
from worker.fields.field_mapping import MappedField
from worker.status.explanation import Explanation, LiveMember
from worker.store.accounts import AccountSettings
from worker.store.dead_letters import DeadLetter
from worker.store.receipts import Receipt


def settings_data(one: AccountSettings, waiting: int) -> dict[str, Any]:
    """Returns an account's settings."""
    return {
        "account_id": one.account_id,
        "enabled": one.enabled,
        "api_key": f"…{one.key_hint}" if one.key_hint else None,
        "connected_at": as_text(one.connected_at) if one.connected_at else None,
        "status_if_new": one.status_if_new,
        "master_list_id": one.master_list,
        "stored_list_ids": [each.list_id for each in one.stored],
        "lists_refreshed_at": as_text(one.refreshed_at) if one.refreshed_at else None,
        "paused": {"reason": one.pause.reason, "since": as_text(one.pause.since)} if one.pause else None,
        "customers_waiting": waiting,
        "missing": [{"code": lack.code, "what": lack.what, "advice": lack.advice} for lack in missing(one)],
    }


def lists_data(one: AccountSettings) -> list[dict[str, Any]]:
    """Returns an account's lists."""
    return [
        {
            "list_id": each.list_id,
            "name": each.name,
            "stored": each.stored,
            "master": each.list_id == one.master_list,
            "members": each.member_count,
            "marketing_permissions": each.marketing_permissions,
            "gone_since": as_text(each.gone_at) if each.gone_at else None,
            "paused": {"reason": each.pause.reason, "since": as_text(each.pause.since)} if each.pause else None,
            "refreshed_at": as_text(each.refreshed_at),
        }
        for each in one.lists
    ]


def dead_letter_data(one: DeadLetter, *, whole: bool = True) -> dict[str, Any]:
    """Returns a dead letter.

    Args:
        whole: whether to include its headers and its value, which may have 1 MB.
    """
    data = {
        "number": one.number,
        "topic": one.topic,
        "partition": one.partition,
        "offset": one.offset,
        "read_at": one.read_at,
        "reason": one.reason,
        "key": in_text(one.key),
    }
    if not whole:
        return data
    return data | {
        "value": in_text(one.value),
        "value_base64": None if one.value is None else base64.b64encode(one.value).decode(),
        "headers": [[name, in_text(value)] for name, value in one.headers],
    }


def in_text(content: bytes | None) -> str | None:
    """Returns bytes as text, escaped if they are not UTF-8."""
    return None if content is None else content.decode("utf-8", "backslashreplace")


def mapping_data(found: Sequence[MappedField]) -> list[dict[str, Any]]:
    """Returns the merge fields of a list with their sources."""
    return [
        {
            "tag": one.tag,
            "name": one.field.name if one.field is not None else None,
            "type": one.field.type if one.field is not None else None,
            "choices": list(one.field.choices) if one.field is not None else [],
            "source": one.source,
            "chosen": one.chosen,
            "on_list": one.field is not None,
        }
        for one in found
    ]


def receipt_data(one: Receipt) -> dict[str, Any]:
    """Returns a receipt."""
    return {"email" if name == "address" else name: value for name, value in asdict(one).items()}


def explanation_data(
    explanation: Explanation, live: LiveMember | None, letters: Sequence[DeadLetter]
) -> dict[str, Any]:
    """Returns an explanation."""
    customer = explanation.customer
    return {
        "account_id": explanation.account_id,
        "customer_id": explanation.customer_id,
        "now": None
        if customer is None
        else {
            "state": asdict(customer.state),
            "deleted": customer.deleted,
            "event_id": customer.event_id,
            "event_time": customer.event_time,
            "topic": customer.position.topic,
            "partition": customer.position.partition,
            "offset": customer.position.offset,
            "waits_for_flush": customer.changed,
        },
        "receipts": [receipt_data(one) for one in explanation.receipts],
        "outcome": explanation.outcome.as_data() if explanation.outcome is not None else None,
        "members": [
            {
                "list_id": one.membership.list_id,
                "list_name": explanation.list_name(one.membership.list_id),
                "email": one.membership.address,
                "state": one.state,
                "origin": one.origin,
                "status": one.member_status,
                "email_now": one.address_now,
                "as_of": one.sent_at,
                "tags": dict(one.member_tags or {}),
            }
            for one in explanation.entries
        ],
        "live": None
        if live is None
        else {
            "list_id": live.membership.list_id,
            "email": live.membership.address,
            "status": live.status,
            "last_changed": live.last_changed,
            "problem": live.problem,
        },
        "dead_letters": [{"number": one.number, "reason": one.reason} for one in letters],
        "next": explanation.next,
    }
