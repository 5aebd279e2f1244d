"""What `check` says of the database."""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest

from worker.app import App
from worker.cli import check
from worker.config import Config, Kafka, Staging
from worker.sqlite.database import open_database
from worker.status.checks import Level


@pytest.mark.parametrize("writable", [True, False])
@pytest.mark.parametrize(
    ("changes", "why"), [({"f_bavail": 0}, "is full: 0 KiB are free."), ({"f_flag": os.ST_RDONLY}, "is read-only.")]
)
def test_a_database_to_which_nothing_can_be_written_fails_the_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, int], why: str, writable: bool
) -> None:
    """A full disk and a read-only file system are named, also while a worker runs and the file can be opened."""
    tmp_path.chmod(0o700)
    path = tmp_path / "x.db"
    with closing(open_database(path)) as db:
        assert check._database(db, path).level is Level.OK
        disk = {"f_bavail": 1 << 30, "f_frsize": 4096, "f_flag": 0} | changes
        monkeypatch.setattr(os, "statvfs", lambda folder: SimpleNamespace(**disk))
        monkeypatch.setattr(check, "is_writable", lambda path: writable)
        found = check._database(db, path)
    assert (found.level, found.hinders) == (Level.FAILED, True)
    assert found.message.startswith("Nothing can be written. ")
    assert why in found.message
    assert found.advice


def test_a_user_who_may_only_read_the_database_reads_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another user than the worker's is not a problem of the worker."""
    tmp_path.chmod(0o700)
    path = tmp_path / "x.db"
    with closing(open_database(path)) as db:
        monkeypatch.setattr(check, "is_writable", lambda path: False)
        found = check._database(db, path)
    assert (found.level, found.message.endswith("can be read")) == (Level.OK, True)


def test_a_database_that_cannot_be_opened_is_a_finding(tmp_path: Path) -> None:
    """The check goes on to Kafka, and names the database as what failed."""
    path = tmp_path / "x.db"
    path.write_bytes(b"\xa5" * 8192)
    kafka = Kafka(bootstrap_servers="127.0.0.1:1", client={"socket.timeout.ms": 1000})
    app = App(Config(staging=Staging(path=path), kafka=kafka))
    found = list(check._findings(app, deep=False))
    assert [(finding.subject, finding.level) for finding in found][:2] == [
        ("config", Level.OK),
        ("database", Level.FAILED),
    ]
    assert found[2].subject == "Kafka"
