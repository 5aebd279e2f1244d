"""The client over real sockets: what leaves the machine, and how the client reports each way of going wrong."""

from __future__ import annotations

import base64
import gzip
import json
import socket
import struct
import threading
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.contract.raw import KEY, LONG, PATCH, PING, SHORT, WHOLE, Raw, Request, hanging, send
from worker import __version__
from worker.errors import ConfigError
from worker.mailchimp.answers import Answer
from worker.mailchimp.api_key import parse
from worker.mailchimp.calls import Call
from worker.mailchimp.client import Client
from worker.mailchimp.connection import LARGEST_ANSWER

# --- what leaves the machine


def test_a_call_goes_out_as_it_is(raw: Raw) -> None:
    """Method, path, query and body go out as the call has them, as JSON, with the worker's name and version."""
    assert send(raw, Call("GET", "/lists", {"count": "1000", "fields": "a,b c"})).ok
    assert send(raw, PATCH).ok
    read, written = raw.requests
    assert read.line == "GET /3.0/lists?count=1000&fields=a%2Cb+c HTTP/1.1"
    assert read.body == b""
    assert written.line == "PATCH /3.0/lists/a1/members/b2 HTTP/1.1"
    assert json.loads(written.body) == PATCH.body
    assert written.headers["content-type"] == "application/json"
    assert written.headers["user-agent"] == f"mailchimp-worker/{__version__}"


def test_the_key_is_in_the_authorization_header_only(raw: Raw) -> None:
    """The key goes out once, as the password of basic authentication: in no URL, other header or body."""
    send(raw, PATCH)
    (request,) = raw.requests
    kind, text = request.headers["authorization"].split(" ")
    assert kind == "Basic"
    assert base64.b64decode(text).decode().partition(":")[2] == KEY
    assert raw.requests[0].raw.count(text.encode()) == 1
    assert KEY[:8].encode() not in request.raw


