"""Where the web server may listen."""

from __future__ import annotations

import pytest

from worker.app import App
from worker.config import Config, Web, is_loopback
from worker.errors import WebError
from worker.web.server import web_server


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.7", "worker.example"])
def test_other_machines_are_let_in_only_with_a_token(host: str) -> None:
    """The start is refused, and the message says both ways out."""
    app = App(Config(web=Web(host=host)))
    with pytest.raises(WebError, match=r"no web\.token is set") as refused, web_server(app):
        pass
    assert "WORKER_WEB__TOKEN" in refused.value.advice
    assert "WORKER_WEB__HOST=127.0.0.1" in refused.value.advice


@pytest.mark.parametrize(("host", "loopback"), [("127.0.0.1", True), ("::1", True), ("localhost", True), ("0", False)])
def test_only_this_machine_reaches_loopback(host: str, loopback: bool) -> None:
    """By number or by name; what is no address is no loopback."""
    assert is_loopback(host) is loopback
