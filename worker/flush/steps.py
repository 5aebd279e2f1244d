"""What a plan consists of: steps, each with the calls it may make.

A step names its calls before any is made: :meth:`calls` gives each with the condition it hangs on. Which customers a
step is for are its targets; a customer is settled when all its steps are done.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from worker.flush import calls
from worker.flush.identity import has_names
from worker.flush.merge_values import Fields
from worker.flush.outcomes import MEANINGS, Outcome
from worker.flush.planned_call import ONCE_THERE, PlannedCall, tag_calls
from worker.mailchimp.call import Call, member_path
from worker.mailchimp.member import Member
from worker.model import Customer, CustomerId, MembershipKey
from worker.store.ledger import LedgerEntry


@dataclass(frozen=True, slots=True)
class Target:
    """One customer's part in a step, with the reason for its list."""

    customer: Customer
    list_reason: str | None

    @property
    def customer_id(self) -> CustomerId:
        """Whose part it is."""
        return self.customer.customer_id


@dataclass(frozen=True, slots=True)
class Contact:
    """What a membership should hold, and for whom.

    Attributes:
        email: the address as published.
        status_if_new: how a new member is added.
        owner: the newest customer with the address, whose fields the member has.
        targets: the customers that this settles, the owner first where it is among them.
        tags: the owner's.
    """

    membership: MembershipKey
    email: str
    fields: Fields
    status_if_new: str
    owner: CustomerId
    targets: tuple[Target, ...]
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PriorMembership:
    """A place where one of the contact's customers is known: it must be read before the contact is put anywhere else.

    Attributes:
        entry: what the ledger says of it.
        list_gone: whether that list is gone, so that only the ledger knows.
        known: the customers who are known there.
        others: whether none of the contact's customers is: the address left there, or somebody else who has it now.
    """

    membership: MembershipKey
    entry: LedgerEntry | None
    list_gone: bool = False
    known: tuple[CustomerId, ...] = ()
    others: bool = False


@dataclass(frozen=True, slots=True)
class NoCall:
    """Nothing is sent for these customers.

    Attributes:
        membership: where they are known from now on; None leaves what was known.
        next: what happens next; None for what the outcome says.
        silent: whether even the receipt is left out, since an earlier one says the same.
        waits_for: the customer whose opt-out keeps these out: they are looked at again when it changes.
    """

    targets: tuple[Target, ...]
    membership: MembershipKey | None
    outcome: Outcome
    detail: str
    next: str | None = None
    silent: bool = False
    waits_for: CustomerId | None = None

    @property
    def settles(self) -> bool:
        """Whether they need nothing more."""
        return MEANINGS[self.outcome].settles is not False

    def calls(self) -> Iterator[PlannedCall]:
        """Gives none."""
        return iter(())


@dataclass(frozen=True, slots=True)
class _ForContact:
    """What all steps that put a contact at its place have."""

    contact: Contact
    left: PriorMembership | None = field(default=None, kw_only=True)  # a reading shows that somebody left there

    @property
    def membership(self) -> MembershipKey:
        """Where the contact goes, or is."""
        return self.contact.membership

    @property
    def targets(self) -> tuple[Target, ...]:
        """Whom the step is for."""
        return self.contact.targets

    def tag_calls(self, known: LedgerEntry | None, when: str = ONCE_THERE) -> Iterator[PlannedCall]:
        """Gives the calls about the member's tags, once the contact is there."""
        return tag_calls(self.membership, self.contact.tags, known.member_tags if known is not None else None, when)


@dataclass(frozen=True, slots=True)
class Add(_ForContact):
    """A contact that is nowhere yet."""

    entry: LedgerEntry | None

    def as_contact(self) -> dict[str, Any]:
        """Returns the contact as a POST carries it."""
        return calls.contact(self.contact.email, self.contact.status_if_new, self.contact.fields.values)

    def put(self, status: str | None = None) -> Call:
        """Returns the call that adds this contact alone."""
        contact = self.contact
        return calls.add_one(contact.membership, contact.email, status or contact.status_if_new, contact.fields.values)

    def calls(self) -> Iterator[PlannedCall]:
        """Gives the calls for the contact alone."""
        yield PlannedCall(calls.read(self.membership))
        yield PlannedCall(self.put(), "if it is no member")
        yield PlannedCall(found_call(self.contact, self.entry), "if it is a member already")
        yield from self.tag_calls(self.entry)