def test_no_netrc_takes_the_place_of_the_key(raw: Raw, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Passwords for the host in a .netrc file are not sent."""
    netrc = tmp_path / ".netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password else\ndefault login somebody password else\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("HOME", str(tmp_path))
    send(raw)
    assert base64.b64decode(raw.requests[0].headers["authorization"].split(" ")[1]).decode().endswith(f":{KEY}")


def test_connections_are_kept_for_the_calls_that_follow(raw: Raw) -> None:
    """Calls one after the other share a connection; one that the server ended is recreated."""
    with Client(parse(KEY), raw.base_url, LONG) as client:
        assert all(client.send(PING).ok for _ in range(5))
        assert raw.connections == 1
        raw.says(WHOLE.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        assert client.send(PING).ok
        assert client.send(PING).ok
    assert raw.connections == 2


def test_threads_share_a_client(raw: Raw) -> None:
    """Calls of several threads are in flight at once, each on a connection to itself."""
    together = threading.Barrier(4, timeout=LONG)

    def act(peer: socket.socket, request: Request) -> bool:
        together.wait()
        peer.sendall(WHOLE)
        return True

    raw.act = act
    answers: list[Answer] = []
    with Client(parse(KEY), raw.base_url, LONG) as client:
        threads = [threading.Thread(target=lambda: answers.append(client.send(PING))) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert [one.status for one in answers] == [200] * 4
    assert raw.connections == 4


# --- what comes back


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("target", [b"/3.0/elsewhere", b"http://127.0.0.1:1/", b"http://[", b""])
def test_a_redirect_is_not_followed(raw: Raw, status: int, target: bytes) -> None:
    """A redirect comes back as it is, wherever it points; the key goes nowhere else."""
    raw.says(b"HTTP/1.1 %d Moved\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n" % (status, target))
    answer = send(raw, PATCH)
    assert (answer.status, answer.failure) == (status, None)
    assert len(raw.requests) == 1


@pytest.mark.parametrize(
    ("content", "body"),
    [
        (b'{"title": "Zo\xc3\xab"}', {"title": "Zoë"}),
        (b"", None),
        (b"[1]", None),
        (b"null", None),
        (b"<html>", None),
        (b'{"half": ', None),
        (b"\xff\xfe\xff", None),
        (b"[" * 100_000, None),
    ],
)
def test_only_a_json_object_is_a_body(raw: Raw, content: bytes, body: object) -> None:
    """An answer without a JSON object keeps its status and has no body, whatever it is."""
    raw.says(b"HTTP/1.1 403 Forbidden\r\nContent-Length: %d\r\n\r\n%s" % (len(content), content))
    answer = send(raw)
    assert (answer.status, answer.body, answer.failure) == (403, body, None)


def test_a_key_that_an_answer_repeats_is_cut_to_its_end(raw: Raw) -> None:
    """Receipts, pages and Kafka show what an error says, so nothing of it leaves the client with the key."""
    header = base64.b64encode(f"mailchimp-worker:{KEY}".encode()).decode()
    content = json.dumps({"title": f"API Key Invalid {KEY}", "detail": f"Basic {header}"}).encode()
    raw.says(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: %d\r\n\r\n%s" % (len(content), content))
    assert send(raw).body == {"title": f"API Key Invalid …{KEY[-4:]}", "detail": f"Basic …{header[-4:]}"}


@pytest.mark.parametrize("packed", [True, False])
def test_an_answer_of_any_size_takes_little_memory(raw: Raw, packed: bool) -> None:
    """An answer that is too large, even if compressed, is not read to its end; the next call gets its own answer."""
    content = b'{"a":"' + b"a" * (400 * 1024 * 1024 if packed else LARGEST_ANSWER) + b'"}'
    if packed:
        content = gzip.compress(content, 1)
    coding = b"Content-Encoding: gzip\r\n" if packed else b""
    raw.says(b"HTTP/1.1 200 OK\r\n%sContent-Length: %d\r\n\r\n%s" % (coding, len(content), content))
    with Client(parse(KEY), raw.base_url, LONG) as client:
        tracemalloc.start()
        try:
            answer = client.send(PATCH)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert (answer.status, answer.failure, answer.unsent) == (None, "too_large", False)
        assert peak < 3 * LARGEST_ANSWER
        raw.says(WHOLE)
        assert client.send(PING).ok


def test_a_packed_answer_is_unpacked(raw: Raw) -> None:
    """A compressed answer of the largest size is read, and the connection is kept."""
    content = gzip.compress(b'{"a":"%s"}' % (b"a" * (LARGEST_ANSWER - 8)))
    answer = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(content) + content
    raw.act = lambda peer, request: bool(peer.sendall(answer)) or True
    with Client(parse(KEY), raw.base_url, LONG) as client:
        assert len((client.send(PING).body or {})["a"]) == LARGEST_ANSWER - 8
        assert client.send(PING).ok
    assert raw.connections == 1


# --- what goes wrong


@pytest.mark.parametrize("parts", [(), (b"HTTP/1.1 200 OK\r\n",), (WHOLE[:-1],), (b"HTTP/1.1 200 OK\r\n\r\n", b"{}")])
def test_an_answer_that_is_not_whole_in_time_is_a_timeout(raw: Raw, parts: tuple[bytes, ...]) -> None:
    """However far the answer came, it is a timeout, and Mailchimp may have acted."""
    hanging(raw, *parts)
    answer = send(raw, PATCH, SHORT)
    assert (answer.status, answer.failure, answer.unsent) == (None, "timeout", False)
    assert SHORT <= answer.seconds < LONG
    assert len(raw.requests) == 1


def test_an_answer_that_trickles_in_is_a_timeout(raw: Raw) -> None:
    """An answer that arrives byte by byte ends at the same time limit."""

    def act(peer: socket.socket, request: Request) -> bool:
        peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        while not raw.over.wait(SHORT / 10):
            peer.sendall(b" ")
        return False

    raw.act = act
    answer = send(raw, PING, SHORT)
    assert answer.failure == "timeout"
    assert answer.seconds < LONG


def test_a_late_answer_is_never_taken_for_the_next_ones(raw: Raw) -> None:
    """After a timeout the next call has a connection of its own, and its own answer."""
    hanging(raw)
    with Client(parse(KEY), raw.base_url, 3 * SHORT) as client:
        assert client.send(PING).failure == "timeout"
        raw.says(WHOLE)
        assert client.send(PING).ok
    assert raw.connections == 2


def reset(peer: socket.socket) -> None:
    """Has the connection end with a reset rather than an end of the stream."""
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


@pytest.mark.parametrize("part", [b"", b"HTTP/1.1 2", WHOLE[:-1]])
@pytest.mark.parametrize("hard", [False, True])
def test_a_connection_that_breaks_leaves_the_call_in_doubt(raw: Raw, part: bytes, hard: bool) -> None:
    """A connection that ends before the answer is whole is reported; the call was sent once, and is not repeated."""

    def act(peer: socket.socket, request: Request) -> bool:
        peer.sendall(part)
        if hard:
            reset(peer)
            peer.close()
        return False

    raw.act = act
    answer = send(raw, PATCH)
    assert (answer.status, answer.failure, answer.unsent) == (None, "connection", False)
    assert len(raw.requests) == 1


def test_an_answer_that_ends_among_its_headers_has_no_body(raw: Raw) -> None:
    """An answer that ends within its headers has a status and no body."""
    raw.says(b"HTTP/1.1 200 OK\r\nContent-Le")
    answer = send(raw, PATCH)
    assert (answer.status, answer.body) == (200, None)


@pytest.mark.parametrize(
    "answer",
    [
        b"no HTTP at all\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nno length\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}",
    ],
)
def test_an_answer_that_is_no_http_leaves_the_call_in_doubt(raw: Raw, answer: bytes) -> None:
    """An answer that cannot be read is a broken one: the call was sent and may have acted."""
    raw.says(answer)
    found = send(raw, PATCH)
    assert (found.status, found.failure, found.unsent) == (None, "connection", False)


def test_a_port_that_nobody_listens_on_is_unconnected() -> None:
    """A connection that is refused means that the call was never sent."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/3.0"
        with Client(parse(KEY), url, LONG) as client:
            answer = client.send(PATCH)
    assert (answer.failure, answer.unsent) == ("unconnected", True)


@pytest.mark.parametrize(
    ("code", "failure"),
    [
        (socket.EAI_NONAME, "unknown_host"),
        (getattr(socket, "EAI_NODATA", socket.EAI_NONAME), "unknown_host"),
        (socket.EAI_AGAIN, "unconnected"),
        (socket.EAI_FAIL, "unconnected"),
    ],
)
def test_a_host_is_unknown_only_where_that_was_answered(
    monkeypatch: pytest.MonkeyPatch, code: int, failure: str
) -> None:
    """A name that does not exist is a wrong data centre; a look-up that failed says nothing about the name."""
    asked: list[str] = []

    def look_up(host: str, *_: object, **__: object) -> None:
        asked.append(host)
        raise socket.gaierror(code, "said by the test")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    monkeypatch.setenv("no_proxy", "*")
    with Client(parse(KEY), "https://{dc}.api.mailchimp.invalid/3.0", LONG) as client:
        answer = client.send(PATCH)
    assert (answer.failure, answer.unsent) == (failure, True)
    assert asked == ["us21.api.mailchimp.invalid"]


@contextmanager
def told_to_the_operator() -> Iterator[None]:
    """Expects an error of the configuration that does not tell the key."""
    with pytest.raises(ConfigError) as caught:
        yield
    assert "mailchimp.base_url" in caught.value.advice
    assert KEY[:8] not in caught.value.message + caught.value.advice


@pytest.mark.parametrize("url", ["no-url/3.0", "ftp://127.0.0.1/3.0", "http:///3.0"])
def test_a_url_that_cannot_be_called_is_an_error_of_the_configuration(url: str) -> None:
    """A URL that no call can be made to is the operator's error, not a failure of Mailchimp."""
    with told_to_the_operator(), Client(parse(KEY), url, LONG) as client:
        client.send(PING)


def test_certificates_that_are_not_there_are_an_error_of_the_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A missing file of certificates that the environment names is reported to the operator."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "absent.pem"))
    with told_to_the_operator(), Client(parse(KEY), "https://127.0.0.1:1/3.0", LONG) as client:
        client.send(PING)


def test_an_answer_has_the_time_of_its_date_header(raw: Raw) -> None:
    """Mailchimp's time comes with each answer; one without, or with one that cannot be read, has none."""
    told = datetime(2026, 11, 22, 10, 5, 6, tzinfo=UTC)
    for header, date in ((b"Date: Sun, 22 Nov 2026 10:05:06 GMT\r\n", told), (b"Date: soon\r\n", None), (b"", None)):
        raw.says(WHOLE.replace(b"\r\n", b"\r\n" + header, 1))
        assert send(raw).date == date
