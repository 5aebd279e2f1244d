"""A request as it is sent, in one piece, and the head of its answer, read line by line.

``http.client`` reads a head with the parser for e-mail, which takes longer than all the rest of a call. It only reads
answers that are not plain: in parts, packed, without a length, or the last of their connection.
"""

from __future__ import annotations

import io
import json
import re
from dataclasses import dataclass, field
from http.client import HTTPResponse, IncompleteRead
from typing import Any, BinaryIO
from urllib.parse import quote, urlencode

from worker.mailchimp.call import Call

MOST_LINES = 100
LONGEST_LINE = 65536
"""Of a head, as ``http.client`` allows."""
_STATUS = re.compile(rb"HTTP/1\.1 ([2-5][0-9][0-9])[ \r]")
_WITHOUT_BODY = (204, 304)
_NAMES = (b"content-length", b"transfer-encoding", b"content-encoding", b"connection", b"date")
"""Of the headers that are read."""
_TARGET = re.compile(r"[!-~]+")
_RESERVED = "!#$%&'()*+,/:;=?@[]~"


@dataclass(frozen=True, slots=True)
class RequestHead:
    """What all requests with one API key have in common.

    Attributes:
        target: of the request line, up to the path of a call.
        headers: lines without the last line's end.
    """

    target: str
    headers: bytes = field(repr=False)

    def request(self, call: Call) -> bytes:
        """Returns the request of a call as it is sent."""
        target = self.target + call.path
        if call.query:
            target += f"?{urlencode(call.query)}"
        if not _TARGET.fullmatch(target):
            target = quote(target, safe=_RESERVED)
        body = b"" if call.body is None else json.dumps(call.body).encode()
        length = b"" if call.body is None and call.reads_only else b"\r\nContent-Length: %d" % len(body)
        line = f"{call.method} {target} HTTP/1.1\r\n".encode()
        return b"".join((line, self.headers, length, b"\r\n\r\n", body))


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
    status, values = _STATUS.match(lines[0]), dict[bytes, str]()
    if status is None or lines[-1] != b"\r\n":
        return None
    for line in lines[1:-1]:
        name, _, value = line.partition(b":")
        if (name := name.lower()) in _NAMES:
            if name in values:
                return None
            values[name] = value.decode("latin-1").strip()
        elif line[:1] in b" \t":  # it goes on from the line before
            return None
    number = int(status[1])
    length = values.pop(b"content-length", "0" if number in _WITHOUT_BODY else "")
    date = values.pop(b"date", None)
    kept = values.pop(b"connection", "keep-alive").lower() == "keep-alive"
    if values or not kept or not (length.isascii() and length.isdigit()):
        return None
    most = 0 if number in _WITHOUT_BODY else most
    return PlainHead(number, int(length), date) if int(length) <= most else None


def read_again(head: bytes, stream: BinaryIO, method: str) -> HTTPResponse:
    """Reads the head of an answer as ``http.client`` does.

    Args:
        head: the part of it that was read.
        stream: gives the rest.

    Raises:
        HTTPException: it is no HTTP.
        OSError: the connection broke.
    """
    answer = HTTPResponse(_Replayed(head, stream), method=method)  # type: ignore[arg-type]
    answer.begin()
    return answer


@dataclass(frozen=True, slots=True)
class _Replayed:
    """Takes the place of the socket from which a part of the answer was read."""

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
