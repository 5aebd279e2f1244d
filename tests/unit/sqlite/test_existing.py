"""A command that only reads opens an existing database, also another user's, and never creates one."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from worker.errors import DatabaseError, NotFound
from worker.sqlite import existing
from worker.sqlite.database import open_database
from worker.sqlite.existing import open_existing
from worker.store import runs


@pytest.mark.parametrize("name", ["worker.db", "no/such/folder/worker.db"])
def test_where_there_is_no_database_the_path_is_named_and_nothing_made(tmp_path: Path, name: str) -> None:
    """A command in a wrong folder says where it looked."""
    with pytest.raises(NotFound) as caught:
        open_existing(tmp_path / name)
    assert str((tmp_path / name).absolute()) in caught.value.message
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("running", [True, False])
def test_another_users_database_is_read_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, running: bool
) -> None:
    """While its worker has it open, with what is in its log, and while nobody has."""
    path = tmp_path / "worker.db"
    worker = open_database(path)
    with worker.transaction():
        runs.start(worker, "2026-11-22T10:00:00.000Z", "daily", None)
    if not running:
        worker.close()
    monkeypatch.setattr(existing, "is_writable", lambda path: False)
    before = path.read_bytes()
    with closing(open_existing(path)) as db:
        assert [one.run for one in runs.last(db, 5)] == [1]
        with pytest.raises(DatabaseError, match="readonly"):
            db.execute("DELETE FROM flush_run")
    assert path.read_bytes() == before


def test_another_users_database_of_an_earlier_release_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only its own worker may bring it up to date."""
    path = tmp_path / "worker.db"
    with closing(open_database(path)) as db:
        db.execute("DELETE FROM _sqlite_migrations WHERE name = (SELECT max(name) FROM _sqlite_migrations)")
    monkeypatch.setattr(existing, "is_writable", lambda path: False)
    with pytest.raises(DatabaseError, match="earlier release"):
        open_existing(path)
