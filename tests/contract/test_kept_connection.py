"""A kept connection: how each way of going wrong is reported, and that the next call has its own answer."""

from __future__ import annotations

import gc
import gzip
import socket
import threading
import time

import pytest

from tests.contract.raw import KEY, LONG, PATCH, PING, SHORT, WHOLE, Raw, Request
from worker.mailchimp.api_key import parse
from worker.mailchimp.client import Client
from worker.mailchimp.connection import LARGEST_ANSWER

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


@pytest.mark.parametrize(
    ("answer", "kept"),
    [
        (_answer(b'{"a": 1}'), True),
        (_answer(b'{"a": 1}', b"Set-Cookie: a=b\r\nset-cookie: c=d\r\nX-Long: one\r\n two\r\n"), True),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + _answer(b'{"a": 1}'), True),
        (b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n{"a\r\n5\r\n": 1}\r\n0\r\n\r\n', True),
        (_answer(gzip.compress(b'{"a": 1}', mtime=0), b"Content-Encoding: gzip\r\n"), True),
        (_answer(b'{"a": 1}', b"Connection: close\r\n"), False),
        (_answer(b'{"a": 1}').replace(b"1.1", b"1.0"), False),
        (b'HTTP/1.1 200 OK\r\n\r\n{"a": 1}', False),
    ],
    ids=["plain", "more headers", "after another head", "in parts", "packed", "last", "HTTP/1.0", "without a length"],
)
def test_an_answer_in_any_form_is_read_on_a_kept_connection(raw: Raw, answer: bytes, kept: bool) -> None:
    """Chunked, compressed, after an interim answer, or until the connection ends: each answer is read whole."""
    with Client(parse(KEY), raw.base_url, LONG) as client:
        assert client.send(PING).ok
        raw.act = lambda peer, request: bool(peer.sendall(answer)) or kept
        told = client.send(PATCH)
        assert (told.status, told.body) == (200, {"a": 1})
        raw.act = lambda peer, request: bool(peer.sendall(WHOLE)) or True
        assert client.send(PING).body == {}
    assert raw.connections == (1 if kept else 2)


def test_what_comes_after_an_answer_is_not_the_next_ones(raw: Raw) -> None:
    """The next call has another connection and its own answer."""
    with Client(parse(KEY), raw.base_url, LONG) as client:
        raw.act = lambda peer, request: bool(peer.sendall(WHOLE + _answer(b'{"a": 1}'))) or True
        assert client.send(PING).body == {}
        raw.act = lambda peer, request: bool(peer.sendall(WHOLE)) or True
        assert client.send(PING).body == {}
    assert raw.connections == 2


def test_a_late_answer_on_a_kept_connection_is_a_timeout(raw: Raw) -> None:
    """A late answer is a timeout however it arrives; the next call uses another connection and gets its own answer."""

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


@pytest.mark.parametrize("calls", [1, 2])
def test_a_client_that_is_closed_leaves_no_connection_open(raw: Raw, calls: int) -> None:
    """Closing a client closes its connections at once, not when Python collects garbage."""
    gc.disable()
    try:
        with Client(parse(KEY), raw.base_url, LONG) as client:
            for _ in range(calls):
                assert client.send(PING).ok
        assert raw.ended.wait(LONG)
    finally:
        gc.enable()
