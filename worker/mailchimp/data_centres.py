"""Tracks which of Mailchimp's data centres answer, so that accounts of a silent one do not hold up the others.

An account whose data centre is silent costs two timeouts; a thousand of them, eight at a time, would cost hours. So
once a data centre is silent, its accounts fail at once, and from time to time one of them probes whether it answers
again.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from worker.mailchimp.answers import Answer
from worker.mailchimp.calls import Call, Sender

SILENT_CALLS = 2
"""Consecutive unanswered calls, over all accounts of a data centre, before it counts as silent."""
SILENT_SECONDS = 60.0
"""How long they must span. Retries cover shorter network failures."""
PROBE_SECONDS = 60.0
"""How long after the last unanswered call one account probes again."""


@dataclass(slots=True)
class _DataCentre:
    unanswered: int = 0
    since: float = 0.0  # when the first of them began
    last: float = 0.0  # when the last of them ended

    def silent(self) -> bool:
        return self.unanswered >= SILENT_CALLS and self.last - self.since >= SILENT_SECONDS


class DataCentres:
    """The state of each data centre, from the calls of all accounts. One per process; thread-safe."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Assumes that all data centres answer.

        Args:
            clock: monotonic, in seconds.
        """
        self._clock = clock
        self._lock = threading.Lock()
        self._all: dict[str, _DataCentre] = {}

    def note(self, data_centre: str, answer: Answer) -> None:
        """Records the answer to a call to a data centre."""
        if answer.failure in ("stopped", "stale", "certificate"):
            return  # it was not sent; a certificate is refused at once, and each account then says why
        with self._lock:
            state = self._all.setdefault(data_centre, _DataCentre())
            if answer.failure not in ("timeout", "connection", "unconnected", "unknown_host"):
                state.unanswered = 0
                return
            now = self._clock()
            began = now - answer.seconds
            if not state.silent() and began - state.last > SILENT_SECONDS:
                state.unanswered = 0  # earlier failures belong to another outage
            state.since = state.since if state.unanswered else began
            state.unanswered += 1
            state.last = now

    def silent(self) -> frozenset[str]:
        """Returns the data centres that are silent."""
        with self._lock:
            return frozenset(name for name, state in self._all.items() if state.silent())

    def may_call(self, data_centre: str) -> bool:
        """Returns whether an account may call its data centre now: it answers, or a probe is due."""
        with self._lock:
            state = self._all.get(data_centre)
            return state is None or not state.silent() or self._clock() - state.last >= PROBE_SECONDS


@dataclass(frozen=True, slots=True)
class DataCentreSender:
    """Sends one account's calls and records whether its data centre answers."""

    sender: Sender
    data_centres: DataCentres
    data_centre: str

    def send(self, call: Call) -> Answer:
        """Sends one call and waits for its answer."""
        answer = self.sender.send(call)
        self.data_centres.note(self.data_centre, answer)
        return answer
