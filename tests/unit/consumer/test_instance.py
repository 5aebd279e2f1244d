"""The worker's name in the consumer group, and when it counts as served."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from worker.consumer import instance
from worker.consumer.instance import instance_of, known_instance_of
from worker.consumer.owned_partitions import OwnedPartitions
from worker.sqlite.database import open_database


def name_of(path: Path) -> str:
    """The name of the worker with a database."""
    with closing(open_database(path)) as db:
        return instance_of(db, f"worker-{path.stem}")


def test_the_name_is_the_same_after_a_restart(tmp_path: Path) -> None:
    """So the worker gets its partitions back at once."""
    assert name_of(tmp_path / "one.db") == name_of(tmp_path / "one.db")


def test_a_command_that_asks_for_the_name_gives_none(tmp_path: Path) -> None:
    """A worker that starts later chooses its own; until then nobody has one."""
    with closing(open_database(tmp_path / "one.db")) as db:
        assert known_instance_of(db) is None
        chosen = instance_of(db, "worker-1")
        assert chosen.startswith("worker-1-")
        assert known_instance_of(db) == chosen


def test_a_copy_of_the_file_has_another_name(tmp_path: Path) -> None:
    """Though all of its rows are the same."""
    name = name_of(tmp_path / "one.db")
    with closing(open_database(tmp_path / "one.db")) as db:
        db.execute("VACUUM INTO ?", (str(tmp_path / "copy.db"),))
    copied = name_of(tmp_path / "copy.db")
    assert copied != name
    assert copied.rpartition("-")[0] == name.rpartition("-")[0]


def test_a_cloned_volume_on_another_machine_has_another_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its inode and device may be the same there; the machine's own id of its start is not."""
    name = name_of(tmp_path / "one.db")
    other = tmp_path / "boot_id"
    other.write_text("another machine\n")
    monkeypatch.setattr(instance, "BOOT_ID", other)
    assert name_of(tmp_path / "one.db") != name


def test_a_worker_counts_as_served_by_an_assignment_and_by_answers_only() -> None:
    """Polling alone confirms nothing: a fenced member polls on."""
    now = 0.0
    owned_partitions = OwnedPartitions(lambda: now)
    now = 100.0
    owned_partitions.session.polled()
    assert owned_partitions.session.seconds_since_answer() == 100
    owned_partitions.assigned({})
    assert owned_partitions.session.seconds_since_answer() == 0
    now = 130.0
    assert owned_partitions.session.seconds_since_answer() == 30
    owned_partitions.session.answered()
    assert owned_partitions.session.seconds_since_answer() == 0
