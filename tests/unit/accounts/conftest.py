from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from worker.sqlite.database import Database, open_database


@pytest.fixture
def db(path: Path) -> Iterator[Database]:
    """Returns an empty database."""
    database = open_database(path)
    yield database
    database.close()
