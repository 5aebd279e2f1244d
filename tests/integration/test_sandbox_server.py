"""The stand-in's server, as its command ends it."""

from __future__ import annotations

import signal
import socket
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


def test_a_server_on_all_addresses_is_named_by_its_machine() -> None:
    """As in a container, where a worker in another container reaches it by the name."""
    server = SandboxServer(StandIn(utc_now), "0.0.0.0")
    with server:
        assert server.base_url == f"http://{socket.gethostname()}:{server.port}/3.0"
