"""Accounts, lists, receipts and explanations as JSON data, for commands and the API alike."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from worker.accounts.settings import missing
from worker.clock import as_text, text_or_none
from worker.fields.field_mapping import MappedField
from worker.status.explanation import Explanation, LiveMember
from worker.store.accounts import AccountSettings, Pause
from worker.store.dead_letters import DeadLetter
from worker.store.receipts import Receipt
from worker.store.waiting import Waiting


def settings_data(settings: AccountSettings, waiting: Waiting) -> dict[str, Any]:
    """Returns an account's settings."""
    return {
        "account_id": settings.account_id,
        "enabled": settings.enabled,
        "api_key": f"…{settings.key_hint}" if settings.key_hint else None,
        "connected_at": text_or_none(settings.connected_at),
        "status_if_new": settings.status_if_new,
        "master_list_id": settings.master_list,
        "stored_list_ids": [mailing_list.list_id for mailing_list in settings.stored],
        "lists_refreshed_at": text_or_none(settings.refreshed_at),
        "paused": _pause_data(settings.pause),
        "customers_waiting": waiting.known,
        "customers_retried_later": waiting.later,
        "missing": missing_data(settings),
    }


def missing_data(settings: AccountSettings) -> list[dict[str, str]]:
    """Returns what an account lacks before anything is delivered."""
    return [{"code": lack.code, "what": lack.message, "advice": lack.advice} for lack in missing(settings)]


def _pause_data(pause: Pause | None) -> dict[str, str] | None:
    return {"reason": pause.reason, "since": as_text(pause.since)} if pause is not None else None


def lists_data(settings: AccountSettings) -> list[dict[str, Any]]:
    """Returns an account's lists."""
    return [
        {
            "list_id": mailing_list.list_id,
            "name": mailing_list.name,
            "stored": mailing_list.stored,
            "master": mailing_list.list_id == settings.master_list,
            "members": mailing_list.member_count,
            "marketing_permissions": mailing_list.marketing_permissions,
            "gone_since": text_or_none(mailing_list.gone_at),
            "paused": _pause_data(mailing_list.pause),
            "refreshed_at": as_text(mailing_list.refreshed_at),
        }
        for mailing_list in settings.lists
    ]


def dead_letter_data(letter: DeadLetter, *, whole: bool = True) -> dict[str, Any]:
    """Returns a dead letter.

    Args:
        whole: whether to include its headers and its value, which may have 1 MB.
    """
    data = {
        "number": letter.number,
        "topic": letter.topic,
        "partition": letter.partition,
        "offset": letter.offset,
        "read_at": letter.read_at,
        "reason": letter.reason,
        "key": in_text(letter.key),
    }
    if not whole:
        return data
    return data | {
        "value": in_text(letter.value),
        "value_base64": None if letter.value is None else base64.b64encode(letter.value).decode(),
        "headers": [[name, in_text(value)] for name, value in letter.headers],
    }


def in_text(content: bytes | None) -> str | None:
    """Returns bytes as text, escaped if they are not UTF-8."""
    return None if content is None else content.decode("utf-8", "backslashreplace")


def mapping_data(fields: Sequence[MappedField]) -> list[dict[str, Any]]:
    """Returns the merge fields of a list with their sources."""
    return [
        {
            "tag": field.tag,
            "name": field.field.name if field.field is not None else None,
            "type": field.field.type if field.field is not None else None,
            "choices": list(field.field.choices) if field.field is not None else [],
            "source": field.source,
            "chosen": field.chosen,
            "on_list": field.field is not None,
        }
        for field in fields
    ]


def receipt_data(receipt: Receipt) -> dict[str, Any]:
    """Returns a receipt."""
    return {"email" if name == "address" else name: value for name, value in asdict(receipt).items()}


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
        "receipts": [receipt_data(receipt) for receipt in explanation.receipts],
        "outcome": explanation.outcome.as_data() if explanation.outcome is not None else None,
        "members": [
            {
                "list_id": entry.membership.list_id,
                "list_name": explanation.list_name(entry.membership.list_id),
                "email": entry.membership.address,
                "state": entry.state,
                "origin": entry.origin,
                "status": entry.member_status,
                "email_now": entry.address_now,
                "as_of": entry.sent_at,
                "tags": dict(entry.member_tags or {}),
            }
            for entry in explanation.entries
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
        "dead_letters": [{"number": letter.number, "reason": letter.reason} for letter in letters],
        "next": explanation.next_step(live).sentence,
    }
