"""A database with one account, for tests of what a flush reads and learns."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.unit.plan import build
from worker.sqlite.database import Database, open_database
from worker.store import accounts


@pytest.fixture
def db() -> Iterator[Database]:
    """A database with one account."""
    made = open_database(":memory:")
    with made.transaction():
        accounts.save(made, build.settings())
    yield made
    made.close()
