"""A person who was erased, whose events are still in Kafka, with a database that was lost."""

from __future__ import annotations

from contextlib import closing

import pytest

from tests.reliability.shop import Shop
from worker.store.database import open_database

pytestmark = pytest.mark.kafka

A, B = "a@example.com", "b@example.com"


def lose_all_but_the_name(shop: Shop) -> None:
    """Deletes the database; the new one joins the group under the same name, so that nobody waits for the old one."""
    path = shop.folder / "first" / "worker.db"
    with closing(open_database(path)) as db:
        name = db.execute("SELECT id FROM group_instance").fetchone()[0]
    shop.lose()
    with closing(open_database(path)) as db, db.transaction():
        db.execute("INSERT INTO group_instance (id) VALUES (?)", (name,))


def staged(shop: Shop) -> set[str]:
    """Who is staged."""
    with closing(open_database(shop.folder / "first" / "worker.db")) as db:
        return {row[0] for row in db.execute("SELECT customer_id FROM customer")}


def test_who_was_erased_does_not_come_back_with_the_log(shop: Shop) -> None:
    """A new database reads all events again, stages everybody else, and makes no call for her."""
    shop.publish("ann", A)
    shop.publish("bob", B)
    cli = shop.worker()
    shop.calls(cli)
    cli("forget", A, "--yes")
    lose_all_but_the_name(shop)
    assert shop.calls(cli) == []
    assert staged(shop) == {"bob"}
