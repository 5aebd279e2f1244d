"""How accounts are delivered: what is the same for all of them, and what one of them in one run depends on."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from worker.clock import Clock, Stop
from worker.flush.account_flush import AccountInputs
from worker.flush.call_permission import CallPermission
from worker.flush.commit_queue import CommitQueue
from worker.mailchimp.data_centres import DataCentres
from worker.mailchimp.sender import RetryingSender
from worker.metrics import Metrics
from worker.model import AccountId
from worker.sqlite.database import Database


@dataclass(frozen=True, slots=True)
class DeliveryConfig:
    """What is the same for every account of every run.

    Attributes:
        open_sender: opens a sender with an account's API key; the stop ends its waits.
        connections: calls in flight per API key, and threads per account.
    """

    open_database: Callable[[], Database]
    open_sender: Callable[[Database, AccountId, Stop], AbstractContextManager[RetryingSender]]
    inputs_of: Callable[[Database, AccountId], AccountInputs]
    connections: int
    data_centres: DataCentres
    clock: Clock
    stop: Stop
    metrics: Metrics

    def open(self) -> Database:
        """Opens a connection for a thread that must end with the worker."""
        db = self.open_database()
        db.must_end = self.stop.is_set
        return db


@dataclass(frozen=True, slots=True)
class DeliveryRequest:
    """How to deliver one account in one run.

    Attributes:
        confirmed_at: when an operator confirmed what was held back, as text; None if nobody did.
        delivers: whether to deliver customers; otherwise only members are read.
        reads_members: whether to read the members of each stored list, even unchanged ones; otherwise only departures
            from lists that customers move off.
        permission: checked before every call and every write.
        next_turn: called between chunks and between pages of members; returns once the account may continue.
    """

    config: DeliveryConfig
    run: int
    confirmed_at: str | None
    delivers: bool
    reads_members: bool
    permission: CallPermission
    queue: CommitQueue
    inputs: AccountInputs
    next_turn: Callable[[], object]
