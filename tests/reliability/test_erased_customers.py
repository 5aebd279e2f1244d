"""A person who was erased, whose events are still in Kafka, with a database that was lost."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import pytest

from tests.reliability.shop import Shop
from worker.sqlite.database import open_database

pytestmark = pytest.mark.kafka

A, B = "a@example.com", "b@example.com"


def rows(shop: Shop, table: str) -> list[tuple[Any, ...]]:
    """All rows of a table."""
    with closing(open_database(shop.folder / "first" / "worker.db")) as db:
        return [tuple(row) for row in db.execute(f"SELECT * FROM {table}")]


def begin_again_with(shop: Shop, **tables: list[tuple[Any, ...]]) -> None:
    """Deletes the database, and begins a new one with these rows."""
    shop.lose()
    with closing(open_database(shop.folder / "first" / "worker.db")) as db, db.transaction():
        for table, found in tables.items():
            marks = ",".join("?" * len(found[0]))
            db.executemany(f"INSERT INTO {table} VALUES ({marks})", found)


def staged(shop: Shop) -> set[str]:
    """Who is staged."""
    return {row[1] for row in rows(shop, "customer")}


def test_who_was_erased_does_not_come_back_with_the_log(shop: Shop) -> None:
    """A new database reads all events again, and has her row from before: neither counts, and no call is made."""
    shop.publish("ann", A)
    shop.publish("bob", B)
    cli = shop.worker()
    shop.calls(cli)
    before = rows(shop, "customer")
    cli("forget", A, "--yes")
    # Under the same name in the group, so that the new one does not wait for the old one.
    begin_again_with(shop, group_instance=rows(shop, "group_instance"), customer=before)
    assert staged(shop) == {"ann", "bob"}
    assert shop.calls(cli) == []
    assert staged(shop) == {"bob"}
