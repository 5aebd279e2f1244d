"""What a batch knows about a customer: its staged row, the pending change, and the row to write."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec
from msgspec.structs import replace

from worker.consumer.decode import Event, PublishedCustomer, Record, decode
from worker.consumer.event_order import Known, Verdict
from worker.model import address_key
from worker.store.bare_customers import CONSENTS, WITHDRAWS

_encode = msgspec.json.Encoder().encode


class Stored(NamedTuple):
    """What is staged of a customer, as :func:`worker.store.customers.positions_of` reads it.

    Attributes:
        withdrawn: whether consent is withdrawn.
        changed: whether it is not delivered yet.
        bare: whether its fields are missing, because its account was not connected when it was read.
        null: whether a record without a value deleted the customer.
    """

    version: int | None
    topic: str
    topic_id: str
    partition: int
    offset: int
    time: str | None
    deleted: bool
    withdrawn: bool
    changed: bool
    bare: bool
    null: bool

    @property
    def known(self) -> Known:
        """What the order of a further event depends on."""
        return Known(*self[:6], null=self.null)

    @property
    def state(self) -> None:
        """None, as for a pending change that keeps the staged state."""

    @property
    def newer(self) -> bool:
        """False: no pending event is newer than the staged one."""
        return False


class Pending(Record, frozen=True, gc=False):
    """A pending change of a customer: the record of its newest event, and what decides about a further one.

    It keeps the record undecoded, which takes a third of the memory, and in one object, which takes less time.

    Attributes:
        version: the highest so far.
        time: of the event.
        withheld: whether consent is withdrawn, whatever the state says.
        newer: whether an event is newer than the staged one; otherwise an older one only withdraws consent.
        other_state: the record with its state, if this one only deletes or withdraws consent.
        keeps_state: whether the staged state is kept.
    """

    version: int | None = None
    time: str | None = None
    deleted: bool = False
    withheld: bool = False
    newer: bool = True
    other_state: Record | None = None
    keeps_state: bool = False

    @property
    def changed(self) -> bool:
        """True: it is not delivered yet."""
        return True

    @property
    def null(self) -> bool:
        """Whether it is a record without a value."""
        return self.value is None

    @property
    def state(self) -> Record | None:
        """The record with its state; None for the staged state."""
        return None if self.keeps_state else self.other_state or self

    @property
    def withdrawn(self) -> bool:
        """Whether consent is withdrawn."""
        return self.withheld or (self.state is not None and event_of(self.state).withdraws)

    @property
    def is_needed(self) -> bool:
        """Whether its fields are needed once its account is connected; for a deletion, to unsubscribe its address."""
        return self.state is not None and (not self.deleted or self.withdrawn)

    @property
    def first_offset(self) -> int:
        """The first offset of its records."""
        return self.offset if self.other_state is None else min(self.offset, self.other_state.offset)

    def withholding(self, state: Record | None) -> Pending:
        """Returns it with consent withdrawn and the state of a record; None for the staged state."""
        other_state = None if state is self else state
        return replace(self, withheld=True, other_state=other_state, keeps_state=state is None)


def pending_of(record: Record, version: int | None, time: str | None, deleted: bool, newer: bool = True) -> Pending:
    """Returns the pending change by a record that has its state."""
    return Pending(
        record.partition, record.offset, record.key, record.value, record.headers, version, time, deleted, False, newer
    )


def fills(stored: Stored, event: Event, new: Known, verdict: Verdict) -> bool:
    """Returns whether an event that is not newer has the fields of a customer that is staged without them.

    That is the staged event, or for a deletion that keeps withdrawn consent the withdrawal before it.
    """
    if not stored.bare or event.customer is None:
        return False
    if stored.deleted:
        return event.withdraws
    # An older event may have withdrawn consent: then its position is staged, with the version of a newer one.
    return not event.deleted and (verdict is Verdict.REPEAT or new[1:5] == stored.known[1:5])


def event_of(record: Record) -> Event:
    """Returns the event of a record that has one."""
    event = decode(record)
    assert isinstance(event, Event), "it was one when it was taken"
    return event


def size_of(pending: Pending) -> int:
    """Returns the size in bytes of the values that are kept for it."""
    size = len(pending.value or b"")
    return size if pending.other_state is None else size + len(pending.other_state.value or b"")


def state_of(customer: PublishedCustomer | None) -> tuple[str | None, bytes | None]:
    """Returns the address and state of a customer to stage."""
    if customer is None:
        return None, None
    if customer.marketing_consent is None:
        customer.marketing_consent = True
    customer.list_id = customer.list_id or None
    if customer.attributes is not None:
        # Staged attributes have no nulls.
        customer.attributes = {k: v for k, v in customer.attributes.items() if v is not None} or None
    customer.tags = customer.tags or None
    return address_key(customer.email), _encode(customer)


def _bare_state_of(pending: Pending) -> tuple[None, bytes | None]:
    # The same for a customer whose account is not connected: no address, and only its consent.
    if not pending.is_needed:
        return None, None
    return None, WITHDRAWS if pending.withdrawn else CONSENTS


def row_of(pending: Pending, log: tuple[str, str], at: str, *, bare: bool = False) -> tuple[Any, ...]:
    """Returns the columns of a pending change, as :func:`worker.store.customers.stage` takes them.

    Args:
        log: topic and topic id.
        bare: whether the customer's account is not connected, so that its fields are left out.
    """
    event = event_of(pending)
    if bare:
        return _columns(event, _bare_state_of(pending), pending.deleted, pending.version, pending, log, at)
    customer, state = event.customer, pending.state
    if state is not pending:
        customer = None if state is None else event_of(state).customer
    if customer is not None and pending.withheld:
        customer.marketing_consent = False
    return _columns(event, state_of(customer), pending.deleted, pending.version, pending, log, at)


def ignored_row(record: Record, version: int | None, log: tuple[str, str], at: str) -> tuple[Any, ...]:
    """Returns the same columns for an ignored event."""
    event = event_of(record)
    return _columns(event, state_of(event.customer), event.deleted, version, record, log, at)


def _columns(
    event: Event,
    state: tuple[str | None, bytes | None],
    deleted: bool,
    version: int | None,
    record: Record,
    log: tuple[str, str],
    at: str,
) -> tuple[Any, ...]:
    ids, when = (event.account_id, event.customer_id), (event.event_id, event.event_time)
    return *ids, *state, deleted, version, *when, *log, record.partition, record.offset, at
