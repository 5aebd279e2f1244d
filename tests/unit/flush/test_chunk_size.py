"""How much of an account is in memory at once."""

from __future__ import annotations

import tracemalloc

from worker.model import AccountId
from worker.plan.related_customers import CHUNK, CHUNK_BYTES, chunks
from worker.sqlite.database import open_database

ACCOUNT = AccountId("acct-1")
LARGE = 500_000
ROWS = 200


def test_a_chunk_is_bounded_by_bytes_too() -> None:
    """Customers of half a megabyte each come a few at a time, each of them once, and no more are in memory."""
    db = open_database(":memory:")
    with db.transaction():
        db.executemany(
            "INSERT INTO customer (account_id, customer_id, address, state, deleted, topic, topic_id, partition, "
            "\"offset\", staged_at, revision, changed) VALUES (?1, ?2, ?2, ?3, 0, 't', 'id', 0, 0, '', 1, 1)",
            ((ACCOUNT, f"c{n:03}", b'{"company": "%s"}' % (b"x" * LARGE)) for n in range(ROWS)),
        )
    tracemalloc.start()
    seen: list[str] = []
    for related in chunks(db, ACCOUNT):
        assert 1 <= len(related.changed) <= CHUNK_BYTES // LARGE
        seen += related.changed
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert seen == [f"c{n:03}" for n in range(ROWS)]
    # One chunk is made while the one before it is still held; SQLite's own memory is not counted here.
    assert peak < 4 * CHUNK_BYTES
    assert ROWS < CHUNK
    db.close()


def test_a_customer_larger_than_a_chunk_is_a_chunk_of_its_own() -> None:
    """However small the bound is, each chunk has somebody in it."""
    db = open_database(":memory:")
    with db.transaction():
        db.executemany(
            "INSERT INTO customer (account_id, customer_id, state, deleted, topic, topic_id, partition, "
            "\"offset\", staged_at, revision, changed) VALUES (?1, ?2, ?3, 0, 't', 'id', 0, 0, '', 1, 1)",
            ((ACCOUNT, f"c{n}", b'{"company": "x"}') for n in range(3)),
        )
    assert [list(related.changed) for related in chunks(db, ACCOUNT, most_bytes=1)] == [["c0"], ["c1"], ["c2"]]
    db.close()
