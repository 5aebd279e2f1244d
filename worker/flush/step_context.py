"""One account's part of a flush, as its steps use it: who sends its calls, its settings, what may be done."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from worker.clock import Clock
from worker.flush.brake import Brake
from worker.flush.intents import Intents
from worker.flush.steps import Contact, PriorMembership
from worker.mailchimp.call import Answer, Call, Sender
from worker.mailchimp.merge_fields import MergeField
from worker.model import CustomerId, ListId, MembershipKey
from worker.store.accounts import AccountSettings
from worker.store.ledger import CustomerStatus

DeparturesOf = Callable[[Sequence[Contact]], Mapping[MembershipKey, Sequence[PriorMembership]]]


class Halted(Exception):
    """The flush must make no further call: it was asked to stop, or the partition is no longer this worker's."""


@dataclass(frozen=True, slots=True)
class Guarded:
    """A sender that asks before each call whether it may still be made."""

    sender: Sender
    may_call: Callable[[], bool]

    def send(self, call: Call) -> Answer:
        """Sends a call and waits for its answer.

        Raises:
            Halted: nothing was sent, because nothing may be sent any more.
        """
        if not self.may_call():
            raise Halted
        answer = self.sender.send(call)
        if answer.unsent and not self.may_call():
            raise Halted
        return answer


class Tries(Protocol):
    """Waits between the tries of a step."""

    def again(self) -> bool:
        """Waits before one more try; returns false when patience is over or it is time to stop."""
        ...


class Pacing(Protocol):
    """How an account's calls are sent in a flush: the patient sender of its API key."""

    def send(self, call: Call) -> Answer:
        """Sends a call, again while it is worth it; for reads on which no write hangs."""
        ...

    def together(self) -> AbstractContextManager[Sender]:
        """Gives a sender for calls that hang on each other; it sends each once."""
        ...

    def tries(self) -> Tries:
        """Returns what waits between the tries of one step."""
        ...


@dataclass(frozen=True, slots=True)
class StepContext:
    """One account's part of a flush, as its steps see it. Shared by the account's threads; they only read it.

    Attributes:
        sender: sends the calls of one try of a step.
        pacing: what gives each try a connection, and waits between tries.
        intents: writes, before a call, what it is about to do to a place, in case its answer is lost.
        wait: waits so many seconds, or less when the flush is asked to stop.
        brake: counts the members that leave each list.
        departures_of: returns where contacts are known to have left, by the ledger as it is now.
        customer_statuses: of the customers of the chunk at hand.
    """

    sender: Guarded
    settings: AccountSettings
    merge_fields: Mapping[ListId, Sequence[MergeField]]
    run: int
    clock: Clock
    pacing: Pacing
    intents: Intents
    wait: Callable[[float], object]
    brake: Brake
    departures_of: DeparturesOf
    customer_statuses: Mapping[CustomerId, CustomerStatus]
