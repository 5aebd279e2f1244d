"""Writes to Kafka what a transaction changed of the ledger and the settings, before that transaction is committed."""

from __future__ import annotations

import atexit
import threading
from collections import defaultdict
from collections.abc import Sequence
from functools import cached_property
from typing import Any

from confluent_kafka import KafkaError as LibraryError
from confluent_kafka import KafkaException, Message, Producer

from worker.clock import Clock, as_text
from worker.config import Kafka
from worker.consuming.kafka import Problems, client
from worker.errors import KafkaError
from worker.keeping.records import key_of, value_of
from worker.keeping.topics import KeptTopic, KeptTopics, topics
from worker.model import AccountId
from worker.staging import kept, offsets
from worker.staging.database import Database
from worker.staging.kept import Kept

TAKEN_SECONDS = 20.0
"""How long Kafka may take, a restart of a broker included. Other connections wait longer for the database, which is
locked meanwhile."""
POLL_SECONDS = 0.2


class Keeper:
    """Makes connections write what they change to Kafka first. Threads share it; it connects when it is first needed.

    So Kafka is never behind the database: what a crash leaves there alone is read from there at the next start.
    """

    def __init__(self, settings: Kafka, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._lock = threading.Lock()
        self._producer: Producer | None = None
        self._problems = Problems()
        self._closed = threading.Event()

    @cached_property
    def topics(self) -> KeptTopics:
        """The topics, made if need be.

        Raises:
            KafkaError: no broker answers, or a topic is not there, cannot be made, or cannot keep what it must.
        """
        return topics(self._settings)

    def attach(self, db: Database) -> None:
        """Has a connection write what it changes to Kafka, from now on."""
        kept.watch(db)
        db.before_commit = self._keep

    def ledger_partition(self, account_id: AccountId) -> int:
        """Returns the ledger's partition of an account."""
        return self.topics.ledger.partition_of(account_id)

    def _keep(self, db: Database, erase: bool) -> None:
        changed = kept.touched(db)
        if changed:
            self.write(db, changed, erase=erase)

    def write(self, db: Database, rows: Sequence[Kept], *, erase: bool = False) -> None:
        """Writes rows and waits until every replica that must have them has them. Belongs in a transaction.

        Args:
            db: takes how far its own topics are known, where nobody else wrote meanwhile.
            rows: as they are now.
            erase: whether rows that are gone must be forgotten.

        Raises:
            KafkaError: they may not have been taken, so nothing may be committed that rests on them.
        """
        answers = _Answers(len(rows))
        for one in rows:
            topic = self.topics.settings if one.kind == "account" else self.topics.ledger
            self._produce(topic, topic.partition_of(one.key[0]), one, answers, erase=erase)
        answers.wait(self._problems)
        at = as_text(self._clock())
        for (name, partition), taken in answers.offsets.items():
            topic = self.topics.settings if name == self.topics.settings.name else self.topics.ledger
            if offsets.next_of(db, name, topic.topic_id, partition) == min(taken) == max(taken) - len(taken) + 1:
                offsets.move_on(db, name, topic.topic_id, partition, max(taken) + 1, at)

    def _produce(self, topic: KeptTopic, partition: int, one: Kept, answers: _Answers, *, erase: bool) -> None:
        producer = self._open()
        value = value_of(one, erase=erase)
        while True:
            try:
                producer.produce(topic.name, value, key_of(one), partition, on_delivery=answers)
            except BufferError:
                producer.poll(POLL_SECONDS)
            except KafkaException as error:
                raise _not_taken(error.args[0].str()) from error
            else:
                return

    def _open(self) -> Producer:
        with self._lock:
            if self._producer is None or self._problems.fatal is not None:
                self._problems = Problems()
                own = {
                    "acks": "all",
                    # One request at a time keeps the order, and a record that comes twice says the same twice. An
                    # idempotent producer would take half a second to begin.
                    "max.in.flight.requests.per.connection": 1,
                    "linger.ms": 0,
                    "message.timeout.ms": int(TAKEN_SECONDS * 1000),
                    "error_cb": self._problems,
                }
                self._producer = client(Producer, self._settings, own)
                served = self._producer, self._problems, self._closed
                thread = threading.Thread(target=_serve, args=served, name="keeper", daemon=True)
                thread.start()
                atexit.register(_end, thread, self._closed)
            return self._producer


def _serve(producer: Producer, problems: Problems, closed: threading.Event) -> None:
    # Hands answers over as they come; who waits for them does not poll.
    while problems.fatal is None and not closed.is_set():
        producer.poll(POLL_SECONDS)


def _end(thread: threading.Thread, closed: threading.Event) -> None:
    # A thread inside the library while the interpreter goes away could crash it.
    closed.set()
    thread.join(POLL_SECONDS * 2)


class _Answers:
    """What Kafka says of the records of one transaction."""

    def __init__(self, expected: int) -> None:
        self._left = expected
        self._refused: LibraryError | None = None
        self._lock = threading.Condition()
        self.offsets: defaultdict[tuple[str, int], list[int]] = defaultdict(list)

    def __call__(self, error: LibraryError | None, message: Message) -> None:
        with self._lock:
            self._left -= 1
            if error is not None:
                self._refused = error
            else:
                place: Any = message.topic(), message.partition()
                self.offsets[place].append(message.offset() or 0)
            self._lock.notify_all()

    def wait(self, problems: Problems) -> None:
        with self._lock:
            in_time = self._lock.wait_for(lambda: self._left == 0, TAKEN_SECONDS + 1)
        if self._refused is not None or not in_time:
            last = self._refused or problems.last
            raise _not_taken(last.str() if last is not None else "no answer")


def _not_taken(reason: str) -> KafkaError:
    return KafkaError(
        f"Kafka did not take what must be kept there: {reason}.",
        "Nothing was confirmed. See that its brokers answer, and try again.",
    )
