"""Which accounts are delivered in parallel, and in which order.

One per process. An account's turn lasts for a chunk of its customers, or for some pages of its lists' members; then
it queues again.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from itertools import count

from worker.clock import Stop
from worker.mailchimp.sender import call_threads
from worker.model import AccountId

SUSPENDED = 4
"""How many times more accounts than are delivered at once may have started and wait for their next turn. Each keeps its
place, a thread and three connections to the database."""
CHECK_SECONDS = 0.5
"""How often a thread that waits for its account's turn checks whether it must end."""


def start_delay(account_id: AccountId, spread: float) -> float:
    """Returns how many seconds after the daily flush's time an account starts: always the same, less than `spread`.

    So not all accounts of all workers call Mailchimp in the same second.
    """
    share = int.from_bytes(hashlib.sha256(account_id.encode()).digest()[:4]) / 2**32
    return share * spread


@dataclass(frozen=True, slots=True)
class QueuedAccount:
    """An account in the queue, for one run.

    Attributes:
        requested: whether an operator requested this one account.
        number: a sequence number, which :meth:`Turns.put` gives.
        not_before: when it may start, by the clock of :class:`Turns`; None for at once.
        turns: how many it has had.
    """

    account_id: AccountId
    run: int
    requested: bool
    size: int
    number: int = 0
    data_centre: str = ""
    not_before: float | None = None
    turns: int = 0

    @property
    def order(self) -> tuple[bool, int, bool, int, int]:
        """The sort key: requests first, then fewer turns, then small accounts; unchanged accounts last."""
        return not self.requested, self.turns, not self.size, self.size, self.number

    def threads(self, connections: int) -> int:
        """Returns how many threads it needs: one that plans, and those that make calls."""
        return 1 + call_threads(self.size, connections)


@dataclass(frozen=True, slots=True)
class Capacity:
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

    def is_full(self, waiting: Iterable[QueuedAccount]) -> bool:
        """Returns whether as many accounts wait for their next turn as may."""
        return sum(bool(account.turns) for account in waiting) >= SUSPENDED * self.accounts


def next_account(
    waiting: Iterable[QueuedAccount], active: Collection[QueuedAccount], capacity: Capacity, now: float
) -> QueuedAccount | None:
    """Returns the account whose turn is next; None if none may start or continue now.

    Requests for one account have the same amount of capacity of their own: they wait only for another flush of the same
    account.
    """
    waiting = list(waiting)
    suspended = [account for account in waiting if account.turns]
    # An account finishes one run before it starts another.
    begun = {account.account_id: account.number for account in (*active, *suspended)}
    left = {
        requested: capacity.threads
        - sum(account.threads(capacity.connections) for account in active if account.requested is requested)
        for requested in (False, True)
    }
    full = capacity.is_full(waiting)
    return min(
        (
            account
            for account in waiting
            if begun.get(account.account_id, account.number) == account.number
            and (account.not_before is None or account.not_before <= now)
            and account.threads(capacity.connections) <= left[account.requested]
            and (account.requested or account.turns or not full or account.size <= capacity.connections)
        ),
        key=lambda account: account.order,
        default=None,
    )


class Turns:
    """Schedules the turns of accounts. Thread-safe."""

    def __init__(
        self,
        capacity: Capacity,
        stop: Stop,
        silent: Callable[[], Collection[str]] = tuple,
        seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        """Starts with an empty queue.

        Args:
            silent: returns the silent data centres, whose accounts start one after the other.
            seconds: a clock that is never set back.
        """
        self._silent = silent
        self._capacity = capacity
        self._seconds = seconds
        self._stop = stop
        self._lock = threading.Lock()
        self._waiting: dict[QueuedAccount, Callable[[QueuedAccount], object]] = {}
        self._active: set[QueuedAccount] = set()
        self._numbers = count()

    def put(self, account: QueuedAccount, begin: Callable[[QueuedAccount], object], delay: float = 0.0) -> None:
        """Queues an account for its first turn, behind those that were queued before: see :meth:`start_turns`.

        Args:
            begin: starts its turn in another thread, which calls :meth:`end` at its end.
            delay: seconds that it waits at least; 0 or less for none.
        """
        not_before = self._seconds() + delay if delay > 0 else None
        with self._lock:
            self._waiting[replace(account, number=next(self._numbers), not_before=not_before)] = begin

    def start_turns(self) -> None:
        """Starts the turns that there is capacity for now."""
        while not self._stop.is_set():
            with self._lock:
                account = next_account(self._may_start(), self._active, self._capacity, self._seconds())
                if account is None:
                    return
                begin = self._waiting.pop(account)
                self._active.add(account)
            begin(account)

    def next_turn(self, account: QueuedAccount) -> QueuedAccount:
        """Ends a turn and waits for the account's next one; continues at once if no other account waits.

        Returns:
            The account as it is queued from now on, without a turn if it is time to stop.
        """
        later, ready = replace(account, turns=account.turns + 1), threading.Event()
        with self._lock:
            self._active.remove(account)
            upcoming = next_account([*self._may_start(), later], self._active, self._capacity, self._seconds())
            # A small one may have begun beyond those who may wait: it goes on, so that no more wait than may.
            beyond = later.size <= self._capacity.connections and self._capacity.is_full(self._waiting)
            if upcoming is None or upcoming == later or beyond:
                self._active.add(later)
                return later
            self._waiting[later] = lambda _: ready.set()
        self.start_turns()
        while not ready.wait(CHECK_SECONDS) and not self._stop.is_set():
            self.start_turns()
        return later

    def _may_start(self) -> list[QueuedAccount]:
        if not self._waiting:
            return []
        # The first one probes a silent data centre on behalf of those after it.
        tried = {account.data_centre for account in self._active}.intersection(self._silent())
        return [
            account
            for account in self._waiting
            if account.requested or account.turns or account.data_centre not in tried
        ]

    def end(self, account: QueuedAccount) -> None:
        """Ends an account's last turn."""
        self.leave(account)
        self.start_turns()

    def leave(self, account: QueuedAccount) -> None:
        """Ends an account's last turn, and starts no other."""
        with self._lock:
            self._active.discard(account)
            self._waiting.pop(account, None)

    def withdraw(self, run: int) -> int:
        """Gives up the places of a run that had no turn yet; returns how many."""
        with self._lock:
            withdrawn = [account for account in self._waiting if account.run == run and not account.turns]
            for account in withdrawn:
                del self._waiting[account]
            return len(withdrawn)

    def accounts(self) -> frozenset[AccountId]:
        """Returns the accounts that have a turn or wait for one."""
        with self._lock:
            return frozenset(account.account_id for account in (*self._waiting, *self._active))
