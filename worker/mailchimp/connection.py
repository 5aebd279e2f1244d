"""One connection to Mailchimp, used by one call at a time, with a limit for the whole exchange.

A socket limits each read, not the whole answer: one that arrives byte by byte would hold its connection forever.
"""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from functools import partial
from http.client import HTTPException
from typing import Any

import urllib3

from worker.mailchimp import http_message
from worker.mailchimp.call import Failure
from worker.mailchimp.endpoint import Endpoint
from worker.mailchimp.timers import Timers

CONNECT_SECONDS = 10.0
"""How long connecting may take, where the timeout allows more."""
LARGEST_ANSWER = 16 * 1024 * 1024
"""Bytes of an unpacked answer. The largest expected, to an add of 500 contacts, has less than a tenth of this."""
CHUNK = 64 * 1024
"""Bytes of a packed or chunked answer read at a time."""

Outcome = tuple[int, bytes, str | None] | Failure
"""Status, content and Date header of an answer, or why there is none."""
# Without EAI_AGAIN, which means that the lookup itself failed, not that the name is unknown.
_NO_SUCH_HOST = {socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)}


class Connection:
    """A connection that is opened for its first call, and again for one that finds it ended."""

    def __init__(self, endpoint: Endpoint, timers: Timers, timeout: float) -> None:
        """Opens nothing yet.

        Args:
            timers: expire after the timeout.
            timeout: seconds until an answer must be complete.
        """
        self._endpoint = endpoint
        self._timers = timers
        self._timeout = timeout
        self._lock = threading.Lock()
        self._connection: Any = None
        self._number = 0  # of the exchange: a timer that expires late must not abort the next one
        self._late = False
        self._sent = False

    def exchange(self, request: bytes, method: str) -> Outcome:
        """Sends a request; returns its answer, or why there is none."""
        with self._lock:
            self._number += 1
            self._late = self._sent = False
        timer = self._timers.start(partial(self._abort, self._number))
        try:
            outcome = self._exchange(request, method)
        finally:
            timer.cancel()
            with self._lock:
                self._number += 1
        # Checked even after a full read: without a Content-Length, an aborted answer looks complete.
        return "timeout" if self._late and self._sent else outcome

    def _exchange(self, request: bytes, method: str) -> Outcome:
        try:
            if self._connection is None or not self._connection.is_connected:
                self._open()
            with self._lock:
                if self._late:
                    raise TimeoutError
                self._sent = True
            with suppress(BrokenPipeError):  # an answer may have come before
                self._connection.sock.sendall(request)
            outcome = _answer(self._connection, method)
        except (OSError, HTTPException, urllib3.exceptions.HTTPError) as error:
            outcome = self._failure(error)
        if isinstance(outcome, str):
            self.close()  # the rest of an answer may still be unread
        return outcome

    def _open(self) -> None:
        self.close()
        self._connection = self._endpoint.connection(min(CONNECT_SECONDS, self._timeout))
        self._connection.connect()
        # The timer decides what is late; this is only a backstop.
        self._connection.sock.settimeout(self._timeout + 1)

    def close(self) -> None:
        """Closes the connection, if it is open."""
        if self._connection is not None:
            self._connection.close()

    def _abort(self, number: int) -> None:
        with self._lock:
            if number != self._number:
                return
            self._late = True
            opened = self._connection.sock if self._connection is not None else None
            if opened is None:
                return
            beneath = getattr(opened, "socket", opened)  # of TLS within a proxy's TLS
            try:
                # Not through TLS, whose shutdown would end the session while another thread reads from it.
                socket.socket.shutdown(beneath, socket.SHUT_RDWR)
            except OSError:
                return  # it has just ended by itself

    def _failure(self, error: Exception) -> Failure:
        if self._sent:
            return "connection"
        # The name that is looked up is the proxy's where there is one.
        return "unknown_host" if _is_unknown_host(error) and not self._endpoint.proxied else "unconnected"


def _is_unknown_host(error: Exception) -> bool:
    cause = error.__cause__ if isinstance(error, urllib3.exceptions.NameResolutionError) else None
    return isinstance(cause, socket.gaierror) and cause.errno in _NO_SUCH_HOST


def _answer(connection: Any, method: str) -> Outcome:
    with connection.sock.makefile("rb") as stream:
        head = http_message.read_head(stream, LARGEST_ANSWER)
        if isinstance(head, http_message.PlainHead):
            return head.status, head.body(stream), head.date
        answer = http_message.read_again(head, stream, method)
        headers = urllib3.HTTPHeaderDict(answer.getheaders())
        raw = urllib3.HTTPResponse(answer, headers, answer.status, preload_content=False, request_method=method)
        # In parts: a compressed answer of a few kilobytes may unpack to any size.
        content = bytearray()
        for part in raw.stream(CHUNK, decode_content=True):
            content += part
            if len(content) > LARGEST_ANSWER:
                return "too_large"
    if answer.will_close:
        connection.close()
    return raw.status, bytes(content), headers.get("Date")
