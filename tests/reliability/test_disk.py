"""The disk is full, the database locked, read-only, damaged or too new: one clear message, and nothing half-done."""

from __future__ import annotations

import ctypes
import os
import resource
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.integration.topic import Topic, event
from tests.reliability.commands import Commands
from worker.sandbox.server import SandboxServer
from worker.sandbox.server_state import StandIn
from worker.store import customers

LISTS = {"acct-1": ("master", "other")}
PAGE = 4096
CAP_DAC_OVERRIDE, PR_CAPBSET_DROP = 1, 24

pytestmark = pytest.mark.kafka


@pytest.fixture
def commands(tmp_path: Path, topic: Topic, sandbox: SandboxServer) -> Commands:
    """Commands with an account that has two lists."""
    made = Commands(tmp_path, topic, sandbox.base_url)
    made.make_accounts(LISTS)
    return made


def people(count: int, version: int = 1) -> Iterator[dict[str, Any]]:
    """Events of so many customers."""
    for n in range(count):
        yield event(f"c{n}", version=version, email=f"c{n}@example.com", first_name=f"v{version}")


def names(standin: StandIn) -> dict[str, str]:
    """Address to first name of all that are subscribed."""
    return {one.email: one.merge_fields["FNAME"] for one in standin.members("master") if one.status == "subscribed"}


def driven(
    commands: Commands, *arguments: str, before: Callable[[], None] | None = None, **environment: str
) -> tuple[int, str]:
    """Runs a command by the driver and returns its exit code and what it printed as an error."""
    ended = subprocess.run(
        [sys.executable, "-m", "tests.reliability.disk_driver", *arguments],
        env=commands.environment | environment,
        cwd=commands.folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        preexec_fn=before,
    )
    assert "Traceback" not in ended.stderr, ended.stderr
    return ended.returncode, ended.stderr


def contents(commands: Commands) -> dict[str, int]:
    """How many rows each table has."""
    with closing(commands.database()) as db:
        tables = [row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {name: db.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in tables}


def test_a_disk_that_is_full_while_events_are_staged(commands: Commands, standin: StandIn) -> None:
    """Nothing of the batch is kept, the message says full; with room again everything is delivered."""
    before = contents(commands)
    commands.topic.publish(people(2000))
    code, told = driven(commands, "run", "--once", MOST_PAGES=str(commands.path.stat().st_size // PAGE + 30))
    assert code == 1
    assert "disk is full" in told
    assert "Make room on the disk" in told
    after = contents(commands)
    assert after["customer"] == before["customer"] == 0
    assert after["dead_letter"] == 0
    assert standin.audit.writes() == []
    commands("run", "--once")
    assert len(names(standin)) == 2000
    assert commands.intact()


def test_a_disk_that_is_full_at_any_moment_of_a_flush(commands: Commands, standin: StandIn) -> None:
    """Before, between and after the calls: the command fails saying why, and in the end everybody is a member once."""
    commands.topic.publish(people(300))
    pages, codes = pages_when_staged(commands), []
    for room in (1, 4, 10, 20, 40, 70):
        code, told = driven(commands, "run", "--once", MOST_PAGES=str(pages + room))
        codes.append(code)
        assert code == 0 or "full" in told
        assert commands.intact()
    assert codes.count(1) >= 3, codes
    commands("run", "--once")
    assert names(standin) == {f"c{n}@example.com": "v1" for n in range(300)}
    made = Counter(one.email for one in standin.audit.changes if one.before is None)
    assert set(made.values()) == {1}
    with closing(commands.database()) as db:
        assert db.execute("SELECT DISTINCT origin, state FROM ledger").fetchall()[0][:] == ("added", "present")
        assert customers.accounts_with_changes(db) == {}


def pages_when_staged(commands: Commands) -> int:
    """Stages what is published without delivering it, and returns how large the database is then."""
    commands("account", "disable", "acct-1")
    commands("run", "--once")
    commands("account", "enable", "acct-1")
    with closing(commands.database()) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    return commands.path.stat().st_size // PAGE


def test_a_file_that_cannot_grow_is_reported(commands: Commands, standin: StandIn) -> None:
    """The write-ahead log hits the limit of a file's size: one message, exit code 1, and nothing is half-done."""
    commands.topic.publish(people(3000))
    largest = 300_000

    def little_room() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest, largest))

    code, told = driven(commands, "run", "--once", before=little_room)
    assert code == 1
    assert told.count("error: The database cannot be used") == 1
    assert contents(commands)["customer"] == 0
    commands("run", "--once")
    assert len(names(standin)) == 3000
    assert commands.intact()


def test_a_database_locked_by_another_process_is_reported(commands: Commands, standin: StandIn) -> None:
    """A writer waits a while, and then says that another process holds the database; readers are not hindered."""
    commands.topic.publish(people(3))
    with closing(commands.database()) as other:
        other.execute("BEGIN EXCLUSIVE")
        code, told = driven(commands, "run", "--once", BUSY_SECONDS="0.5")
        assert (code, "database is locked" in told, "Another process has held it" in told) == (1, True, True)
        assert driven(commands, "account", "disable", "acct-1", BUSY_SECONDS="0.5")[0] == 1
        assert driven(commands, "status", BUSY_SECONDS="0.5") == (0, "")
        other.execute("ROLLBACK")
    commands("run", "--once")
    assert len(names(standin)) == 3


@pytest.mark.parametrize("folder_too", [False, True])
def test_a_read_only_database_is_reported(commands: Commands, standin: StandIn, folder_too: bool) -> None:
    """A read-only database is reported with the missing right, and no call is made."""
    commands.topic.publish(people(3))
    for path in (*commands.folder.glob("worker.db*"), *([commands.folder] if folder_too else [])):
        path.chmod(0o500 if path.is_dir() else 0o400)
    standin.audit.clear_calls()
    try:
        code, told = driven(commands, "run", "--once", before=without_override)
    finally:
        commands.folder.chmod(0o700)
        for path in commands.folder.glob("worker.db*"):
            path.chmod(0o600)
    assert code == 1
    assert told.startswith("error: ")
    assert "write access" in told or "may write" in told
    assert not standin.audit.calls
    commands("run", "--once")
    assert len(names(standin)) == 3


def without_override() -> None:
    """Takes the right to override file modes from this process and what it becomes, where root runs the tests."""
    if os.geteuid() == 0:
        ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, 0, 0, 0)


@pytest.mark.parametrize("command", [("run",), ("run", "--once"), ("status",), ("account", "list")])
def test_a_damaged_database_is_reported(commands: Commands, standin: StandIn, command: tuple[str, ...]) -> None:
    """Pages that hold anything but what they should: the file is named as damaged, and no call is made."""
    with closing(commands.database()) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    whole = commands.path.read_bytes()
    commands.path.write_bytes(whole[:PAGE] + b"\xa5" * (len(whole) - PAGE))
    standin.audit.clear_calls()
    code, told = driven(commands, *command)
    assert code == 1
    assert "restore a copy" in told
    assert not standin.audit.calls


@pytest.mark.parametrize("command", [("run",), ("run", "--once"), ("status",)])
def test_a_database_of_a_newer_release_is_left_alone(commands: Commands, command: tuple[str, ...]) -> None:
    """The worker says which release it needs, and changes nothing."""
    with closing(commands.database()) as db:
        db.execute(
            "INSERT INTO _sqlite_migrations (migration_set, name, applied_at) VALUES ('staging', '9999_new', '2030')"
        )
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    before = commands.path.read_bytes()
    told = commands(*command, code=1)
    assert "newer release (it has 9999_new)" in told
    assert commands.path.read_bytes() == before