@dataclass(frozen=True, slots=True)
class Move(_ForContact):
    """A contact that is known elsewhere: it goes to its new place only if nobody left the old one.

    Attributes:
        priors: the places to read first.
        rename: the one of them whose member may simply get the new address; None where it must be added.
        rename_changes: the fields that such a member still needs.
    """

    entry: LedgerEntry | None
    priors: tuple[PriorMembership, ...]
    rename: PriorMembership | None
    rename_changes: Mapping[str, Any]

    def put(self, status: str) -> Call:
        """Returns the call that adds the contact at its new place."""
        return Add(self.contact, self.entry).put(status)

    def rename_call(self) -> Call:
        """Returns the call that gives the old member the new address."""
        assert self.rename is not None
        return calls.rename(self.rename.membership, self.contact.email, self.rename_changes)

    def calls(self) -> Iterator[PlannedCall]:
        """Gives the reads and what hangs on them, the prior memberships last."""
        yield PlannedCall(calls.read(self.membership))
        yield from _prior_calls(self.priors)
        new = self.contact.status_if_new
        yield PlannedCall(found_call(self.contact, self.entry), "if nobody left the old place and the new one is taken")
        free = "and the new place is free"
        if self.rename is not None:
            yield PlannedCall(self.rename_call(), f"if the old member is subscribed {free}")
            yield PlannedCall(self.put(new), f"if the old member was cleaned at another address {free}")
        else:
            yield PlannedCall(
                self.put(new), f"if the old member is subscribed, or was cleaned at another address, {free}"
            )
        if new != "pending":
            yield PlannedCall(self.put("pending"), f"if the old member is pending {free}")
        yield from self.tag_calls(self.rename.entry if self.rename is not None else self.entry)


@dataclass(frozen=True, slots=True)
class Update(_ForContact):
    """A member whose fields differ from what was sent last."""

    entry: LedgerEntry
    changes: Mapping[str, Any]

    def calls(self) -> Iterator[PlannedCall]:
        """Gives the call."""
        yield PlannedCall(calls.update(self.membership, self.changes))
        yield from self.tag_calls(self.entry)


@dataclass(frozen=True, slots=True)
class Tag(_ForContact):
    """A member whose tags differ from those that this worker set.

    Attributes:
        follows: whether a step before it put the contact there, and says what became of it.
        seen: the member with its tags, as the call that added it answered; None: it is read first.
        seen_at: Mailchimp's time of that answer.
    """

    entry: LedgerEntry | None
    follows: bool = False
    seen: Member | None = None
    seen_at: datetime | None = None

    def calls(self) -> Iterator[PlannedCall]:
        """Gives the read and what hangs on it."""
        return self.tag_calls(self.entry, "")


@dataclass(frozen=True, slots=True)
class Restore(_ForContact):
    """A contact that comes back to where this worker archived it."""

    entry: LedgerEntry
    priors: tuple[PriorMembership, ...]

    def put(self) -> Call:
        """Returns the call that restores the status from before."""
        contact, status = self.contact, self.entry.status_before or "unsubscribed"
        return calls.restore(contact.membership, contact.email, status, contact.fields.whole(self.entry.fields))

    def calls(self) -> Iterator[PlannedCall]:
        """Gives the reads and what hangs on them."""
        yield from _prior_calls(self.priors)
        yield PlannedCall(calls.read(self.membership), "if nobody left the old place" if self.priors else None)
        yield PlannedCall(self.put(), "if it is archived still, and by this worker")
        yield PlannedCall(found_call(self.contact, self.entry), "if it is back, or somebody else archived it")
        yield from self.tag_calls(self.entry)


@dataclass(frozen=True, slots=True)
class Recheck(_ForContact):
    """A contact whose member Mailchimp did not know any more: written only if it is there again."""

    entry: LedgerEntry
    priors: tuple[PriorMembership, ...]

    def calls(self) -> Iterator[PlannedCall]:
        """Gives the reads and what hangs on them."""
        yield from _prior_calls(self.priors)
        yield PlannedCall(calls.read(self.membership), "if nobody left the old place" if self.priors else None)
        yield PlannedCall(found_call(self.contact, self.entry), "if the member is there again")
        yield from self.tag_calls(self.entry)


@dataclass(frozen=True, slots=True)
class Found(_ForContact):
    """A contact of which Mailchimp said, when it was to be added, that it is a member already."""

    entry: LedgerEntry | None

    def calls(self) -> Iterator[PlannedCall]:
        """Gives the read of its names, where these could be its customer's, and the write."""
        read = [calls.read(self.membership)] if has_names(self.contact.fields.values) else []
        yield from map(PlannedCall, read)
        yield PlannedCall(found_call(self.contact, self.entry if read else None))
        yield from self.tag_calls(self.entry)


