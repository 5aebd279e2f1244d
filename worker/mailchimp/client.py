"""Calls Mailchimp over HTTP."""

from __future__ import annotations

import base64
import json
import threading
import time
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cached_property, lru_cache
from typing import Any, Self

from worker.mailchimp.answers import Answer
from worker.mailchimp.api_key import ApiKey
from worker.mailchimp.calls import Call
from worker.mailchimp.connection import CertificateRefused, Connection
from worker.mailchimp.endpoint import Endpoint, endpoint_of
from worker.mailchimp.http_message import RequestHead
from worker.text.redaction import hide


class Client:
    """Sends calls with one API key. Thread-safe: each call has a connection to itself.

    It never retries and follows no redirects. Connections are reused. Proxies and certificates come from the
    environment, as operators expect of ``requests``.
    """

    def __init__(self, key: ApiKey, base_url: str, timeout: float) -> None:
        """Opens no connection yet.

        Args:
            key: its data centre replaces ``{dc}`` in the URL.
            base_url: Mailchimp's URL up to ``/3.0``, without a trailing slash.
            timeout: seconds until an answer must be complete, however slowly it arrives.
        """
        hide(key.reveal())
        self._key = key
        self._base_url = base_url.replace("{dc}", key.data_centre)
        self._timeout = timeout
        self._idle: list[Connection] = []
        self._lock = threading.Lock()

    @cached_property
    def _endpoint(self) -> Endpoint:
        return endpoint_of(self._base_url)

    @cached_property
    def _secrets(self) -> tuple[bytes, bytes]:
        """The key, and the header's form of it."""
        key = self._key.reveal()
        return key.encode(), base64.b64encode(f"mailchimp-worker:{key}".encode())

    @cached_property
    def _head(self) -> RequestHead:
        headers = self._endpoint.headers
        return RequestHead(self._endpoint.target, b"%s\r\nAuthorization: Basic %s" % (headers, self._secrets[1]))

    def send(self, call: Call) -> Answer:
        """Sends one call and waits for its answer. Never raises for a failure of Mailchimp or the network.

        Raises:
            ConfigError: the configured URL, proxy or certificates cannot be used.
        """
        started = time.monotonic()
        request = self._head.request(call)
        with self._lock:
            connection = self._idle.pop() if self._idle else None
        if connection is None:
            connection = Connection(self._endpoint, self._timeout)
        try:
            outcome = connection.exchange(request, call.method)
        finally:
            with self._lock:
                self._idle.append(connection)
        seconds = time.monotonic() - started
        if isinstance(outcome, str):
            return Answer(None, failure=outcome, seconds=seconds)
        if isinstance(outcome, CertificateRefused):
            return Answer(None, failure="certificate", seconds=seconds, reason=outcome.reason)
        status, content, date = outcome
        return Answer(status, _json_object(self._without_key(content)), seconds=seconds, date=_moment_of(date))

    def _without_key(self, content: bytes) -> bytes:
        # Mailchimp or a proxy may repeat it in an error, which receipts, pages and Kafka show.
        for secret in self._secrets:
            content = content.replace(secret, b"\\u2026" + secret[-4:])
        return content

    def close(self) -> None:
        """Closes the idle connections."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def __repr__(self) -> str:
        """Returns the base URL, without the key."""
        return f"Client({self._base_url})"


def _json_object(content: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


@lru_cache(maxsize=8)  # parallel calls often get the same second
def _moment_of(date: str | None) -> datetime | None:
    """Parses a Date header; None without one, or if it has no valid time."""
    try:
        moment = parsedate_to_datetime(date) if date else None
    except ValueError:
        return None
    return moment.replace(tzinfo=UTC) if moment is not None and moment.tzinfo is None else moment
