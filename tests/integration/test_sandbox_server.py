"""The stand-in's server, as its command ends it."""

from __future__ import annotations

import signal
import threading
from typing import Any

import pytest

from worker.clock import utc_now
from worker.sandbox.server import SandboxServer
from worker.sandbox.server_state import StandIn


def test_ctrl_c_while_waiting_for_the_server_ends_it_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server ends before its socket is closed, without an error in its thread."""
    errors: list[Any] = []
    monkeypatch.setattr(threading, "excepthook", errors.append)
    main = threading.get_ident()
    with SandboxServer(StandIn(utc_now)) as server:
        ctrl_c = threading.Timer(0.1, signal.pthread_kill, (main, signal.SIGINT))
        ctrl_c.start()
        with pytest.raises(KeyboardInterrupt):
            server.join()
        ctrl_c.join()
    server.join()
    assert errors == []
