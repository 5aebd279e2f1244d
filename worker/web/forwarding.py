"""Forwards requests to the worker that has an account: only that one has its customers, runs and receipts.

Kafka Streams does the same with ``application.server``. A request is forwarded at most once, together with its visitor,
signed with a key derived from the secret key. Cookies and tokens are not forwarded.
"""

from __future__ import annotations

import hashlib
import http.client
import secrets
import socket
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from http import HTTPStatus
from urllib.parse import urlsplit

from starlette.responses import Response

from worker.kafka.partitioner import partition_of
from worker.model import AccountId
from worker.sqlite.database import Database
from worker.store import offsets, worker_urls
from worker.web.access.signing import Signer
from worker.web.access.visitor import Visitor
from worker.web.errors import WorkerAway

HEADER = "x-worker-visitor"
"""The header that names the visitor of a forwarded request."""
GOOD_FOR = timedelta(seconds=30)
ANSWER_SECONDS = 60.0
"""For the whole answer: the other worker may ask Mailchimp for it."""
MOST_AT_ONCE = 4
"""Requests forwarded at the same time: half of those in progress, so that a worker that hangs does not block the pages
of this worker's own accounts."""
WAIT_SECONDS = 1.0
"""How long a request waits to be forwarded."""
LARGEST_ANSWER = 64 * 1024 * 1024
"""Bytes. Larger answers are refused: a truncated list of people would look complete."""
FORWARDED_HEADERS = ("accept", "content-type", "sec-fetch-site", "x-csrf-token")
RETURNED_HEADERS = ("content-type", "location", "retry-after", "content-disposition")


@dataclass(frozen=True, slots=True)
class ForwardedRequest:
    """A request, as one worker forwards it to another.

    Attributes:
        target: the path with its query.
    """

    method: str
    target: str
    body: bytes = b""

    @property
    def digest(self) -> str:
        """A hash of all of it."""
        return hashlib.sha256(f"{self.method} {self.target}\n".encode() + self.body).hexdigest()


def other_worker(topic: str, owned: Callable[[], Collection[int]], db: Database, account_id: AccountId) -> str | None:
    """Returns the URL of the worker that has an account; None if this one has it.

    Raises:
        WorkerAway: another worker has it, and none has announced its URL.
    """
    size = offsets.size_of(db, topic)
    if size is None:
        return None
    partition = partition_of(account_id, size.partitions)
    if partition in owned():
        return None
    url = worker_urls.with_partition(db, partition)
    if url is None:
        raise away("no worker has said where it can be reached (web.worker_url)")
    return url


def away(why: str) -> WorkerAway:
    """Returns the error for a worker that cannot be reached."""
    return WorkerAway(
        f"What happened in this account is known to another worker, which cannot be reached now: {why}.",
        "Nothing is lost. Try again in a minute.",
    )


def signed(signer: Signer, visitor: Visitor, request: ForwardedRequest, now: datetime) -> str:
    """Returns the header of a forwarded request."""
    payload = {
        "account_id": visitor.account_id,
        "session": visitor.session,
        "name": visitor.name,
        "request": request.digest,
        "once": secrets.token_urlsafe(12),
    }
    return signer.signed(payload, now + GOOD_FOR)


class SeenRequests:
    """Remembers forwarded requests, so that none can be replayed. Thread-safe."""

    def __init__(self, since: datetime | None = None) -> None:
        """Starts empty.

        Args:
            since: the start of this worker. Requests signed before may have been seen before a restart.
        """
        self._lock = threading.Lock()
        self._until: dict[str, datetime] = {}
        self._since = int(since.timestamp()) if since is not None else 0

    def covers(self, expires: int) -> bool:
        """Returns whether a request was signed after the start of this worker.

        Args:
            expires: when its signature expires, in seconds since 1970.
        """
        return expires - GOOD_FOR.total_seconds() >= self._since

    def is_new(self, name: str, now: datetime) -> bool:
        """Records a request; returns whether it is new."""
        with self._lock:
            # In order of arrival, so that the oldest are first.
            while self._until and next(iter(self._until.values())) < now:
                del self._until[next(iter(self._until))]
            if name in self._until:
                return False
            # Twice the validity: clocks of two machines are never quite the same.
            self._until[name] = now + 2 * GOOD_FOR
            return True


def visitor_of(
    signer: Signer, seen: SeenRequests, signature: str, request: ForwardedRequest, now: datetime
) -> Visitor | None:
    """Returns the visitor of a forwarded request.

    None if it is not signed by one of our workers, or was seen before: an eavesdropper cannot replay it.
    """
    payload = signer.opened(signature, now)
    if payload is None or payload.get("request") != request.digest:
        return None
    if not seen.covers(payload["expires"]) or not seen.is_new(str(payload.get("once")), now):
        return None
    return Visitor(payload["account_id"], payload["session"], payload["name"])


def forward(url: str, request: ForwardedRequest, headers: dict[str, str], seconds: float = ANSWER_SECONDS) -> Response:
    """Forwards a request to another worker and returns its answer.

    Args:
        seconds: timeout for connecting, and for the whole answer.

    Raises:
        WorkerAway: it cannot be reached, does not answer, refuses the signature, or its answer is incomplete or too
            large.
    """
    parts = urlsplit(url)
    connect = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = connect(parts.netloc, timeout=seconds)
    try:
        connection.connect()
        with _deadline(connection.sock, seconds) as deadline_passed:
            connection.request(request.method, request.target, request.body or None, headers)
            answer = connection.getresponse()
            content = answer.read(LARGEST_ANSWER + 1)
        if deadline_passed.is_set():
            raise away("it did not answer in time")
        if len(content) > LARGEST_ANSWER:
            raise away(f"its answer is larger than {LARGEST_ANSWER // 1024**2} MiB")
        if answer.length:
            raise away("its answer is incomplete")
        if answer.status == HTTPStatus.UNAUTHORIZED:
            # The visitor is signed in here.
            raise away("it refuses this worker's signature. Compare their clocks and secret keys")
        returned = {name: value for name in RETURNED_HEADERS if (value := answer.getheader(name)) is not None}
        return Response(content, answer.status, returned)
    except (OSError, http.client.HTTPException) as error:
        raise away(type(error).__name__) from error
    finally:
        connection.close()


@contextmanager
def _deadline(connected: socket.socket, seconds: float) -> Iterator[threading.Event]:
    """Closes a connection after some seconds. A socket's own timeout starts again with each byte received."""
    passed = threading.Event()

    def close() -> None:
        passed.set()
        with suppress(OSError):
            # Not through TLS, whose shutdown would end the session while another thread reads from it.
            socket.socket.shutdown(connected, socket.SHUT_RDWR)

    timer = threading.Timer(seconds, close)
    timer.daemon = True
    timer.start()
    try:
        yield passed
    finally:
        timer.cancel()
