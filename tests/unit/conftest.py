"""Unit tests open no socket: one that tries fails at once, wherever it runs and whatever it would have reached."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from worker.sqlite.database import Database, open_database
from worker.text import redaction


@pytest.fixture(autouse=True)
def no_sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes opening a socket, or looking a host up, fail the test."""

    def refuse(*_args: Any, **_kwargs: Any) -> None:
        # Not an Exception: what handles a network's failures must not handle this one.
        pytest.fail("A unit test opened a socket.")

    monkeypatch.setattr(socket.socket, "__init__", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.fixture(autouse=True)
def nothing_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets the log forget the secrets that tests before this one, in the same process, kept out of it."""
    monkeypatch.setattr(redaction, "_hidden", {})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The file of a database that is not there yet."""
    return tmp_path / "x.db"


@pytest.fixture
def db() -> Iterator[Database]:
    """An empty database in memory."""
    with closing(open_database(":memory:")) as made:
        yield made


@pytest.fixture
def own_root(monkeypatch: pytest.MonkeyPatch) -> Iterator[logging.Logger]:
    """Gives the root logger, and what else the log takes over, back as it was."""
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    root = logging.getLogger()
    before, level = root.handlers, root.level
    yield root
    logging.captureWarnings(capture=False)
    root.handlers = before
    root.setLevel(level)
