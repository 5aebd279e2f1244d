"""Prepares a database whose customers are all delivered, without the hours that a delivery takes."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from benchmarks.worker import key_of, list_of
from worker.accounts.secrets import SecretKey
from worker.mailchimp.api_key import parse
from worker.model import AccountId
from worker.sqlite.database import open_database

MOMENT = "2026-11-20T10:00:00.000Z"
_HASH = "v0123456789abcdefghijkl"
_LEDGER = (
    "INSERT INTO ledger (account_id, list_id, address, customer_id, state, origin, member_status, fields, sent_at) "
    "SELECT account_id, 'list-' || account_id, address, customer_id, 'present', 'added', 'subscribed', "
    f"json_object('FNAME', '{_HASH}', 'LNAME', '{_HASH}'), '{MOMENT}' FROM customer"
)
_STANDING = (
    "INSERT INTO standing (account_id, customer_id, list_id, address, settled, version, deleted) "
    "SELECT account_id, customer_id, 'list-' || account_id, address, "
    "'0 ' || topic_id || ' ' || partition || ' ' || \"offset\", version, deleted FROM customer"
)


def connect_all(path: Path, accounts: Sequence[AccountId], secret: SecretKey) -> None:
    """Connects accounts, so that their customers are staged with all fields. `move-ledger` writes them to Kafka."""
    with closing(open_database(path)) as db, db.transaction():
        for number, account_id in enumerate(accounts):
            sealed, list_id = secret.seal(account_id, parse(key_of(number))), list_of(account_id)
            db.execute(
                "INSERT INTO account (account_id, api_key, key_hint, enabled, master_list, connected_at) "
                "VALUES (?, ?, '0000-us1', 1, ?, ?)",
                (account_id, sealed, list_id, MOMENT),
            )
            db.execute(
                "INSERT INTO list (account_id, list_id, name, stored, refreshed_at) VALUES (?, ?, 'Customers', 1, ?)",
                (account_id, list_id, MOMENT),
            )


def settle_everybody(path: Path) -> None:
    """Marks each staged customer as delivered. `move-ledger` writes that to Kafka."""
    with closing(open_database(path)) as db:
        for pragma in ("synchronous = OFF", "cache_size = -200000", "secure_delete = OFF"):
            db.execute(f"PRAGMA {pragma}")
        for statement in (_LEDGER, _STANDING, "UPDATE customer SET changed = 0"):
            with db.transaction():
                db.execute(statement)
        db.empty_log()
