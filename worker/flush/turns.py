"""Which accounts are delivered in parallel, and in which order.

One per process. An account's turn lasts for a chunk of its customers, or for some pages of its lists' members; then
it queues again.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import count

from worker.clock import Clock, Stop
from worker.flush.task_pool import call_threads
from worker.model import AccountId

SUSPENDED = 4
"""How many times more accounts than are delivered at once may have started and wait for their next turn. Each keeps its
place, a thread and three connections to the database."""
LOOK_SECONDS = 0.5
"""How often a thread that waits for its account's turn checks whether it must end."""


def begins_after(account_id: AccountId, spread: float) -> timedelta:
    """Returns how long after the daily flush's time an account starts: always the same, less than `spread` seconds.

    So not all accounts of all workers call Mailchimp in the same second.
    """
    share = int.from_bytes(hashlib.sha256(account_id.encode()).digest()[:4]) / 2**32
    return timedelta(seconds=share * spread)


@dataclass(frozen=True, slots=True)
class Place:
    """An account's place in the queue, for one run.

    Attributes:
        asked: whether an operator requested this one account.
        number: a sequence number, which :meth:`Turns.put` gives.
        not_before: when it may start; None for at once.
        turns: how many it has had.
    """

    account_id: AccountId
    run: int
    asked: bool
    size: int
    number: int = 0
    data_centre: str = ""
    not_before: datetime | None = None
    turns: int = 0

    @property
    def order(self) -> tuple[bool, int, bool, int, int]:
        """The sort key: requests first, then fewer turns, then small accounts; unchanged accounts last."""
        return not self.asked, self.turns, not self.size, self.size, self.number

    def threads(self, connections: int) -> int:
        """Returns how many threads it needs: one that plans, and those that make calls."""
        return 1 + call_threads(self.size, connections)


@dataclass(frozen=True, slots=True)
class Room:
    """How much is delivered at the same time.

    An account with at least as many changes as connections needs a thread for each and one that plans, and has one
    chunk of 4,000 customers in memory, about 10 MB; eight of them, 80 MB. Smaller ones need less, so more of them run
    at once. More threads do not make more calls a second: one interpreter makes a few hundred.

    Attributes:
        accounts: how many large accounts at once.
        connections: parallel calls of one account.
    """

    accounts: int
    connections: int

    @property
    def threads(self) -> int:
        """The limit of threads."""
        return self.accounts * (1 + self.connections)

    def is_full(self, waiting: Iterable[Place]) -> bool:
        """Returns whether as many accounts wait for their next turn as may."""
        return sum(bool(place.turns) for place in waiting) >= SUSPENDED * self.accounts


def next_place(waiting: Iterable[Place], active: Collection[Place], room: Room, now: datetime) -> Place | None:
    """Returns the place whose turn is next; None if none may start or continue now.

    Requests for one account have the same amount of room of their own: they wait only for another flush of the same
    account.
    """
    waiting = list(waiting)
    suspended = [place for place in waiting if place.turns]
    # An account finishes one run before it starts another.
    begun = {place.account_id: place.number for place in (*active, *suspended)}
    left = {
        asked: room.threads - sum(place.threads(room.connections) for place in active if place.asked is asked)
        for asked in (False, True)
    }
    full = room.is_full(waiting)
    return min(
        (
            place
            for place in waiting
            if begun.get(place.account_id, place.number) == place.number
            and (place.not_before is None or place.not_before <= now)
            and place.threads(room.connections) <= left[place.asked]
            and (place.asked or place.turns or not full or place.size <= room.connections)
        ),
        key=lambda place: place.order,
        default=None,
    )


class Turns:
    """Schedules the turns of accounts. Thread-safe."""

    def __init__(self, room: Room, clock: Clock, stop: Stop, silent: Callable[[], Collection[str]] = tuple) -> None:
        """Starts with an empty queue.

        Args:
            room: how much is delivered at the same time.
            silent: returns the silent data centres, whose accounts start one after the other.
        """
        self._silent = silent
        self._room = room
        self._clock = clock
        self._stop = stop
        self._lock = threading.Lock()
        self._waiting: dict[Place, Callable[[Place], object]] = {}
        self._active: set[Place] = set()
        self._numbers = count()

    def put(self, place: Place, begin: Callable[[Place], object]) -> None:
        """Queues an account for its first turn, behind those that were queued before: see :meth:`fill`.

        Args:
            begin: starts its turn in another thread, which calls :meth:`leave` at its end.
        """
        with self._lock:
            self._waiting[replace(place, number=next(self._numbers))] = begin

    def fill(self) -> None:
        """Starts the turns that there is room for now."""
        while not self._stop.is_set():
            with self._lock:
                place = next_place(self._may_begin(), self._active, self._room, self._clock())
                if place is None:
                    return
                begin = self._waiting.pop(place)
                self._active.add(place)
            begin(place)

    def again(self, place: Place) -> Place:
        """Ends a turn and waits for the account's next one; continues at once if no other account waits.

        Returns:
            Its place from now on, without a turn if it is time to stop.
        """
        later, ready = replace(place, turns=place.turns + 1), threading.Event()
        with self._lock:
            self._active.remove(place)
            upcoming = next_place([*self._may_begin(), later], self._active, self._room, self._clock())
            # A small one may have begun beyond those who may wait: it goes on, so that no more wait than may.
            beyond = later.size <= self._room.connections and self._room.is_full(self._waiting)
            if upcoming is None or upcoming == later or beyond:
                self._active.add(later)
                return later
            self._waiting[later] = lambda _: ready.set()
        self.fill()
        while not ready.wait(LOOK_SECONDS) and not self._stop.is_set():
            self.fill()
        return later

    def _may_begin(self) -> list[Place]:
        if not self._waiting:
            return []
        # The first one probes a silent data centre on behalf of those after it.
        tried = {place.data_centre for place in self._active}.intersection(self._silent())
        return [place for place in self._waiting if place.asked or place.turns or place.data_centre not in tried]

    def leave(self, place: Place) -> None:
        """Ends an account's last turn."""
        with self._lock:
            self._active.discard(place)
            self._waiting.pop(place, None)
        self.fill()

    def withdraw(self, run: int) -> int:
        """Gives up the places of a run that had no turn yet; returns how many."""
        with self._lock:
            withdrawn = [place for place in self._waiting if place.run == run and not place.turns]
            for place in withdrawn:
                del self._waiting[place]
            return len(withdrawn)

    def accounts(self) -> frozenset[AccountId]:
        """Returns the accounts that have a turn or wait for one."""
        with self._lock:
            return frozenset(place.account_id for place in (*self._waiting, *self._active))
