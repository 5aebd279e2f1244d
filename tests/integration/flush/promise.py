"""What random histories are held to: a model of what people did in Mailchimp, and the promise that is checked by it."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from tests import setters
from tests.checked_changelog import CHANGELOG
from tests.integration.flush.world import ACCOUNT, World
from worker.model import Customer, address_key
from worker.sandbox.audit import BY_HAND, LoggedCall
from worker.store import customers, ledger, marking, receipts
from worker.store.receipts import Receipt

NAMES_OF_CUSTOMERS = ("c1", "c2", "c3")
MEMORY = Path("/dev/shm")
"""Where there is no disk to wait for, half of the time: it is processes that die here, never the machine."""
PLACED = frozenset({"added", "updated", "renamed", "moved", "restored"})
OUT = frozenset({"unsubscribed", "cleaned"})


class Promise(RuleBasedStateMachine):
    """Nobody who left is put back or added elsewhere, and at rest everything is explained by receipts.

    Attributes:
        seen: status changes that were checked.
        archived_by_us: place to the status before, of members that the worker archived and nobody touched since.
        left: customer to the place that it left, and how.
        recreated: lists that were deleted and made again.
        renamed: places whose member got another address, or came from another one, by hand.
        vacated: those that a member known to the worker left so, and where nobody is since.
        quiet: whether nobody did anything by hand and no consent was withdrawn.
        before: the customers before an event that came in the middle of a flush.
    """

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="histories-", dir=MEMORY if MEMORY.is_dir() else None))
        self.world = World(self.folder, direct=True)
        self.world.__enter__()
        self.seen = 0
        self.archived_by_us: dict[tuple[str, str], str] = {}
        self.left: dict[str, tuple[str, str, str]] = {}
        self.recreated: set[str] = set()
        self.renamed: set[tuple[str, str]] = set()
        self.vacated: set[tuple[str, str]] = set()
        self.quiet = True
        self.before: list[Customer] | None = None
        self.patch = pytest.MonkeyPatch()

    def teardown(self) -> None:
        """Comes to rest, in every history that held so far, and tidies up."""
        try:
            if sys.exc_info()[0] is None:
                self.at_rest()
                self.no_call_could_change_who_left()
                self.nobody_who_left_is_put_back()
        finally:
            self._tidy()

    def _tidy(self) -> None:
        self.patch.undo()
        self.world.__exit__()
        shutil.rmtree(self.folder)

    # What people do

    def _act(self, email: str, act: str, list_id: str, value: str | None) -> None:
        if list_id in self.world.standin.users["owner"].lists:
            status = self.world.status(email, list_id)
            if (act, status) in (("archive", "archived"), ("unsubscribe", "unsubscribed")):
                return  # nobody can do that, and it says nothing of who took it off before
            if act == "rename" and status not in ("subscribed", "pending"):
                return  # nobody can give another address to a member that left or bounced
        try:
            self.world.by_hand(email, act, list_id, value)
        except (KeyError, ValueError):
            return
        address = str(address_key(email))
        entry = self.world.entry(address, list_id)
        # A member that this worker never saw and that is no more leaves no trace: its add may as well have never been
        # done.
        known = entry is not None and entry.state != "intended"
        self.quiet = False
        if act == "rename":
            self.renamed.add((list_id, address))
            if known:
                self.vacated.add((list_id, address))
        if act == "archive" and entry is not None and entry.state == "present" and entry.status_before is not None:
            # This worker was about to archive it and its answer was lost: nobody can tell that from this act.
            self._is_back(list_id, address)
        elif act in ("unsubscribe", "clean", "archive", "forget", "rename"):
            if known or act not in ("forget", "rename"):
                self.left |= dict.fromkeys(self._known_at(list_id, address), (list_id, address, act))
            else:
                # Nor does what it did before, since nobody read it meanwhile.
                self._is_back(list_id, address)
        elif act == "subscribe":
            self._is_back(list_id, address)
        if act == "rename" and value is not None:
            # Consent belongs to the address, whichever member had it before.
            self._is_back(list_id, str(address_key(value)))
            self.renamed.add((list_id, str(address_key(value))))

    def _is_back(self, list_id: str, address: str) -> None:
        self.left = {one: where for one, where in self.left.items() if where[:2] != (list_id, address)}
        self.vacated.discard((list_id, address))

    def _known_at(self, list_id: str, address: str) -> set[str]:
        # Customers whom this worker knows at a place: an opt-out there is theirs.
        settled = ledger.settled_at(self.world.db, ACCOUNT, [address])  # type: ignore[list-item]
        here = {one.customer_id for one in settled if one.membership is not None and one.membership.list_id == list_id}
        entry = self.world.entry(address, list_id)
        if entry is None or entry.state not in ("intended", "present"):
            return here
        owner = ledger.customer_statuses_of(self.world.db, ACCOUNT, [entry.customer_id])
        # Who went elsewhere has nothing to do any more with a member that another customer took on.
        went = here and owner and owner[0].membership is not None
        return here if went else here | {entry.customer_id}

    # What must hold after every step

    @invariant()
    def no_call_could_change_who_left(self) -> None:
        """No call carries a status that could reach a member that the worker did not itself take off its list."""
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
                ours = [(change.before, change.after) for change in changed if change.cause != BY_HAND]
                archived = any(after == "archived" for _, after in ours)
                # Who had not confirmed is asked again by Mailchimp's mail, and not subscribed.
                asked = body["status"] == "pending" and ("pending", "unsubscribed") in ours
                assert archived or asked, f"a status without our having taken it off the list: {one}"
        audit.calls.clear()

    @invariant()
    def nobody_who_left_is_put_back(self) -> None:
        """No change by a call puts anybody back, or anywhere else, who left."""
        changes = self.world.standin.audit.changes
        for change in changes[self.seen :]:
            membership = change.list_id, str(address_key(change.email))
            ours = change.cause != BY_HAND
            assert not (ours and change.puts_back), f"left, and put back: {change}"
            if ours and change.before in OUT:
                asked = (change.after, self.archived_by_us.get(membership)) == ("pending", "pending")
                assert asked or change.after == "archived", f"left, and put back: {change}"
            if ours and change.before == "cleaned":
                raise AssertionError(f"bounced, and changed: {change}")
            if ours and change.before == "archived":
                assert membership in self.archived_by_us, f"archived by somebody else, and put back: {change}"
                assert change.after in (self.archived_by_us[membership], "unsubscribed"), f"put back better: {change}"
            self.archived_by_us.pop(membership, None)
            never_confirmed = (change.before, change.after) == ("pending", "unsubscribed")
            if ours and (change.after == "archived" or (never_confirmed and not self._withdrawn(membership[1]))):
                self.archived_by_us[membership] = str(change.before)
            if ours and change.after in ("subscribed", "pending") and change.before is None:
                # Whatever became of the answer: by this an opt-out follows.
                assert self.world.entry(membership[1], change.list_id) is not None, f"added, and not known: {change}"
                assert membership not in self.vacated, f"changed its own address, and recreated: {change}"
                self._wanted(change.list_id, membership[1], str(change))
        self.seen, self.before = len(changes), None
        for customer_status in ledger.customer_statuses_of(self.world.db, ACCOUNT, list(self.left)):  # type: ignore[arg-type]
            # An address that bounced keeps nobody from others; with one of these its customer is no more known by it.
            where = self.left[customer_status.customer_id]
            if (
                where[2] == "clean"
                and customer_status.membership is not None
                and customer_status.membership.address != where[1]
            ):
                del self.left[customer_status.customer_id]

    def _withdrawn(self, address: str) -> bool:
        now = customers.by_addresses(self.world.db, ACCOUNT, [address])  # type: ignore[list-item]
        return any(not one.state.marketing_consent for one in (*now, *(self.before or ())) if one.address == address)

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

    @rule()
    def at_rest(self) -> None:
        """Once everything was delivered, receipts explain every customer and the ledger every member."""
        world = self.world
        world.before_call(None)
        for _ in range(6):
            setters.resume(world.db, CHANGELOG, ACCOUNT)
            world.clock.forward(days=8)
            world.run()
            world.run(confirmed=True)
            if not customers.changed_count(world.db, ACCOUNT):
                break
        # Where the answer to the unsubscribing of a pending member was late, it counts as its opt-out.
        nobody_left = self.quiet and not list(receipts.find(world.db, outcomes=["unsubscribed"]))
        for customer in customers.by_ids(world.db, ACCOUNT, NAMES_OF_CUSTOMERS):  # type: ignore[list-item]
            told = world.receipts(customer.customer_id)
            assert told, f"{customer.customer_id} has no receipt"
            last = told[-1]
            assert not customer.changed or last.outcome == "held", f"{customer} waits, and nobody says why: {last}"
            assert last.revision == customer.revision, f"the last receipt is of an older revision: {last}"
            if last.outcome in PLACED:
                self._is_there(last)
            if not (customer.deleted or customer.changed or customer.state.marketing_consent):
                self._is_nowhere(str(customer.address))
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
                marking.mark_changed(world.db, ACCOUNT, None)
            world.run()
            world.run(confirmed=True)
            writes = [one for one in list(calls)[before:] if not one.call.reads_only]
            if not writes:
                return
        raise AssertionError(f"settled, and written again and again: {writes}")

    def _is_nowhere(self, address: str) -> None:
        # Who withdrew consent is on no list that is used, unless somebody put it there by hand since.
        for one in self.world.settings.stored:
            there = (one.list_id, address)
            changes = self.world.standin.audit.changes
            told = [change for change in changes if (change.list_id, address_key(change.email)) == there]
            by_hand = there in self.renamed or not told or told[-1].cause == BY_HAND
            if not by_hand and not one.gone and one.list_id in self.world.standin.users["owner"].lists:
                status = self.world.status(address, one.list_id)
                assert status not in ("subscribed", "pending"), f"consent withdrawn, and {status}: {told[-1]}"

    def _is_there(self, receipt: Receipt) -> None:
        # A receipt agrees with the list, unless somebody changed the member or the list by hand since.
        assert receipt.list_id is not None
        assert receipt.address is not None
        lists_there = self.world.standin.users["owner"].lists
        if receipt.list_id not in lists_there or receipt.list_id in self.recreated:
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
                entries = {entry.membership.list_id: entry for entry in ledger.entries_of(world.db, ACCOUNT, [address])}
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
                customer_status = {s.customer_id for s in ledger.settled_at(world.db, ACCOUNT, [address])}
                related = [c for c in people if c.address == address or c.customer_id in customer_status]
                assert related, f"{member} is on {one.list_id}, for nobody: {entry}"
