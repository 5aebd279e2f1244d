"""What all tests share: the folder in which they find one broker, where their files are, and new databases."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import closing
from functools import wraps
from pathlib import Path
from typing import Any

import pytest

from tests.integration.shared import FOLDER, broker_in, end_broker
from worker.sqlite import migrations
from worker.sqlite.library import sqlite3

MEMORY = Path("/dev/shm")
PREFIX = "mailchimp-worker-tests-"
ROOM = 2 * 1024**3
"""Bytes. What all tests write together, several times over."""


def pytest_xdist_auto_num_workers() -> int:
    """Two processes more than there are cores: much of the time, tests wait for brokers and for processes to end."""
    return (os.cpu_count() or 1) + 2


@pytest.hookimpl(tryfirst=True)  # before pytest itself decides where temporary files are
def pytest_configure(config: pytest.Config) -> None:
    """Names the folder, and lets Ctrl-C through, before processes that run tests side by side are started."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as a shell does for a command in the background
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if not hasattr(config, "workerinput"):
        # Where no commit waits for a disk: processes are killed in the tests, never the machine.
        in_memory = MEMORY.is_dir() and os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > ROOM
        if in_memory:
            remove_left(MEMORY)
        prefix = f"{PREFIX}{os.getpid()}-"
        os.environ[FOLDER] = tempfile.mkdtemp(prefix=prefix, dir=MEMORY if in_memory else None)
        if in_memory and config.option.basetemp is None:
            config.option.basetemp = os.environ[FOLDER] + "/files"


def remove_left(parent: Path) -> None:
    """Removes the folders of runs that were killed, which would stay in memory."""
    for left in parent.glob(f"{PREFIX}*"):
        process = left.name.removeprefix(PREFIX).split("-")[0]
        if process.isdigit() and not Path("/proc", process).exists():
            shutil.rmtree(left, ignore_errors=True)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Says which broker was used."""
    broker = broker_in(Path(os.environ[FOLDER]))
    if broker is not None:
        style = {"green": True} if broker.whole else {"red": True, "bold": True}
        terminalreporter.write_line(f"Kafka in these tests: {broker.kind}", **style)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Ends the broker with the tests."""
    if not hasattr(config, "workerinput") and FOLDER in os.environ:
        folder = Path(os.environ.pop(FOLDER))
        end_broker(folder)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session", autouse=True)
def copied_databases() -> Iterator[None]:
    """Has new databases copied from one: its migrations take 14 ms, and the tests make thousands of databases."""
    apply = migrations.apply
    with closing(sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)) as made:
        apply(made)

        @wraps(apply)
        def copy(connection: Any, stop_before: Iterable[str] = ()) -> None:
            if stop_before or connection.execute("SELECT 1 FROM sqlite_master").fetchone():
                apply(connection, stop_before)
            else:
                made.backup(connection)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(migrations, "apply", copy)
            yield
