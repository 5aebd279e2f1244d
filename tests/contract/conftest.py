"""Tests of the contract run twice: on the stand-in itself, and by the real client over HTTP."""

from collections.abc import Iterator

import pytest

from tests.contract.published import CheckedSender
from tests.contract.raw import Raw, serving
from tests.contract.world import KEY, LIST, USER, Ticking, World
from tests.direct_sender import DirectSender
from worker.mailchimp.api_key import parse
from worker.mailchimp.client import Client
from worker.sandbox.server import SandboxServer
from worker.sandbox.server_state import StandIn

TIMEOUT = 30.0


def _standin() -> StandIn:
    standin = StandIn(Ticking())
    standin.add_key(KEY, USER)
    standin.create_list(USER, LIST, "Customers")
    return standin


@pytest.fixture(params=["direct", "http"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    """Returns a fresh one."""
    standin = _standin()
    if request.param == "direct":
        direct = DirectSender(standin, KEY)
        yield World(standin, CheckedSender(direct), direct, None)
        return
    with SandboxServer(standin) as server, Client(parse(KEY), server.base_url, TIMEOUT) as client:
        yield World(standin, CheckedSender(client), client, server.base_url)


@pytest.fixture
def served() -> Iterator[World]:
    """Returns one that is called over HTTP only."""
    standin = _standin()
    with SandboxServer(standin) as server, Client(parse(KEY), server.base_url, TIMEOUT) as client:
        yield World(standin, CheckedSender(client), client, server.base_url)


@pytest.fixture
def raw(monkeypatch: pytest.MonkeyPatch) -> Iterator[Raw]:
    """Returns a server that answers as the test says, byte by byte; it is called without any proxy."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with serving() as made:
        yield made
