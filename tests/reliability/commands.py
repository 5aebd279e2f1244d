"""Commands of the worker under faults: killed at a point, several workers beside each other, accounts made quickly."""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import closing
from pathlib import Path
from typing import Any

from tests.e2e import fork_server
from tests.e2e.conftest import END_SECONDS, Cli
from tests.integration.topic import Topic
from worker.sqlite.database import Database, open_database

ROOT = Path(__file__).parents[2]
KILLED = -signal.SIGKILL


class Commands(Cli):
    """Runs commands with one database."""

    def __init__(self, folder: Path, topic: Topic, base_url: str, **client: Any) -> None:
        super().__init__(folder, topic, base_url)
        self.environment["PYTHONPATH"] = str(ROOT)
        if client:
            pairs = ", ".join(f'"{name}": {value}' for name, value in client.items())
            self.environment["WORKER_KAFKA__CLIENT"] = "{" + pairs + "}"

    def database(self) -> Database:
        """Opens the database beside the commands."""
        return open_database(self.path)

    def start_killed(self, point: str, number: float, *arguments: str) -> subprocess.Popen[str]:
        """Starts a command that is killed when it passes a point so many times; see the driver."""
        return fork_server.start(
            "tests.reliability.driver",
            arguments,
            self.environment | {"KILL_AT": f"{point}:{number}"},
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def kill_at(self, point: str, number: float, *arguments: str) -> bool:
        """Runs a command until it is killed at a point; returns whether it was, rather than ending before with 0."""
        process = self.start_killed(point, number, *arguments)
        out, err = process.communicate(timeout=END_SECONDS)
        assert process.returncode in (0, KILLED), f"{point}:{number} ended with {process.returncode}:\n{out}\n{err}"
        assert "Traceback" not in err, err
        return process.returncode == KILLED

    def spawn(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Starts a command that runs on; what it prints goes into a file of the folder."""
        with (self.folder / "worker.log").open("ab") as log:
            return fork_server.start(
                "worker", arguments, self.environment, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def log(self) -> str:
        """What the commands printed that ran on."""
        path = self.folder / "worker.log"
        return path.read_text() if path.exists() else ""

    def intact(self) -> bool:
        """Whether SQLite finds nothing wrong with the database."""
        with closing(self.database()) as db:
            return [row[0] for row in db.execute("PRAGMA integrity_check")] == ["ok"]


def end(process: subprocess.Popen[Any], number: int = signal.SIGTERM) -> int:
    """Sends a signal to a process and returns how it ended."""
    if process.poll() is None:
        os.kill(process.pid, number)
    return process.wait(END_SECONDS)
