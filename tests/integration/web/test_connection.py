"""Connections that send no whole request: they end, and hold up nobody."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Iterator
from contextlib import ExitStack, closing
from typing import Any

import pytest

from worker.web import connection
from worker.web.server import WebServer

HALF = b"GET / HTTP/1.1\r\nHost: x\r\nX-a: "


async def fine(scope: Any, receive: Any, send: Any) -> None:
    """Answers every request."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})


@pytest.fixture
def address(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, int]]:
    """A server with at most five connections."""
    monkeypatch.setattr(connection, "MOST_CONNECTIONS", 5)
    with closing(WebServer("127.0.0.1", 0)) as server:
        server.start(fine)
        yield "127.0.0.1", int(server.url.rpartition(":")[2])


def half_open(address: tuple[str, int]) -> socket.socket:
    """A connection that has sent a part of a request."""
    made = socket.create_connection(address, timeout=20)
    made.sendall(HALF)
    return made


def is_answered(address: tuple[str, int]) -> bool:
    """Whether a request on a new connection is answered."""
    asked = http.client.HTTPConnection(*address, timeout=20)
    with closing(asked):
        asked.request("GET", "/")
        return asked.getresponse().status == 200


def ends(made: socket.socket) -> bool:
    """Whether the server ends a connection without an answer."""
    try:
        return made.recv(1) == b""
    except ConnectionResetError:
        return True


def test_half_open_requests_make_room_for_others(address: tuple[str, int]) -> None:
    """However many there are, a request is answered, and so many connections stay open at most."""
    with ExitStack() as stack:
        opened = [stack.enter_context(half_open(address)) for _ in range(20)]
        assert is_answered(address)
        left = 0
        for made in opened:
            made.settimeout(0.2)
            try:
                assert ends(made)
            except TimeoutError:
                left += 1
        assert left <= 5


def test_a_request_that_is_not_whole_in_time_ends_its_connection(
    address: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also the second one of a connection, although it sends a byte now and then."""
    monkeypatch.setattr(connection, "REQUEST_SECONDS", 0.2)
    with half_open(address) as first, socket.create_connection(address, timeout=20) as second:
        second.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert second.recv(12) == b"HTTP/1.1 200"
        second.sendall(HALF)
        assert ends(first)
        while (received := second.recv(4096)) != b"":
            assert b"HTTP/1.1" not in received
