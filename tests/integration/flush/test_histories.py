"""The proof: whatever happens in whatever order, nobody who left is put back, and at rest everything is explained."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule

from tests import setters
from tests.checked_changelog import CHANGELOG
from tests.integration.flush.promise import NAMES_OF_CUSTOMERS, Promise
from tests.integration.flush.world import ACCOUNT
from worker.flush import account_flush, brake
from worker.mailchimp.calls import Call
from worker.model import ListId, address_key
from worker.plan.related_customers import chunks
from worker.sandbox.faults import Fault
from worker.store import customers, marking, refusals

CUSTOMERS = st.sampled_from(NAMES_OF_CUSTOMERS)
ADDRESSES = st.sampled_from(["a@example.com", "b@example.com", "c@example.com", "B@Example.com"])
HANDS = st.sampled_from(["subscribe", "confirm", "unsubscribe", "clean", "archive", "forget", "rename"])
LISTS = st.sampled_from([None, "master", "other", "other", "spare"])
NAMES = st.sampled_from(["Ann", "Bob", None])
KINDS = st.sampled_from(["status", "bare", "cut", "timeout_before", "timeout_after", "page", "garbled", "lacking"])


class Crash(BaseException):
    """The process dies here."""


class Histories(Promise):
    """Events, acts by hand, faults, deaths and lists that come and go, with flushes in between."""

    @initialize(double=st.booleans(), chunk=st.sampled_from([1, 2, 4000]), few=st.sampled_from([0, 10]))
    def begin(self, double: bool, chunk: int, few: int) -> None:
        if double:
            setters.enable(self.world.db, CHANGELOG, ACCOUNT, "pending")
        self.patch.setattr(account_flush, "chunks", partial(chunks, size=chunk))
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
            setters.resume(world.db, CHANGELOG, ACCOUNT)
        elif what == "list goes" and there and world.settings.master_list != "other":
            world.standin.delete_list("other")
            # Nobody can tell any more who left it: the ledger's last word counts.
            self.left = {one: where for one, where in self.left.items() if where[0] != "other"}
            self.vacated = {where for where in self.vacated if where[0] != "other"}
            self.quiet = False
        elif what == "list comes" and not there:
            world.standin.create_list("owner", "other", "Other anew")
            self.recreated.add("other")

    @rule(what=st.sampled_from(["resync", "clear suppressed", "subscribed", "pending"]), email=ADDRESSES)
    def operator(self, what: str, email: str) -> None:
        db = self.world.db
        if what in ("subscribed", "pending"):
            setters.enable(db, CHANGELOG, ACCOUNT, what)  # type: ignore[arg-type]
            return
        with db.transaction():
            if what == "clear suppressed":
                refusals.clear(db, ACCOUNT, [*refusals.clearable(db, ACCOUNT, address_key(email))])
            marking.mark_changed(db, ACCOUNT, address_key(email) if what == "clear suppressed" else None)

    @rule(stored=st.sampled_from([("master",), ("master", "other"), ("master", "spare")]))
    def store(self, stored: tuple[str, ...]) -> None:
        known = [one for one in stored if self.world.settings.list_of(one) is not None]
        there = [ListId(one) for one in known if not self.world.settings.list_of(one).gone]  # type: ignore[union-attr]
        master = self.world.settings.master_list
        assert master is not None
        setters.store(self.world.db, CHANGELOG, ACCOUNT, {*there, master})

    @rule(list_id=st.sampled_from(["master", "other", "spare"]))
    def choose_master(self, list_id: str) -> None:
        there = list_id in self.world.standin.users["owner"].lists  # else nothing is delivered
        if there and any(one.list_id == list_id and not one.gone for one in self.world.settings.stored):
            setters.choose_master(self.world.db, CHANGELOG, ACCOUNT, ListId(list_id))


PARTS = 4
SETTINGS = settings(
    max_examples=int(os.environ.get("HISTORIES", "60")) // PARTS,
    stateful_step_count=40,
    # The same in each run of make test; HISTORIES=1000 and make soak draw new ones.
    derandomize="HISTORIES" not in os.environ,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    print_blob=True,
    # A failing history is printed as it came; SHRINK=1 looks for a shorter one, which takes minutes.
    phases=tuple(Phase) if os.environ.get("SHRINK") else (Phase.explicit, Phase.reuse, Phase.generate),
)


def part(number: int) -> Any:
    """Returns a part of the histories, so that processes run the parts side by side."""
    machine: Any = type(f"Histories{number}", (Histories,), {})  # by its name Hypothesis draws others for each
    test = machine.TestCase
    test.settings = SETTINGS
    test.__doc__ = "Random histories never put back somebody who left, and leave every customer explained."
    return test


FirstHistoriesTest, SecondHistoriesTest, ThirdHistoriesTest, FourthHistoriesTest = map(part, range(PARTS))


@pytest.mark.soak
class LongHistoriesTest(Histories.TestCase):  # type: ignore[misc,name-defined]
    """The same, for many minutes."""

    settings = settings(SETTINGS, max_examples=20_000, derandomize=False)


pytestmark = pytest.mark.timeout(900)
