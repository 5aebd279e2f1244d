"""Whatever the umask: what the worker writes is for its own user alone."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from worker.accounts.secrets import secret_key
from worker.consumer.owned_partitions import OwnedPartitions
from worker.sqlite.backup import back_up
from worker.sqlite.database import open_database
from worker.sqlite.lock import DatabaseLock
from worker.sqlite.scratch import open_scratch
from worker.status.live import LiveFile
from worker.system.private_files import is_open_to_others

NAMES = {f"worker.db{suffix}" for suffix in ("", "-wal", "-shm", ".lock", ".key", ".worker")} | {"copy.db"}


@contextmanager
def umask(mask: int) -> Iterator[None]:
    """Sets the process's umask for a while."""
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def modes(folder: Path) -> dict[str, int]:
    """The mode of every file in a folder."""
    return {one.name: stat.S_IMODE(one.stat().st_mode) for one in folder.iterdir()}


@pytest.mark.parametrize("mask", [0, 0o277])
def test_every_file_and_the_folder_are_for_the_workers_user_alone(tmp_path: Path, mask: int) -> None:
    """Database, log, index, lock, key, the worker's own file and a backup, while a worker has them open."""
    folder = tmp_path / "some" / "data"
    path = folder / "worker.db"
    live = OwnedPartitions(session_seconds=45, follows=True)
    with umask(mask), DatabaseLock(path), closing(open_database(path)) as db:
        with db.transaction():
            db.execute("INSERT INTO group_instance VALUES ('x')")
        secret_key(None, None, path)
        LiveFile(path, lambda: datetime(2026, 11, 22, tzinfo=UTC)).write(live)
        back_up(db, folder / "copy.db")
        open_scratch(db)
        assert modes(folder) == dict.fromkeys(NAMES, 0o600)
    for one in (folder, folder.parent):
        assert stat.S_IMODE(one.stat().st_mode) == 0o700
        assert not is_open_to_others(one)


def test_files_of_an_earlier_release_are_closed_to_others(tmp_path: Path) -> None:
    """Opened once by this release, a database that everybody could read is for its user alone, with its log."""
    path = tmp_path / "worker.db"
    with closing(open_database(path)) as db:
        with db.transaction():
            db.execute("INSERT INTO group_instance VALUES ('x')")
        for one in tmp_path.iterdir():
            one.chmod(0o644)
        with closing(open_database(path)):
            assert set(modes(tmp_path).values()) == {0o600}


def test_a_folder_that_was_there_stays_as_it_is(tmp_path: Path) -> None:
    """It may hold files of others; `check` says that they may enter."""
    tmp_path.chmod(0o755)
    open_database(tmp_path / "worker.db").close()
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755
    assert is_open_to_others(tmp_path)
