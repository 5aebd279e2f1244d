"""One broker for all processes that run tests side by side: the first that needs it starts it, in a process of its own.

That process ends when the tests do: it gets a signal, and looks whether they still run.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from tests.integration.broker import FOLDER, Broker, any_broker

__all__ = ["FOLDER", "broker_in", "end_broker", "the_broker"]

STATE = "broker.json"
START_SECONDS = 600.0
"""The first start may fetch Kafka."""


def the_broker(folder: Path) -> Broker:
    """Returns the broker of these tests, started if nobody did yet."""
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        found = broker_in(folder)
        return found if found is not None else _start(folder)


def broker_in(folder: Path) -> Broker | None:
    """Returns the broker that was started for these tests, if any was."""
    state = folder / STATE
    return Broker(**json.loads(state.read_text())) if state.is_file() else None


def end_broker(folder: Path) -> None:
    """Ends the broker that was started for these tests, if any was."""
    pid = folder / "pid"
    if not pid.is_file():
        return
    with suppress(ProcessLookupError):
        os.kill(int(pid.read_text()), signal.SIGTERM)
        ended = time.monotonic() + 15
        while time.monotonic() < ended and (folder / STATE).exists():
            time.sleep(0.02)


def _start(folder: Path) -> Broker:
    parent = os.getppid() if "PYTEST_XDIST_WORKER" in os.environ else os.getpid()
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", __name__, str(folder), str(parent)],
            cwd=Path(__file__).parents[2],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    (folder / "pid").write_text(str(process.pid))
    ended = time.monotonic() + START_SECONDS
    while (found := broker_in(folder)) is None:
        if process.poll() is not None or time.monotonic() > ended:
            raise RuntimeError(f"No broker could be started: {(folder / 'log').read_text()[-3000:]}")
        time.sleep(0.05)
    # The broker outlives this process, which is not to wait for it.
    process.returncode = 0
    return found


def _serve(folder: Path, parent: int) -> None:
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    membership = folder / "broker"
    membership.mkdir()
    with any_broker(membership) as broker:
        state = folder / "broker.new"
        state.write_text(json.dumps(asdict(broker)))
        state.rename(folder / STATE)
        while not ended.wait(1) and _runs(parent):
            pass
    (folder / STATE).unlink(missing_ok=True)


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


if __name__ == "__main__":
    _serve(Path(sys.argv[1]), int(sys.argv[2]))