@dataclass(frozen=True, slots=True)
class Archive:
    """A member that no customer wants any more.

    Attributes:
        moved: whether its customers went elsewhere; then only a subscribed member is archived.
        only_if_taken: the rename before it may have left nothing to archive.
        successors: customers on their way to the place: it is archived only if none of them may come.
    """

    membership: MembershipKey
    entry: LedgerEntry
    targets: tuple[Target, ...]
    moved: bool
    only_if_taken: bool = False
    successors: tuple[CustomerId, ...] = ()

    @property
    def planned(self) -> bool:
        """Whether the member leaves unless somebody looks and finds otherwise; else it most likely stays."""
        return not (self.only_if_taken or self.successors)

    @property
    def withdrawn(self) -> bool:
        """Whether a customer that is known by the member withdrew consent."""
        return any(not target.customer.state.marketing_consent for target in self.targets)

    def calls(self) -> Iterator[PlannedCall]:
        """Gives the read and what hangs on it."""
        first = "if the new address was taken" if self.only_if_taken else None
        first = "if nobody may come here from elsewhere" if self.successors else first
        yield PlannedCall(calls.read(self.membership), first)
        statuses = "subscribed" if self.moved else "subscribed or unsubscribed"
        yield PlannedCall(calls.archive(self.membership), f"if it is {statuses}")
        yield PlannedCall(calls.read(self.membership), "once it is archived")
        if not self.moved:
            yield PlannedCall(calls.unsubscribe(self.membership), "if it is pending")


@dataclass(frozen=True, slots=True)
class Unsubscribe:
    """An address whose customer withdrew consent, on one list, also if others added it there.

    Attributes:
        same_address: other customers with the address, without a call of their own: what is found there is theirs too.
    """

    membership: MembershipKey
    entry: LedgerEntry | None
    targets: tuple[Target, ...]
    same_address: tuple[CustomerId, ...] = ()

    def calls(self) -> Iterator[PlannedCall]:
        """Gives the read and what hangs on it."""
        yield PlannedCall(calls.read(self.membership))
        yield PlannedCall(calls.unsubscribe(self.membership), "if it is subscribed or pending")


Step = Add | Found | Move | Update | Tag | Restore | Recheck | Archive | Unsubscribe
"""What makes calls. A place is touched by the steps of one group only."""

StepGroup = tuple[Step, ...]
"""Steps that share a place or a customer, in the order in which they must be done."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a flush would do for a part of an account's customers.

    Attributes:
        adds: contacts that are nowhere yet and share nothing with other steps.
        step_groups: everything else that makes calls.
        no_calls: customers for whom nothing is sent.
    """

    adds: tuple[Add, ...]
    step_groups: tuple[StepGroup, ...]
    no_calls: tuple[NoCall, ...]

    def steps(self) -> Iterator[Step]:
        """Gives all steps that make calls."""
        yield from self.adds
        for step_group in self.step_groups:
            yield from step_group


def found_call(contact: Contact, entry: LedgerEntry | None) -> Call:
    """Returns the call for a contact that turns out to be a member already: its fields, never its status."""
    return calls.update(contact.membership, contact.fields.whole(entry.fields if entry is not None else {}))


def planned_calls(step: Step) -> Iterator[PlannedCall]:
    """Gives the calls of a step, each with the address and the customers that it is about."""
    addresses = {member_path(*one): one.address for one in touched(step)}
    addresses[f"{member_path(*step.membership)}/tags"] = step.membership.address
    customers = tuple(target.customer_id for target in step.targets)
    for one in step.calls() if getattr(step, "left", None) is None else ():
        yield replace(one, address=addresses.get(one.call.path), customers=customers)


def touched(step: Step) -> Iterable[MembershipKey]:
    """Returns the places that a step reads or writes."""
    memberships = [step.membership]
    if isinstance(step, Move | Restore | Recheck):
        memberships += [prior.membership for prior in step.priors]
    return memberships


def ids_of(targets: Iterable[Target]) -> frozenset[CustomerId]:
    """Returns the customers of targets."""
    return frozenset(target.customer_id for target in targets)


def customers_of(steps: Iterable[Step]) -> frozenset[CustomerId]:
    """Returns the customers that steps are for."""
    return ids_of(target for step in steps for target in step.targets)


def _prior_calls(priors: Iterable[PriorMembership]) -> Iterator[PlannedCall]:
    for prior in priors:
        if not prior.list_gone:
            yield PlannedCall(calls.read(prior.membership))
