"""A connection to Mailchimp for one call at a time, with a time limit for the whole exchange.

A socket's timeout limits each read, not the whole answer: an answer that arrives byte by byte would never end. So
before each read, the socket gets the remaining time as its timeout.
"""

from __future__ import annotations

import select
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPException, IncompleteRead
from typing import Any

import urllib3

from worker.mailchimp import http_message
from worker.mailchimp.answers import Failure
from worker.mailchimp.endpoint import Endpoint

CONNECT_SECONDS = 10.0
"""The longest time to connect, even if the timeout is longer."""
LARGEST_ANSWER = 16 * 1024 * 1024
"""Bytes of a decompressed answer. The largest that is expected, to an add of 500 contacts, has less than a tenth."""
CHUNK = 64 * 1024
"""Bytes to read at a time of a large, compressed or chunked answer."""
FIRST = 4 * 1024
"""Bytes of the first read: an answer about one member has fewer."""
SENT_AT_ONCE = 16 * 1024
"""Bytes to send at a time, as many as fit in one TLS record: the timeout applies to each."""
SLACK = 0.01
"""By which part of the timeout a read may end late, because setting a socket's timeout takes as long as a read."""


@dataclass(frozen=True, slots=True)
class CertificateRefused:
    """A host's certificate is not accepted, so nothing was sent to it.

    Attributes:
        reason: whose certificate, and what OpenSSL says about it.
    """

    reason: str


Outcome = tuple[int, bytes, str | None] | Failure | CertificateRefused
"""Status, content and Date header of an answer, or why there is no answer."""
# Without EAI_AGAIN, which means that the lookup itself failed, not that the name is unknown.
_NO_SUCH_HOST = {socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)}


class Connection:
    """A connection. It opens with its first call, and again if the server has closed it since."""

    def __init__(self, endpoint: Endpoint, timeout: float) -> None:
        """Opens nothing yet.

        Args:
            timeout: seconds until an answer must be complete.
        """
        self._endpoint = endpoint
        self._timeout = timeout
        self._connection: Any = None
        self._unread = select.poll()
        self._due = 0.0
        self._sent = False

    def exchange(self, request: bytes, method: str) -> Outcome:
        """Sends a request; returns its answer, or why there is no answer."""
        self._due = time.monotonic() + self._timeout
        self._sent = False
        try:
            # Data before the request means that the server has closed the connection.
            if self._connection is None or self._connection.sock is None or self._unread.poll(0):
                self._open()
            with suppress(BrokenPipeError):  # an answer may have arrived already
                for start in range(0, len(request), SENT_AT_ONCE):
                    self._limit()
                    self._sent = True
                    self._connection.sock.sendall(request[start : start + SENT_AT_ONCE])
            outcome = self._answer(method)
        except (OSError, HTTPException, urllib3.exceptions.HTTPError) as error:
            outcome = self._failure(error)
        if not isinstance(outcome, tuple):
            self.close()  # the rest of an answer may still be unread
        return outcome

    def _open(self) -> None:
        self.close()
        self._connection = self._endpoint.connection(min(CONNECT_SECONDS, self._timeout))
        with self._aborted_late():
            self._connection.connect()
        self._unread = select.poll()
        self._unread.register(self._connection.sock, select.POLLIN)

    def close(self) -> None:
        """Closes the connection, if it is open."""
        if self._connection is not None:
            self._connection.close()

    def receive(self, size: int) -> bytes:
        """Reads at most `size` bytes; returns none at the end of the connection.

        Raises:
            TimeoutError: nothing arrived in time.
        """
        self._limit()
        return self._connection.sock.recv(size) or b""

    def _limit(self) -> None:
        left, opened = self._due - time.monotonic(), self._connection.sock
        if left <= 0:
            raise TimeoutError
        if not left <= (opened.gettimeout() or 0) <= left + SLACK * self._timeout:
            opened.settimeout(left + SLACK * self._timeout)

    @contextmanager
    def _aborted_late(self) -> Iterator[None]:
        # The library reads a proxy's answer to CONNECT without this connection's time limit.
        if not self._endpoint.proxied:
            yield
            return
        timer = threading.Timer(self._due - time.monotonic(), self._abort)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _abort(self) -> None:
        opened = self._connection.sock
        if opened is not None:
            with suppress(OSError):  # it has just ended by itself
                # Not through TLS: that would shut the session down while another thread reads from it.
                socket.socket.shutdown(getattr(opened, "socket", opened), socket.SHUT_RDWR)

    def _answer(self, method: str) -> Outcome:
        received = b""
        while (end := http_message.end_of_head(received)) == 0 and len(received) <= http_message.LONGEST_HEAD:
            if not (more := self.receive(FIRST)):
                break
            received += more
        if end and (head := http_message.plain_head(received[:end], LARGEST_ANSWER)) is not None:
            return self._plain(head, received[end:])
        return self._any(received, method)

    def _plain(self, head: http_message.PlainHead, content: bytes) -> Outcome:
        if len(content) < head.length:
            whole = bytearray(content)
            while len(whole) < head.length:
                if not (more := self.receive(min(CHUNK, head.length - len(whole)))):
                    raise IncompleteRead(bytes(whole), head.length - len(whole))
                whole += more
            content = bytes(whole)
        if len(content) > head.length:
            self.close()  # the surplus would count as the next answer
        return head.status, content[: head.length], head.date

    def _any(self, received: bytes, method: str) -> Outcome:
        answer = http_message.read_again(received, self.receive, method)
        headers = urllib3.HTTPHeaderDict(answer.getheaders())
        raw = urllib3.HTTPResponse(answer, headers, answer.status, preload_content=False, request_method=method)
        # In parts, because a compressed answer of a few kilobytes may have any size.
        content = bytearray()
        for part in raw.stream(CHUNK, decode_content=True):
            content += part
            if len(content) > LARGEST_ANSWER:
                return "too_large"
        if answer.will_close:
            self.close()
        return raw.status, bytes(content), headers.get("Date")

    def _failure(self, error: Exception) -> Failure | CertificateRefused:
        if self._sent:
            return "timeout" if time.monotonic() >= self._due else "connection"
        if isinstance(error, ssl.SSLCertVerificationError):
            host = self._endpoint.host_to_trust(self._connection)
            return CertificateRefused(f"the certificate of {host} is not accepted: {error.verify_message.rstrip('.')}")
        # With a proxy, the name that was looked up is the proxy's.
        return "unknown_host" if _is_unknown_host(error) and not self._endpoint.proxied else "unconnected"


def _is_unknown_host(error: Exception) -> bool:
    cause = error.__cause__ if isinstance(error, urllib3.exceptions.NameResolutionError) else None
    return isinstance(cause, socket.gaierror) and cause.errno in _NO_SUCH_HOST
