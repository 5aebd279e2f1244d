"""Which topic this is: Kafka's id of it, which another topic of the same name does not have."""

from __future__ import annotations

import time
from concurrent.futures import Future
from typing import Any

from confluent_kafka import KafkaError as LibraryError
from confluent_kafka import KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient

from worker.config import Kafka
from worker.errors import KafkaError
from worker.kafka.client import ANSWER_SECONDS, MOCK, Problems, client

WATCH_SECONDS = 10.0
"""How often to look whether the topic was made anew: a consumer reads on in the new one as if nothing had happened."""
_UNKNOWN = (LibraryError._UNSUPPORTED_FEATURE, LibraryError.UNSUPPORTED_VERSION)


class TopicIdentity:
    """Asks for the topic's id. Belongs to one thread."""

    def __init__(self, settings: Kafka, cluster_id: str) -> None:
        """Asks nothing yet.

        Args:
            settings: name the topic.
            cluster_id: tells librdkafka's mock, which does not answer.
        """
        self._topic = settings.topic
        self._admin = None if cluster_id.startswith(MOCK) else client(AdminClient, settings, {"error_cb": Problems()})
        self._asked_at = time.monotonic()
        self._asked: Future[Any] | None = None

    def now(self) -> str:
        """Returns the id, "" where the broker does not tell.

        Raises:
            KafkaError: no broker answers, or there is no such topic now.
        """
        try:
            return "" if self._admin is None else str(self._ask(self._admin).result(ANSWER_SECONDS + 1).topic_id)
        except KafkaException as error:
            cause = error.args[0]
            if cause.code() in _UNKNOWN:
                return ""
            raise KafkaError(
                f"Kafka does not describe the topic {self._topic}: {cause.str()}",
                "It must be there, and the user needs the right to describe it.",
            ) from error

    def watch(self) -> str | None:
        """Returns the id when a new answer came, else None. Waits for nothing."""
        if self._admin is None:
            return None
        if self._asked is None:
            if time.monotonic() - self._asked_at >= WATCH_SECONDS:
                self._asked = self._ask(self._admin)
            return None
        if not self._asked.done():
            return None
        asked, self._asked = self._asked, None
        return None if asked.exception() is not None else str(asked.result().topic_id)

    def _ask(self, admin: AdminClient) -> Future[Any]:
        self._asked_at = time.monotonic()
        return admin.describe_topics(TopicCollection([self._topic]), request_timeout=ANSWER_SECONDS)[self._topic]
