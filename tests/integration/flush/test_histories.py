"""The proof: whatever happens in whatever order, nobody who left is put back, and at rest everything is explained."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import invariant, rule

from tests.integration.flush.happenings import NAMES_OF_CUSTOMERS, Happenings
from tests.integration.flush.world import ACCOUNT
from worker.accounts import settings as account_settings
from worker.model import Customer, address_key
from worker.sandbox.audit import BY_HAND, LoggedCall
from worker.staging import customers, ledger, receipts
from worker.staging.receipts import Receipt

PLACED = frozenset({"added", "updated", "renamed", "moved", "restored"})
OUT = frozenset({"unsubscribed", "cleaned"})


class Histories(Happenings):
    """Random histories, and what must hold in them."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = 0
        self.archived_by_us: dict[tuple[str, str], str] = {}

    def teardown(self) -> None:
        try:
            if sys.exc_info()[0] is None:
                # Every history that held so far comes to rest.
                self.at_rest()
                self.no_call_could_change_who_left()
                self.nobody_who_left_is_put_back()
        finally:
            super().teardown()

    # After every step

    @invariant()
    def no_call_could_change_who_left(self) -> None:
        audit = self.world.standin.audit
        for one in audit.calls:
            body = one.call.body or {}
            if one.call.method == "POST":
                assert body["update_existing"] is False, one
            elif one.call.method == "PATCH":
                assert body.get("status") in (None, "unsubscribed"), one
            elif one.call.method == "PUT" and "status" in body:
                address = address_key(body["email_address"])
                changed = [change for change in audit.changes if address_key(change.email) == address]
                archived = [change for change in changed if change.after == "archived" and change.cause != BY_HAND]
                assert archived, f"a status without our having archived it: {one}"
        audit.calls.clear()

    @invariant()
    def nobody_who_left_is_put_back(self) -> None:
        changes = self.world.standin.audit.changes
        for change in changes[self.seen :]:
            place = change.list_id, str(address_key(change.email))
            ours = change.cause != BY_HAND
            assert not (ours and change.puts_back), f"left, and put back: {change}"
            if ours and change.before in OUT:
                assert change.after == "archived", f"left, and put back: {change}"
            if ours and change.before == "cleaned":
                raise AssertionError(f"bounced, and changed: {change}")
            if ours and change.before == "archived":
                assert place in self.archived_by_us, f"archived by somebody else, and put back: {change}"
                assert change.after in (self.archived_by_us[place], "unsubscribed"), f"put back better: {change}"
            self.archived_by_us.pop(place, None)
            if ours and change.after == "archived":
                self.archived_by_us[place] = str(change.before)
            if ours and change.after in ("subscribed", "pending") and change.before is None:
                # Whatever became of the answer: by this an opt-out follows.
                assert self.world.entry(place[1], change.list_id) is not None, f"added, and not known: {change}"
                assert place not in self.vacated, f"changed its own address, and made anew: {change}"
                self._wanted(change.list_id, place[1], str(change))
        self.seen, self.before = len(changes), None
        for standing in ledger.standings_of(self.world.db, ACCOUNT, list(self.left)):  # type: ignore[arg-type]
            # An address that bounced keeps nobody from others; with one of these its customer is no more known by it.
            where = self.left[standing.customer_id]
            if where[2] == "clean" and standing.place is not None and standing.place.address != where[1]:
                del self.left[standing.customer_id]

    def _wanted(self, list_id: str, address: str, told: str) -> None:
        now = customers.by_addresses(self.world.db, ACCOUNT, [address])  # type: ignore[list-item]
        try:
            self._wanted_by(now, address, told)
        except AssertionError:
            if self.before is None:
                raise
            # Asked for before the event that came while flushing.
            self._wanted_by([one for one in self.before if one.address == address], address, told)

    def _wanted_by(self, holders: Sequence[Customer], address: str, told: str) -> None:
        wanting = [one for one in holders if not one.deleted and one.state.marketing_consent]
        assert wanting, f"nobody wants {told}"
        away = [self.left.get(one.customer_id) for one in wanting]
        allowed = [one for one in away if one is None or (one[2] == "clean" and one[1] != address)]
        assert allowed, f"everybody who wants it left elsewhere: {away}, {told}"
        assert all(one.state.marketing_consent or one.deleted for one in holders), f"without consent: {told}"

    # When all is quiet

    @rule()
    def at_rest(self) -> None:
        world = self.world
        world.before_call(None)
        for _ in range(6):
            account_settings.resume(world.db, ACCOUNT)
            world.clock.forward(days=8)
            world.run(confirmed=True)
            if not customers.changed_count(world.db, ACCOUNT):
                break
        # A pending member is unsubscribed when its customer is deleted, and that follows the customer too.
        nobody_left = self.quiet and not list(receipts.find(world.db, outcome="unsubscribed"))
        for customer in customers.by_ids(world.db, ACCOUNT, NAMES_OF_CUSTOMERS):  # type: ignore[list-item]
            told = world.receipts(customer.customer_id)
            assert told, f"{customer.customer_id} has no receipt"
            last = told[-1]
            assert not customer.changed or last.outcome == "held", f"{customer} waits, and nobody says why: {last}"
            assert last.revision == customer.revision, f"the last receipt is of an older revision: {last}"
            if last.outcome in PLACED:
                self._is_there(last)
            if nobody_left:
                assert not {"left", "gone"} & {one.outcome for one in told}, f"nobody left, and it is said: {told}"
        self._members_are_explained()
        self._settled_stays_settled()

    def _settled_stays_settled(self) -> None:
        # Looked at again, nothing is written any more; at most unsubscribed, for one deleted, and archived before.
        world, calls, writes = self.world, self.world.standin.audit.calls, list[LoggedCall]()
        for _ in range(4):
            before = len(calls)
            with world.db.transaction():
                customers.mark_changed(world.db, ACCOUNT, None)
            world.run(confirmed=True)
            writes = [one for one in list(calls)[before:] if not one.call.reads_only]
            if not writes:
                return
        raise AssertionError(f"settled, and written again and again: {writes}")

    def _is_there(self, receipt: Receipt) -> None:
        # A receipt agrees with the list, unless somebody changed the member or the list by hand since.
        assert receipt.list_id is not None
        assert receipt.address is not None
        lists_there = self.world.standin.users["owner"].lists
        if receipt.list_id not in lists_there or receipt.list_id in self.made_anew:
            return
        there = (receipt.list_id, receipt.address)
        told_of_it = [one for one in receipts.find(self.world.db) if (one.list_id, one.address) == there]
        if told_of_it[-1].customer_id != receipt.customer_id:
            return  # another customer with the address did something since
        by_hand = [
            change
            for change in self.world.standin.audit.changes
            if change.cause == BY_HAND and address_key(change.email) == receipt.address
        ]
        status = self.world.status(receipt.address, receipt.list_id)
        told = (receipt.answer or {}).get("status")
        changed = bool(by_hand) or there in self.renamed
        assert changed or status == told, f"the member is {status}, and the receipt says {receipt}"

    def _members_are_explained(self) -> None:
        world = self.world
        for one in world.settings.stored:
            if one.gone or one.list_id not in world.standin.users["owner"].lists:
                continue
            for member in world.standin.find_list(one.list_id).members.values():
                address = address_key(member.email)
                assert address is not None
                entries = {entry.place.list_id: entry for entry in ledger.entries_of(world.db, ACCOUNT, [address])}
                entry = entries.get(one.list_id)
                if entry is None or entry.state != "present" or entry.origin != "added":
                    continue
                changes = [
                    change
                    for change in world.standin.audit.changes
                    if change.list_id == one.list_id and address_key(change.email) == address
                ]
                by_hand = not changes or changes[-1].cause == BY_HAND
                if by_hand or member.status not in ("subscribed", "pending"):
                    continue
                people = customers.by_ids(world.db, ACCOUNT, NAMES_OF_CUSTOMERS)  # type: ignore[list-item]
                standing = {s.customer_id for s in ledger.settled_at(world.db, ACCOUNT, [address])}
                related = [c for c in people if c.address == address or c.customer_id in standing]
                # A pending member is left behind as it is: the person may confirm it at any time.
                assert related or member.status == "pending", f"{member} is on {one.list_id}, for nobody: {entry}"


HistoriesTest = Histories.TestCase
HistoriesTest.settings = settings(
    max_examples=int(os.environ.get("HISTORIES", "150")),
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    print_blob=True,
    # A failing history is told as it came; SHRINK=1 looks for a shorter one, which takes minutes.
    phases=tuple(Phase) if os.environ.get("SHRINK") else (Phase.explicit, Phase.reuse, Phase.generate),
)


@pytest.mark.soak
class LongHistoriesTest(Histories.TestCase):  # type: ignore[misc,name-defined]
    """The same, for many minutes."""

    settings = settings(HistoriesTest.settings, max_examples=20_000)


HistoriesTest.__doc__ = "Random histories never put back somebody who left, and leave every customer explained."
pytestmark = pytest.mark.timeout(900)
