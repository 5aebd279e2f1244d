"""What all tests share: the folder in which they find one broker, and the word on which broker that was."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from pathlib import Path

import pytest

from tests.integration.shared import FOLDER, broker_in, end_broker


def pytest_xdist_auto_num_workers() -> int:
    """Two processes more than there are cores: much of the time, tests wait for brokers and for processes to end."""
    return (os.cpu_count() or 1) + 2


def pytest_configure(config: pytest.Config) -> None:
    """Names the folder, and lets Ctrl-C through, before processes that run tests side by side are started."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as a shell does for a command in the background
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if not hasattr(config, "workerinput"):
        os.environ[FOLDER] = tempfile.mkdtemp(prefix="mailchimp-worker-tests-")


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
