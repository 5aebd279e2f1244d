"""The steps of a plan, and which of them may run in parallel.

A step's targets are its customers; a customer is settled once all its steps are done.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import chain
from typing import Any

from worker.fields.merge_values import Fields
from worker.mailchimp import calls
from worker.mailchimp.answers import Member
from worker.model import Customer, CustomerId, MembershipKey
from worker.plan.outcomes import MEANINGS, Outcome
from worker.store.ledger import LedgerEntry, State


@dataclass(frozen=True, slots=True)
class Target:
    """One customer's part in a step, with the reason for its list."""

    customer: Customer
    list_reason: str | None

    @property
    def customer_id(self) -> CustomerId:
        """The customer's id."""
        return self.customer.customer_id


@dataclass(frozen=True, slots=True)
class Contact:
    """What a membership should hold, and for whom.

    Attributes:
        email: the address as published.
        status_if_new: how a new member is added.
        owner: the newest customer with the address, whose fields the member has.
        targets: the customers that this settles, the owner first if it is among them.
        tags: the owner's.
    """

    membership: MembershipKey
    email: str
    fields: Fields
    status_if_new: str
    owner: CustomerId
    targets: tuple[Target, ...]
    tags: tuple[str, ...] = ()


_NEVER = ""
"""When an entry was written that never was."""


@dataclass(frozen=True, slots=True)
class PriorMembership:
    """A place where one of the contact's customers is known, to be read before the contact is added anywhere else.

    Attributes:
        list_gone: whether that list is gone, so that only the ledger knows.
        known: the customers who are known there.
        own: whether they are the contact's; else its address left there, or somebody else who has it now.
    """

    membership: MembershipKey
    entry: LedgerEntry | None
    list_gone: bool = False
    known: tuple[CustomerId, ...] = ()
    own: bool = True

    @property
    def only_hashed(self) -> bool:
        """Whether nothing but a hash shows that a stranger left there: see :mod:`worker.store.strangers`."""
        return self.entry is not None and is_hashed(self.entry)


def is_hashed(entry: LedgerEntry) -> bool:
    """Returns whether an entry is a :func:`hashed_entry`."""
    return entry.sent_at == _NEVER


def hashed_entry(place: MembershipKey, customer_id: CustomerId, *, list_gone: bool) -> LedgerEntry:
    """Returns a ledger entry for a place that a stranger left, which is not written until the member is read."""
    state: State = "gone" if list_gone else "present"
    return LedgerEntry(place, customer_id, state, "found", _NEVER, member_status="unsubscribed")


@dataclass(frozen=True, slots=True)
class PriorDecision:
    """What a prior membership allows.

    Attributes:
        status: the status to add the contact with; None if it may not be added anywhere.
        reason: why not, or what the old member is.
        here: whether the old place has a member at all.
        left_as: how somebody left there, see :func:`worker.plan.identity.left_as`; None if nobody did, or if unknown.
    """

    status: str | None
    reason: str
    here: bool
    left_as: str | None = None


@dataclass(frozen=True, slots=True)
class NoCall:
    """Nothing is sent for these customers.

    Attributes:
        membership: where they are known from now on; None for no change.
        next: what happens next; None for the outcome's default.
        retry_at: when they are tried again after a refusal; an earlier receipt says so. None for no refusal.
        waits_for: the customer whose opt-out keeps these out: they are planned again when it changes.
    """

    targets: tuple[Target, ...]
    membership: MembershipKey | None
    outcome: Outcome
    detail: str
    next: str | None = None
    retry_at: str | None = None
    waits_for: CustomerId | None = None

    @property
    def settles(self) -> bool:
        """Whether they need nothing more."""
        return MEANINGS[self.outcome].settles is not False


@dataclass(frozen=True, slots=True)
class ContactStep:
    """A step that puts a contact at its place, or changes what it has there.

    Attributes:
        entry: what the ledger has at the place.
    """

    contact: Contact
    entry: LedgerEntry | None

    @property
    def membership(self) -> MembershipKey:
        """Where the contact goes, or is."""
        return self.contact.membership

    @property
    def targets(self) -> tuple[Target, ...]:
        """The customers of the step."""
        return self.contact.targets


@dataclass(frozen=True, slots=True)
class AfterPriors(ContactStep):
    """A step that first reads where the contact's customers, or others with its address, may have left.

    Attributes:
        priors: the places to read first.
        kept_out_by: the one where a reading has shown already that somebody left; None if none has.
    """

    priors: tuple[PriorMembership, ...]
    kept_out_by: PriorMembership | None = field(default=None, kw_only=True)


@dataclass(frozen=True, slots=True)
class Add(ContactStep):
    """A contact that is on no list yet."""

    def as_contact(self) -> dict[str, Any]:
        """Returns the contact for a batch POST."""
        return calls.contact(self.contact.email, self.contact.status_if_new, self.contact.fields.values)


@dataclass(frozen=True, slots=True)
class Move(AfterPriors):
    """A contact that is known elsewhere: it goes to its new place only if nobody left the old one.

    Attributes:
        rename: the prior place whose member can simply get the new address; None if the contact must be added.
        rename_changes: the fields that such a member still needs.
    """

    rename: PriorMembership | None
    rename_changes: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Update(ContactStep):
    """A member whose fields differ from what was sent last."""

    entry: LedgerEntry
    changes: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Tag(ContactStep):
    """A member whose tags differ from those that this worker set.

    Attributes:
        follows: whether an earlier step put the contact there and reports on it.
        seen: the member with its tags, from the answer to its add; None to read it first.
    """

    follows: bool = False
    seen: Member | None = None
    seen_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Restore(AfterPriors):
    """A contact that returns to where this worker archived it."""

    entry: LedgerEntry


