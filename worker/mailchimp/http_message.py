"""HTTP/1.1 messages: encodes a request, and parses the head of its answer.

``http.client`` parses a head as an email, which takes longer than the rest of a call. So it only reads answers that are
not plain: chunked, compressed, without a length, or the last of their connection.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from http.client import HTTPResponse
from typing import Any
from urllib.parse import quote, urlencode

from worker.mailchimp.calls import Call

LONGEST_HEAD = 64 * 1024
"""Bytes of the longest head that this module parses itself."""
Receive = Callable[[int], bytes]
"""Returns at most this many bytes of an answer, and none at its end."""
_END = re.compile(rb"\n\r?\n")
_STATUS = re.compile(rb"HTTP/1\.1 ([2-5][0-9][0-9])[ \r]")
_HEADERS = re.compile(
    rb"^(content-length|transfer-encoding|content-encoding|connection|date)[ \t]*:([^\n]*)",
    re.IGNORECASE | re.MULTILINE,
)
_FOLDED = re.compile(rb"\n[ \t]")
_WITHOUT_BODY = (204, 304)
_TARGET = re.compile(r"[!-~]+")
_RESERVED = "!#$%&'()*+,/:;=?@[]~"


@dataclass(frozen=True, slots=True)
class RequestHead:
    """The part that all requests with one API key share.

    Attributes:
        target: the beginning of the request target, before a call's path.
        headers: header lines, without the last line end.
    """

    target: str
    headers: bytes = field(repr=False)

    def request(self, call: Call) -> bytes:
        """Returns the bytes of a call's request."""
        target = self.target + call.path
        if call.query:
            target += _query(tuple(call.query.items()))
        if not _TARGET.fullmatch(target):
            target = quote(target, safe=_RESERVED)
        body = b"" if call.body is None else json.dumps(call.body).encode()
        length = b"" if call.body is None and call.reads_only else b"\r\nContent-Length: %d" % len(body)
        line = f"{call.method} {target} HTTP/1.1\r\n".encode()
        return b"".join((line, self.headers, length, b"\r\n\r\n", body))


@lru_cache(maxsize=64)  # there are few different queries
def _query(parameters: tuple[tuple[str, str], ...]) -> str:
    return f"?{urlencode(parameters)}"


@dataclass(frozen=True, slots=True)
class PlainHead:
    """The head of a plain answer: its body has a length and is not compressed, and the connection stays open.

    Attributes:
        date: the Date header; None without one.
    """

    status: int
    length: int
    date: str | None


def end_of_head(received: bytes) -> int:
    """Returns where the head of an answer ends, after its empty line; 0 if that has not arrived yet."""
    end = _END.search(received)
    return end.end() if end is not None else 0


def plain_head(head: bytes, most: int) -> PlainHead | None:
    """Parses the head of an answer; returns None if it is not plain.

    Args:
        most: bytes of the largest body that is plain.
    """
    status, headers = _STATUS.match(head), _HEADERS.findall(head)
    values = {name.lower(): value.decode("latin-1").strip() for name, value in headers}
    if status is None or len(values) < len(headers) or not head.endswith(b"\r\n\r\n") or _FOLDED.search(head):
        return None
    number = int(status[1])
    length = values.pop(b"content-length", "0" if number in _WITHOUT_BODY else "")
    date = values.pop(b"date", None)
    kept = values.pop(b"connection", "keep-alive").lower() == "keep-alive"
    if values or not kept or not (length.isascii() and length.isdigit()):
        return None
    most = 0 if number in _WITHOUT_BODY else most
    return PlainHead(number, int(length), date) if int(length) <= most else None


def read_again(received: bytes, receive: Receive, method: str) -> HTTPResponse:
    """Parses the head of an answer with ``http.client``.

    Args:
        received: the beginning of the answer.
        receive: returns the rest of it.

    Raises:
        HTTPException: the answer is not HTTP.
        OSError: the connection broke.
    """
    answer = HTTPResponse(_Replayed(received, receive), method=method)  # type: ignore[arg-type]
    answer.begin()
    return answer


@dataclass(frozen=True, slots=True)
class _Replayed:
    """A stand-in for the socket: returns the part that was read already, then the rest."""

    received: bytes
    receive: Receive

    def makefile(self, *args: Any) -> io.BufferedReader:
        return io.BufferedReader(_Stream(self.received, self.receive))


class _Stream(io.RawIOBase):
    def __init__(self, received: bytes, receive: Receive) -> None:
        self._received, self._receive = received, receive

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer)
        part = self._received[: len(view)] or self._receive(len(view))
        self._received = self._received[len(part) :]
        view[: len(part)] = part
        return len(part)
