"""A call on a connection that was used before: sent in one piece, and the head of its answer read line by line.

``http.client`` reads a head with the parser for e-mail, which takes longer than all the rest of a call. What is not
plain is left to it: an answer in parts, packed, without a length, or one after which the connection ends.
"""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from http.client import HTTPResponse, IncompleteRead
from typing import Any, BinaryIO

MOST_LINES = 100
LONGEST_LINE = 65536
"""Of a head, as ``http.client`` allows."""
_STATUS = re.compile(rb"HTTP/1\.1 ([2-5][0-9][0-9])[ \r]")
_WITHOUT_BODY = (204, 304)
_TELLING = (b"content-length", b"transfer-encoding", b"content-encoding", b"connection", b"date")
_TARGET = re.compile(r"/[!-~]*")


def same_headers(head: bytes) -> bytes:
    """Returns the header lines of a request that the next one on its connection has too: all but its length."""
    _, *lines = head.split(b"\r\n")
    return b"\r\n".join(one for one in lines if not one.lower().startswith(b"content-length:"))


def request(headers: bytes, method: str, target: str, body: bytes | None, length: str | None) -> bytes | None:
    """Returns a request as it is sent; None for a target that must be encoded first.

    Args:
        headers: see :func:`same_headers`.
        length: what its Content-Length says; None without one.
    """
    if not _TARGET.fullmatch(target):
        return None
    last = b"\r\nContent-Length: %s" % length.encode() if length is not None else b""
    return b"%s %s HTTP/1.1\r\n%s%s\r\n\r\n%s" % (method.encode(), target.encode(), headers, last, body or b"")


@dataclass(frozen=True, slots=True)
class PlainHead:
    """The head of an answer whose body has a length and is not packed, after which the connection is kept.

    Attributes:
        date: its Date header, None without one.
    """

    status: int
    length: int
    date: str | None

    def body(self, stream: BinaryIO) -> bytes:
        """Reads the body.

        Raises:
            IncompleteRead: the connection ended before.
        """
        content = stream.read(self.length)
        if len(content) < self.length:
            raise IncompleteRead(content, self.length - len(content))
        return content


def read_head(stream: BinaryIO, most: int) -> PlainHead | bytes:
    """Reads the head of an answer; returns it as it came where it is not plain.

    Args:
        most: bytes of a body that is plain.
    """
    lines: list[bytes] = []
    while len(lines) <= MOST_LINES:
        lines.append(stream.readline(LONGEST_LINE))
        if lines[-1] in (b"\r\n", b"\n", b""):
            break
    return _plain(lines, most) or b"".join(lines)


def _plain(lines: list[bytes], most: int) -> PlainHead | None:
    status, told = _STATUS.match(lines[0]), dict[bytes, str]()
    if status is None or lines[-1] != b"\r\n":
        return None
    for line in lines[1:-1]:
        name, _, value = line.partition(b":")
        if (name := name.lower()) in _TELLING:
            if name in told:
                return None
            told[name] = value.decode("latin-1").strip()
        elif line[:1] in b" \t":  # it goes on from the one before
            return None
    length = told.pop(b"content-length", "")
    date = told.pop(b"date", None)
    kept = told.pop(b"connection", "keep-alive").lower() == "keep-alive"
    number = int(status[1])
    if told or not kept or not (length.isascii() and length.isdigit()) or number in _WITHOUT_BODY:
        return None
    return PlainHead(number, int(length), date) if int(length) <= most else None


def read_again(head: bytes, stream: BinaryIO, method: str) -> HTTPResponse:
    """Reads the head of an answer as ``http.client`` does.

    Args:
        head: what was read of it.
        stream: gives what follows.

    Raises:
        HTTPException: it is no HTTP.
        OSError: the connection broke.
    """
    answer = HTTPResponse(_Replayed(head, stream), method=method)  # type: ignore[arg-type]
    answer.begin()
    return answer


@dataclass(frozen=True, slots=True)
class _Replayed:
    """Takes the place of the socket whose answer was begun to be read."""

    head: bytes
    stream: BinaryIO

    def makefile(self, *args: Any) -> io.BufferedReader:
        return io.BufferedReader(_HeadFirst(self.head, self.stream))


class _HeadFirst(io.RawIOBase):
    def __init__(self, head: bytes, rest: Any) -> None:
        self._head, self._rest = head, rest

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer)
        part = self._head[: len(view)] or self._rest.read1(len(view))
        self._head = self._head[len(part) :]
        view[: len(part)] = part
        return len(part)
