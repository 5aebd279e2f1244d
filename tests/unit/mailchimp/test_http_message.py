"""Requests as they are sent, and the heads of answers."""

import io
from http.client import HTTPException

import pytest

from worker.mailchimp.calls import Call
from worker.mailchimp.http_message import PlainHead, RequestHead, end_of_head, plain_head, read_again

HEAD = RequestHead("/3.0", b"Host: a\r\nAuthorization: Basic c2VjcmV0")
MOST = 100


def test_a_request_is_one_piece():
    """Line, headers and body are sent at once; a read has no length, a write has one even without a body."""
    assert HEAD.request(Call("GET", "/lists", {"count": "10", "fields": "a,b c"})) == (
        b"GET /3.0/lists?count=10&fields=a%2Cb+c HTTP/1.1\r\nHost: a\r\nAuthorization: Basic c2VjcmV0\r\n\r\n"
    )
    assert HEAD.request(Call("PUT", "/a", body={"b": "é"})).endswith(b'Content-Length: 15\r\n\r\n{"b": "\\u00e9"}')
    assert HEAD.request(Call("DELETE", "/a")).endswith(b"c2VjcmV0\r\nContent-Length: 0\r\n\r\n")


@pytest.mark.parametrize(("path", "sent"), [("/a b", b"/a%20b"), ("/é", b"/%C3%A9"), ("/a\r\nb", b"/a%0D%0Ab")])
def test_a_path_cannot_end_the_line(path: str, sent: bytes):
    """Characters that a request line cannot hold are encoded; what is encoded already stays."""
    assert HEAD.request(Call("GET", f"/%2f{path}")).startswith(b"GET /3.0/%2f" + sent + b" HTTP/1.1\r\nHost")


def test_the_headers_are_not_printed():
    """They hold the API key."""
    assert "c2VjcmV0" not in repr(HEAD)


@pytest.mark.parametrize(
    ("head", "plain"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", PlainHead(200, 2, None)),
        (b"HTTP/1.1 404 \r\ncontent-length:2 \r\nDATE: now\r\nX: y\r\n\r\n", PlainHead(404, 2, "now")),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: Keep-Alive\r\n\r\n", PlainHead(200, 0, None)),
        (b"HTTP/1.1 204 No Content\r\nDate: now\r\n\r\n", PlainHead(204, 0, "now")),
    ],
)
def test_a_plain_answer(head: bytes, plain: PlainHead):
    """Its status, length and date are known; one without content needs no length."""
    assert plain_head(head, MOST) == plain


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 101\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n folded\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Encoding: gzip\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n",
        b"HTTP/1.1 200 OK\nContent-Length: 2\n\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding : chunked\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"",
    ],
)
def test_any_other_answer_is_left_to_the_library(head: bytes):
    """It reads such heads again."""
    assert plain_head(head, MOST) is None


@pytest.mark.parametrize(
    ("received", "end"),
    [(b"a: b\r\n\r\n{}", 8), (b"a: b\n\n{}", 6), (b"a: b\r\n\n{}", 7), (b"a: b\r\n\r", 0), (b"", 0)],
)
def test_a_head_ends_with_an_empty_line(received: bytes, end: int):
    """However lines end; the body follows."""
    assert end_of_head(received) == end


def test_a_head_is_read_again_from_its_beginning():
    """The library gets what was read, and then the rest."""
    answer = read_again(b"HTTP/1.0 200 OK\r\nLa", io.BytesIO(b"ter: b\r\n\r\n{}").read, "GET")
    assert (answer.status, answer.getheader("later"), answer.read()) == (200, "b", b"{}")
    with pytest.raises(HTTPException):
        read_again(b"no HTTP\r\n\r\n", io.BytesIO().read, "GET")