@dataclass(frozen=True, slots=True)
class Recheck(AfterPriors):
    """A contact whose member Mailchimp no longer had, or may no longer have: written only if it is there."""

    entry: LedgerEntry


@dataclass(frozen=True, slots=True)
class Found(ContactStep):
    """A contact that Mailchimp refused to add because it is a member already."""


@dataclass(frozen=True, slots=True)
class Archive:
    """A member that no customer wants any more.

    Attributes:
        customers_moved: whether it has customers that go elsewhere; then only a subscribed member is archived.
        after_rename: whether the member is to get another address first: then it is archived only if that was taken.
        successors: customers that may come to the place: it is archived only if none of them does.
    """

    membership: MembershipKey
    entry: LedgerEntry
    targets: tuple[Target, ...]
    successors: tuple[CustomerId, ...] = ()
    customers_moved: bool = field(kw_only=True)
    after_rename: bool = field(default=False, kw_only=True)

    @property
    def planned(self) -> bool:
        """Whether the member leaves unless a read shows otherwise; if False, it most likely stays."""
        return not (self.after_rename or self.successors)

    @property
    def withdrawn(self) -> bool:
        """Whether a customer known by the member withdrew consent."""
        return any(not target.customer.state.marketing_consent for target in self.targets)


@dataclass(frozen=True, slots=True)
class Unsubscribe:
    """An address whose customer withdrew consent, on one list, even if others added it there.

    Attributes:
        same_address: other customers with the address and no call of their own, for whom the result counts too.
    """

    membership: MembershipKey
    entry: LedgerEntry | None
    targets: tuple[Target, ...]
    same_address: tuple[CustomerId, ...] = ()


Step = Add | Found | Move | Update | Tag | Restore | Recheck | Archive | Unsubscribe
"""Anything that makes calls. The steps that touch a place are all in one group."""

StepGroup = tuple[Step, ...]
"""Steps that share a place or a customer, in the order in which they must be done."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a flush would do for a chunk of an account's customers.

    Attributes:
        adds: contacts that are on no list yet and share nothing with other steps.
        step_groups: everything else that makes calls.
        no_calls: customers for whom nothing is sent.
    """

    adds: tuple[Add, ...]
    step_groups: tuple[StepGroup, ...]
    no_calls: tuple[NoCall, ...]

    def steps(self) -> Iterator[Step]:
        """Yields all steps that make calls."""
        yield from self.adds
        for step_group in self.step_groups:
            yield from step_group


def touched(step: Step) -> Iterable[MembershipKey]:
    """Returns the places that a step reads or writes."""
    memberships = [step.membership]
    if isinstance(step, AfterPriors):
        memberships += [prior.membership for prior in step.priors]
    return memberships


def ids_of(targets: Iterable[Target]) -> frozenset[CustomerId]:
    """Returns the customers of targets."""
    return frozenset(target.customer_id for target in targets)


def customers_of(steps: Iterable[Step]) -> frozenset[CustomerId]:
    """Returns the customers that steps are for."""
    return ids_of(target for step in steps for target in step.targets)


def step_groups_of(steps: Sequence[Step]) -> tuple[tuple[Add, ...], tuple[StepGroup, ...]]:
    """Splits steps into adds that depend on nothing, and groups that may run in parallel.

    Parallel writes to one member can cause bare 404s. Source: observed in Mailchimp's API.

    Returns:
        The adds that share no place and no customer with another step, and the groups of all others. In a group,
        withdrawn consent comes first and archiving last.
    """
    groups = _Groups()
    shared = [(*touched(step), *(target.customer_id for target in step.targets)) for step in steps]
    uses = Counter[Hashable](chain.from_iterable(shared))
    for number, keys in enumerate(shared):
        for key in keys:
            if uses[key] > 1:
                groups.join(number, key)
    together: dict[Hashable, list[Step]] = {}
    for number, step in enumerate(steps):
        together.setdefault(groups.root(number), []).append(step)
    alone: list[Add] = []
    step_groups: list[StepGroup] = []
    for step_group in together.values():
        if len(step_group) == 1 and isinstance(step_group[0], Add):
            alone.append(step_group[0])
        else:
            step_groups.append(tuple(sorted(step_group, key=_rank)))
    return tuple(alone), tuple(step_groups)


def _rank(step: Step) -> int:
    if isinstance(step, Archive):
        # Places with a begun add first: the add may be the former place's member under its new address.
        return 2 if step.entry.state == "intended" else 3
    return 0 if isinstance(step, Unsubscribe) else 1


class _Groups:
    """A disjoint-set forest."""

    def __init__(self) -> None:
        self._parent: dict[Hashable, Hashable] = {}

    def root(self, item: Hashable) -> Hashable:
        parent = self._parent.setdefault(item, item)
        while parent != self._parent[parent]:
            self._parent[item] = self._parent[parent]
            item, parent = parent, self._parent[parent]
        return parent

    def join(self, item: Hashable, other: Hashable) -> None:
        self._parent[self.root(item)] = self.root(other)
