"""Which of Mailchimp's data centres answer, so that accounts of a silent one do not hold up the others.

An account whose data centre is silent costs two time-outs. A thousand of them, eight at once, would cost hours. So once
a data centre is silent its accounts end at once, and from time to time one of them tries whether it answers again.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from worker.mailchimp.call import Answer, Call, Sender

SILENT_CALLS = 2
"""Calls in a row, of all accounts of a data centre, without any answer."""
SILENT_SECONDS = 60.0
"""How long none of its calls was answered. A short break of the network is dealt with by trying a call again."""
PROBE_SECONDS = 60.0
"""How long after the last call without an answer one account tries again."""


@dataclass(slots=True)
class _DataCentre:
    unanswered: int = 0
    since: float = 0.0  # when the first of them began
    last: float = 0.0  # when the last of them ended

    def silent(self) -> bool:
        return self.unanswered >= SILENT_CALLS and self.last - self.since >= SILENT_SECONDS


class DataCentres:
    """What the calls of all accounts tell of each data centre. One for a process; threads share it."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Takes it that all answer.

        Args:
            clock: seconds that only go forward.
        """
        self._clock = clock
        self._lock = threading.Lock()
        self._all: dict[str, _DataCentre] = {}

    def note(self, data_centre: str, answer: Answer) -> None:
        """Takes what came back from a call to a data centre."""
        if answer.failure in ("stopped", "stale"):
            return  # it was not sent
        with self._lock:
            one = self._all.setdefault(data_centre, _DataCentre())
            if answer.failure not in ("timeout", "connection", "unconnected", "unknown_host"):
                one.unanswered = 0
                return
            now = self._clock()
            began = now - answer.seconds
            if not one.silent() and began - one.last > SILENT_SECONDS:
                one.unanswered = 0  # what was not answered before was another matter
            one.since = one.since if one.unanswered else began
            one.unanswered += 1
            one.last = now

    def silent(self) -> frozenset[str]:
        """Returns the data centres that answer nothing."""
        with self._lock:
            return frozenset(name for name, one in self._all.items() if one.silent())

    def may_call(self, data_centre: str) -> bool:
        """Tells whether an account that begins now may call its data centre: it answers, or it is time to try."""
        with self._lock:
            one = self._all.get(data_centre)
            return one is None or not one.silent() or self._clock() - one.last >= PROBE_SECONDS


@dataclass(frozen=True, slots=True)
class NotedSender:
    """Sends one account's calls and notes whether its data centre answers."""

    sender: Sender
    data_centres: DataCentres
    data_centre: str

    def send(self, call: Call) -> Answer:
        """Sends one call and waits for its answer."""
        answer = self.sender.send(call)
        self.data_centres.note(self.data_centre, answer)
        return answer
