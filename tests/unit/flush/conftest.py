"""A database with one account, for tests of what a flush reads and learns."""

from __future__ import annotations

import pytest

from tests.unit.plan import build
from worker.sqlite.database import Database
from worker.store import accounts


@pytest.fixture
def db(db: Database) -> Database:
    """A database with one account."""
    with db.transaction():
        accounts.save(db, build.settings())
    return db
