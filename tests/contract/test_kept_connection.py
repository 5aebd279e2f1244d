"""A kept connection: how each way of going wrong is reported, and that the next call has its own answer."""

from __future__ import annotations

import socket
import threading
import time

import pytest

from tests.contract.raw import KEY, LONG, PATCH, PING, SHORT, WHOLE, Raw, Request
from worker.mailchimp.api_key import parse
from worker.mailchimp.client import LARGEST_ANSWER, Client

_TOO_LARGE = b'{"a":"' + b"a" * LARGEST_ANSWER + b'"}'


def _answer(content: bytes, more: bytes = b"") -> bytes:
    return b"HTTP/1.1 200 OK\r\n%sContent-Length: %d\r\n\r\n%s" % (more, len(content), content)


@pytest.mark.parametrize(
    ("answer", "goes_on", "failure"),
    [
        (_answer(_TOO_LARGE), True, "too_large"),
        (WHOLE[:-1], False, "connection"),
        (b"", False, "connection"),
        (b"no HTTP at all\r\n\r\n", True, "connection"),
        (_answer(b"{}", b"Content-Encoding: gzip\r\n"), True, "connection"),
    ],
)
def test_what_goes_wrong_on_a_kept_connection_ends_it(raw: Raw, answer: bytes, goes_on: bool, failure: str) -> None:
    """The call is in doubt, is not repeated, and the next one has another connection and its own answer."""
    with Client(parse(KEY), raw.base_url, LONG) as client:
        assert client.send(PING).ok
        raw.act = lambda peer, request: bool(peer.sendall(answer)) or goes_on
        told = client.send(PATCH)
        assert (told.status, told.failure, told.unsent) == (None, failure, False)
        raw.act = lambda peer, request: bool(peer.sendall(WHOLE)) or True
        assert client.send(PING).ok
    assert [one.line.partition(" ")[0] for one in raw.requests] == ["GET", "PATCH", "GET"]
    assert raw.connections == 2


def test_a_late_answer_on_a_kept_connection_is_a_timeout(raw: Raw) -> None:
    """However it trickles in; the next call has another connection and its own answer."""

    def trickles(peer: socket.socket, request: Request) -> bool:
        peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        while not raw.over.wait(SHORT / 10):
            peer.sendall(b" ")
        return False

    with Client(parse(KEY), raw.base_url, 2 * SHORT) as client:
        assert client.send(PING).ok
        raw.act = trickles
        began = time.monotonic()
        assert client.send(PATCH).failure == "timeout"
        assert time.monotonic() - began < LONG
        raw.act = lambda peer, request: bool(peer.sendall(WHOLE)) or True
        assert client.send(PING).ok
    assert raw.connections == 2


def test_a_connection_that_the_server_ended_meanwhile_is_not_used(raw: Raw) -> None:
    """The call goes out once, over another connection, and is not in doubt."""
    ended = threading.Event()

    def ends(peer: socket.socket, request: Request) -> bool:
        peer.sendall(WHOLE)
        peer.shutdown(socket.SHUT_RDWR)
        ended.set()
        return False

    with Client(parse(KEY), raw.base_url, LONG) as client:
        assert client.send(PING).ok
        raw.act = ends
        assert client.send(PING).ok
        assert ended.wait(LONG)
        raw.act = lambda peer, request: bool(peer.sendall(WHOLE)) or True
        assert client.send(PATCH).ok
    assert len(raw.requests) == 3
    assert raw.connections == 2


def test_a_call_on_a_kept_connection_goes_out_as_the_first_one_does(raw: Raw) -> None:
    """Line, headers and body are the same, in one piece."""
    with Client(parse(KEY), raw.base_url, LONG) as client:
        assert client.send(PATCH).ok
        assert client.send(PATCH).ok
    first, second = raw.requests
    assert first.raw == second.raw
    assert raw.connections == 1
