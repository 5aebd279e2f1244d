"""Sends requests on to the worker that has an account: its customers, runs and receipts are known there alone.

As Kafka Streams does with ``application.server``. A request is sent on once, with who asks, signed with a key that is
derived from the secret key; cookies and tokens are left out, so that none travels between workers.
"""

from __future__ import annotations

import hashlib
import http.client
import secrets
import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from worker.kafka.partitioner import partition_of
from worker.model import AccountId
from worker.store import offsets, worker_urls
from worker.store.database import Database
from worker.web.problems import WorkerAway
from worker.web.signing import Signer
from worker.web.visitor import Visitor

HEADER = "x-worker-visitor"
"""Says who asks, in a request that was sent on."""
GOOD_FOR = timedelta(seconds=30)
ANSWER_SECONDS = 60.0
LARGEST_ANSWER = 64 * 1024 * 1024
"""Bytes. A larger answer is refused: half a list of people would look like a whole one."""
SENT_ON = ("accept", "content-type", "sec-fetch-site", "x-csrf-token")
SENT_BACK = ("content-type", "location", "retry-after", "content-disposition")


@dataclass(frozen=True, slots=True)
class Answer:
    """What the other worker answered."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """Which worker has an account, as far as this one knows.

    Attributes:
        topic: of the events.
        owned: returns the partitions that this worker has now.
    """

    topic: str
    owned: Callable[[], Collection[int]]

    def url_of(self, db: Database, account_id: AccountId) -> str | None:
        """Returns where the worker can be reached that has an account; None where this one has it.

        Raises:
            WorkerAway: this one has it not, and no other one has said where it can be reached.
        """
        size = offsets.size_of(db, self.topic)
        if size is None:
            return None
        partition = partition_of(account_id, size.partitions)
        if partition in self.owned():
            return None
        url = worker_urls.with_partition(db, partition)
        if url is None:
            raise away("no worker has said where it can be reached (web.worker_url)")
        return url


def away(why: str) -> WorkerAway:
    """Returns that the account's worker cannot be reached."""
    return WorkerAway(
        f"What happened in this account is known to another worker, which cannot be reached now: {why}.",
        "Nothing is lost. Try again in a minute.",
    )


def signed(signer: Signer, visitor: Visitor, method: str, target: str, body: bytes, now: datetime) -> str:
    """Returns the header of a request that is sent on."""
    told = {
        "account_id": visitor.account_id,
        "session": visitor.session,
        "name": visitor.name,
        "request": _digest(method, target, body),
        "once": secrets.token_urlsafe(12),
    }
    return signer.signed(told, now + GOOD_FOR)


class SeenOnce:
    """Remembers which requests came that were sent on, so that none is good a second time. Threads share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._until: dict[str, datetime] = {}

    def first(self, name: str, now: datetime) -> bool:
        """Notes a request, and tells whether it came for the first time."""
        with self._lock:
            # In the order in which they came, so that the oldest are first.
            while self._until and next(iter(self._until.values())) < now:
                del self._until[next(iter(self._until))]
            if name in self._until:
                return False
            # Twice as long as one is good: clocks of two machines are never quite the same.
            self._until[name] = now + 2 * GOOD_FOR
            return True


def visitor_of(
    signer: Signer, seen: SeenOnce, header: str, method: str, target: str, body: bytes, now: datetime
) -> Visitor | None:
    """Returns who asks in a request that another worker sent on.

    None where no worker of ours did, or where the same came before: who listens cannot send it again.
    """
    told = signer.opened(header, now)
    if told is None or told.get("request") != _digest(method, target, body):
        return None
    if not seen.first(str(told.get("once")), now):
        return None
    return Visitor(told["account_id"], told["session"], told["name"])


def send_on(
    url: str, method: str, target: str, headers: dict[str, str], body: bytes, seconds: float = ANSWER_SECONDS
) -> Answer:
    """Sends a request to another worker and returns its answer.

    Args:
        seconds: how long to wait for it to connect, and for each part of its answer.

    Raises:
        WorkerAway: it cannot be reached, does not answer, or answers with more than can be passed on.
    """
    to = urlsplit(url)
    made = http.client.HTTPSConnection if to.scheme == "https" else http.client.HTTPConnection
    connection = made(to.netloc, timeout=seconds)
    try:
        connection.request(method, target, body or None, headers)
        answer = connection.getresponse()
        content = answer.read(LARGEST_ANSWER + 1)
        if len(content) > LARGEST_ANSWER:
            raise away(f"its answer is larger than {LARGEST_ANSWER // 1024**2} MiB")
        back = {name: value for name in SENT_BACK if (value := answer.getheader(name)) is not None}
        return Answer(answer.status, back, content)
    except (OSError, http.client.HTTPException) as error:
        raise away(type(error).__name__) from error
    finally:
        connection.close()


def _digest(method: str, target: str, body: bytes) -> str:
    return hashlib.sha256(f"{method} {target}\n".encode() + body).hexdigest()
