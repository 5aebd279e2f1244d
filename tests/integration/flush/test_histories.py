"""The proof: whatever happens in whatever order, nobody who left is put back, and at rest everything is explained."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.integration.flush.world import ACCOUNT, World
from worker.accounts import lists
from worker.accounts import settings as account_settings
from worker.flushing import deliver
from worker.flushing.doing import brake
from worker.flushing.neighbourhood import chunks
from worker.mailchimp.call import Call
from worker.model import Customer, ListId, address_key
from worker.sandbox.audit import BY_HAND, LoggedCall
from worker.sandbox.faults import Fault
from worker.staging import customers, ledger, receipts
from worker.staging.receipts import Receipt

NAMES_OF_CUSTOMERS = ("c1", "c2", "c3")
CUSTOMERS = st.sampled_from(NAMES_OF_CUSTOMERS)
ADDRESSES = st.sampled_from(["a@example.com", "b@example.com", "c@example.com", "B@Example.com"])
HANDS = st.sampled_from(["subscribe", "confirm", "unsubscribe", "clean", "archive", "forget", "rename"])
LISTS = st.sampled_from([None, "master", "other", "other", "spare"])
NAMES = st.sampled_from(["Ann", "Bob", None])
KINDS = st.sampled_from(["status", "bare", "cut", "timeout_before", "timeout_after", "garbled", "lacking"])
MEMORY = Path("/dev/shm")
"""Where there is no disk to wait for, half of the time: it is processes that die here, never the machine."""
PLACED = frozenset({"added", "updated", "renamed", "moved", "restored"})
OUT = frozenset({"unsubscribed", "cleaned"})


class Crash(BaseException):
    """The process dies here."""


class Histories(RuleBasedStateMachine):
    """Events, acts by hand, faults, deaths and lists that come and go, with flushes in between."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="histories-", dir=MEMORY if MEMORY.is_dir() else None))
        self.world = World(self.folder, direct=True)
        self.world.__enter__()
        self.seen = 0
        self.archived_by_us: dict[tuple[str, str], str] = {}
        self.left: dict[str, tuple[str, str, str]] = {}
        self.made_anew: set[str] = set()
        self.renamed: set[tuple[str, str]] = set()
        self.vacated: set[tuple[str, str]] = set()
        self.quiet = True
        self.before: list[Customer] | None = None
        self.patch = pytest.MonkeyPatch()

    def teardown(self) -> None:
        try:
            if sys.exc_info()[0] is None:
                # Every history that held so far comes to rest.
                self.at_rest()
                self.no_call_could_change_who_left()
                self.nobody_who_left_is_put_back()
        finally:
            self._tidy()

    def _tidy(self) -> None:
        self.patch.undo()
        self.world.__exit__()
        shutil.rmtree(self.folder)

    @initialize(double=st.booleans(), chunk=st.sampled_from([1, 2, 4000]), few=st.sampled_from([0, 50]))
    def begin(self, double: bool, chunk: int, few: int) -> None:
        if double:
            account_settings.enable(self.world.db, ACCOUNT, "pending")
        self.patch.setattr(deliver, "chunks", partial(chunks, size=chunk))
        self.patch.setattr(brake, "FEW", few)

    @rule(
        customer=CUSTOMERS,
        email=ADDRESSES,
        list_id=LISTS,
        name=NAMES,
        consent=st.sampled_from([True, True, True, True, None, False]),
        flushed=st.booleans(),
    )
    def event(
        self, customer: str, email: str, list_id: str | None, name: str | None, consent: bool | None, flushed: bool
    ) -> None:
        self.quiet = self.quiet and consent is not False
        self.world.event(customer, email, list_id=list_id, first_name=name, marketing_consent=consent)
        if flushed:
            self.world.run()

    @rule(customer=CUSTOMERS, email=ADDRESSES, flushed=st.booleans())
    def another_address(self, customer: str, email: str, flushed: bool) -> None:
        self.event(customer, email, None, "Ann", True, flushed)

    @rule(customer=CUSTOMERS, email=st.sampled_from([None, "", "no address", "fake@wrong.invalid"]))
    def bad_address(self, customer: str, email: str | None) -> None:
        self.world.event(customer, email)

    @rule(customer=CUSTOMERS, email=ADDRESSES, flushed=st.booleans())
    def delete(self, customer: str, email: str, flushed: bool) -> None:
        self.world.deleted(customer, email)
        if flushed:
            self.world.run()

    @rule(email=ADDRESSES, list_id=st.sampled_from(["master", "other"]))
    def signs_up(self, email: str, list_id: str) -> None:
        self._act(email, "subscribe", list_id, None)

    @rule(pick=st.integers(0, 50), act=HANDS, value=ADDRESSES)
    def by_hand(self, pick: int, act: str, value: str) -> None:
        lists_there = self.world.standin.users["owner"].lists
        members = sorted((one, email) for one in lists_there for email in self.world.members(one))
        if members:
            list_id, email = members[pick % len(members)]
            self._act(email, act, list_id, value)

    @rule(pick=st.integers(0, 50))
    def is_back_and_archived_again(self, pick: int) -> None:
        self.by_hand(pick, "subscribe", "")
        self.by_hand(pick, "archive", "")

    @rule(pick=st.integers(0, 50))
    def leaves(self, pick: int) -> None:
        self.by_hand(pick, "unsubscribe", "")

    def _act(self, email: str, act: str, list_id: str, value: str | None) -> None:
        if list_id in self.world.standin.users["owner"].lists:
            status = self.world.status(email, list_id)
            if act == "archive" and status == "archived":
                return  # nobody can do that, and it says nothing of who archived it before
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
                self.left |= dict.fromkeys(self._standing_at(list_id, address), (list_id, address, act))
        elif act == "subscribe":
            self._is_back(list_id, address)
        if act == "rename" and value is not None:
            # Consent belongs to the address, whichever member had it before.
            self._is_back(list_id, str(address_key(value)))

    def _is_back(self, list_id: str, address: str) -> None:
        self.left = {one: where for one, where in self.left.items() if where[:2] != (list_id, address)}
        self.vacated.discard((list_id, address))

    def _standing_at(self, list_id: str, address: str) -> set[str]:
        # Customers whom this worker knows at a place: an opt-out there is theirs.
        settled = ledger.settled_at(self.world.db, ACCOUNT, [address])  # type: ignore[list-item]
        here = {one.customer_id for one in settled if one.place is not None and one.place.list_id == list_id}
        entry = self.world.entry(address, list_id)
        if entry is None or entry.state not in ("intended", "present"):
            return here
        owner = ledger.standings_of(self.world.db, ACCOUNT, [entry.customer_id])
        # Who went elsewhere has nothing to do any more with a member that another customer took on.
        went = here and owner and owner[0].place is not None
        return here if went else here | {entry.customer_id}

    @rule()
    def flush(self) -> None:
        self.world.run()

    @rule(kind=KINDS, method=st.sampled_from([".*", "POST", "PUT", "PATCH", "DELETE", "GET"]), times=st.integers(1, 4))
    def flush_with_faults(self, kind: str, method: str, times: int) -> None:
        self._faults(kind, method, times)
        self.world.run()
        self.world.standin.faults = []

    @rule(kind=KINDS, method=st.sampled_from(["POST|PUT", "PATCH", "DELETE"]), calls=st.integers(2, 12))
    def flush_with_a_fault_and_a_death(self, kind: str, method: str, calls: int) -> None:
        self._faults(kind, method, 1)
        self._ended_early(calls, die=True)
        self.world.standin.faults = []

    def _faults(self, kind: str, method: str, times: int) -> None:
        self.world.standin.faults = [Fault(kind, method=method, times=times, status=403 if kind == "bare" else 500)]  # type: ignore[arg-type]

    @rule(
        customer=CUSTOMERS,
        email=ADDRESSES,
        list_id=LISTS,
        consent=st.sampled_from([True, True, False]),
        calls=st.integers(1, 12),
    )
    def event_while_flushing(self, customer: str, email: str, list_id: str | None, consent: bool, calls: int) -> None:
        left = [calls]
        self.quiet = self.quiet and consent
        self.before = customers.by_ids(self.world.db, ACCOUNT, NAMES_OF_CUSTOMERS)  # type: ignore[arg-type]

        def due(call: Call) -> bool:
            left[0] -= 1
            return left[0] == 0

        self._while_flushing(
            due, lambda call: self.world.event(customer, email, list_id=list_id, marketing_consent=consent)
        )

    @rule(pick=st.integers(0, 50), act=HANDS, value=ADDRESSES, reads=st.integers(1, 4))
    def by_hand_while_flushing(self, pick: int, act: str, value: str, reads: int) -> None:
        # Right before a member is looked at for the first time: later is too late for anybody to notice.
        left, seen = [reads], set[str]()

        def due(call: Call) -> bool:
            new = call.method == "GET" and "/members/" in call.path and call.path not in seen
            seen.add(call.path)
            left[0] -= new
            return new and left[0] == 0

        def do(call: Call) -> None:
            _, _, list_id, _, member_id = call.path.split("/")
            there = self.world.standin.users["owner"].lists.get(list_id)
            if there is not None and member_id in there.members:
                self._act(there.members[member_id].email, act, list_id, value)

        self._while_flushing(due, do)

    def _while_flushing(self, due: Callable[[Call], bool], act: Callable[[Call], None]) -> None:
        lock = threading.Lock()

        def acting(call: Call) -> None:
            with lock:
                if not due(call):
                    return
                # A connection belongs to one thread.
                own, self.world.db = self.world.db, self.world.app.open_database()
                try:
                    act(call)
                finally:
                    self.world.db.close()
                    self.world.db = own

        self.world.before_call(acting)
        self.world.run()
        self.world.before_call(None)

    @rule(calls=st.integers(0, 12), die=st.booleans())
    def flush_ended_early(self, calls: int, die: bool) -> None:
        self._ended_early(calls, die=die)

    def _ended_early(self, calls: int, *, die: bool) -> None:
        left = [calls]

        def count(call: Call) -> None:
            left[0] -= 1
            if left[0] < 0:
                self.world.stop.set()
                if die:
                    raise Crash

        self.world.before_call(count)
        try:
            self.world.run()
        except Crash:
            pass
        finally:
            self.world.before_call(None)
            self.world.stop.clear()

    @rule(what=st.sampled_from(["restart", "days go by", "refresh", "resume", "list goes", "list comes"]))
    def something_else(self, what: str) -> None:
        world = self.world
        there = "other" in world.standin.users["owner"].lists
        if what == "restart":
            world.db.close()
            world.db = world.app.open_database()
        elif what == "days go by":
            world.clock.forward(days=2)
        elif what == "refresh":
            world.refresh()
        elif what == "resume":
            account_settings.resume(world.db, ACCOUNT)
        elif what == "list goes" and there and world.settings.master_list != "other":
            world.standin.delete_list("other")
            # Nobody can tell any more who left it: the ledger's last word counts.
            self.left = {one: where for one, where in self.left.items() if where[0] != "other"}
            self.vacated = {where for where in self.vacated if where[0] != "other"}
            self.quiet = False
        elif what == "list comes" and not there:
            world.standin.create_list("owner", "other", "Other anew")
            self.made_anew.add("other")

    @rule(what=st.sampled_from(["resync", "clear suppressed", "subscribed", "pending"]), email=ADDRESSES)
    def operator(self, what: str, email: str) -> None:
        db = self.world.db
        if what in ("subscribed", "pending"):
            account_settings.enable(db, ACCOUNT, what)  # type: ignore[arg-type]
            return
        with db.transaction():
            if what == "clear suppressed":
                ledger.clear_refusals(db, ACCOUNT, address_key(email))
            customers.mark_changed(db, ACCOUNT, address_key(email) if what == "clear suppressed" else None)

    @rule(stored=st.sampled_from([("master",), ("master", "other"), ("master", "spare")]))
    def store(self, stored: tuple[str, ...]) -> None:
        known = [one for one in stored if self.world.settings.list_of(one) is not None]
        there = [ListId(one) for one in known if not self.world.settings.list_of(one).gone]  # type: ignore[union-attr]
        master = self.world.settings.master_list
        assert master is not None
        lists.store(self.world.db, ACCOUNT, {*there, master})

    @rule(list_id=st.sampled_from(["master", "other", "spare"]))
    def choose_master(self, list_id: str) -> None:
        there = list_id in self.world.standin.users["owner"].lists  # else nothing is delivered
        if there and any(one.list_id == list_id and not one.gone for one in self.world.settings.stored):
            lists.choose_master(self.world.db, ACCOUNT, ListId(list_id))

    # What must hold after every step

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
                customers.mark_changed(world.db, ACCOUNT, None)
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
            if told and told[-1].cause != BY_HAND and not one.gone and one.list_id not in self.made_anew:
                assert told[-1].after not in ("subscribed", "pending"), f"consent withdrawn, and a member: {told[-1]}"

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
