"""Forgetting a person undoes no opt-out: a person who left and was erased is added nowhere, by no kind of call."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest

from tests.checked_changelog import CHANGELOG
from tests.integration.flush.world import ACCOUNT, WatchedApp, World
from worker.accounts.forget import forget_person
from worker.cli import forget as command
from worker.cli.context import despite_workers
from worker.errors import WriterFenced
from worker.model import AddressKey
from worker.sqlite.database import Database
from worker.store import customers

EVE, A, B, C = (f"{one}@example.com" for one in ("eve", "a", "b", "c"))


def forget(world: World, email: str) -> dict[str, int]:
    """Erases a person."""
    return forget_person(world.db, CHANGELOG, AddressKey(email), secret=world.app.secret, at=world.clock())


def leave(world: World, act: str, customer: str = "eve", email: str = EVE) -> None:
    """Lets a customer join the master list, leave it, and the worker learn of that."""
    world.event(customer, email)
    world.flush()
    if act == "withdraw":
        world.event(customer, email, marketing_consent=False)
        return
    world.by_hand(email, act)
    world.event(customer, email, first_name="Eve")
    world.flush()
    if act == "archive":
        world.event(customer, email, first_name="Eva")
        world.flush()


@pytest.mark.parametrize("act", ["unsubscribe", "clean", "archive", "withdraw"])
def test_who_left_and_was_forgotten_is_not_added_to_another_list(world: World, act: str):
    """An ordinary event does not subscribe her elsewhere; the receipt says that she left and was erased."""
    leave(world, act)
    forget(world, EVE)
    world.event("eve", EVE, list_id="other")
    world.flush()
    assert world.members("other") == {}
    assert world.outcomes("eve") == ["left"]
    assert "left a list of this account, and has been erased since" in world.receipts("eve")[0].detail
    assert not world.waits("eve")


def test_an_address_that_was_forgotten_is_added_for_no_other_customer(world: World):
    """A forgotten address is added for no other customer, neither alone nor in a batch with others."""
    leave(world, "unsubscribe")
    forget(world, EVE)
    world.event("new", EVE, list_id="other")
    for number in range(3):
        world.event(f"cus-{number}", f"{number}@example.com", list_id="other")
    world.flush()
    assert sorted(world.members("other")) == [f"{number}@example.com" for number in range(3)]
    assert world.outcomes("new") == ["left"]


def test_a_customer_that_was_forgotten_is_not_added_under_another_address(world: World):
    """The opt-out belongs to the customer too."""
    leave(world, "unsubscribe")
    forget(world, EVE)
    world.event("eve", B, list_id="other")
    world.flush()
    assert world.members("other") == {}
    assert world.outcomes("eve") == ["left"]


def test_a_customer_that_was_forgotten_after_a_bounce_is_added_under_another_address(world: World):
    """A bounce concerns the address only, so the address is kept out and the customer is not."""
    leave(world, "clean")
    forget(world, EVE)
    world.event("eve", B, list_id="other")
    world.event("new", EVE, list_id="other")
    world.flush()
    assert world.members("other") == {B: "subscribed"}
    assert world.outcomes("new") == ["left"]


def test_nobody_is_moved_to_an_address_that_was_forgotten(world: World):
    """A member of ours keeps its place, and gets neither that address nor a second member with it."""
    leave(world, "unsubscribe")
    forget(world, EVE)
    world.event("bob", B, list_id="other")
    world.flush()
    world.event("bob", EVE, list_id="other")
    world.flush()
    assert world.members("other") == {B: "subscribed"}
    assert world.outcomes("bob")[-1] == "left"


def test_a_member_at_a_forgotten_address_is_not_restored(world: World):
    """What this worker archived is not put back once somebody with the address left and was erased."""
    leave(world, "unsubscribe")
    forget(world, EVE)
    world.standin.by_hand("other", EVE, "subscribe")
    world.event("new", EVE, list_id="other")
    world.flush()
    assert world.outcomes("new") == ["left"]
    assert world.status(EVE, "other") == "subscribed"


def test_who_did_not_leave_may_be_added_again(world: World):
    """A newer event of a person who was erased and never left is billmywork's decision."""
    world.event("eve", EVE)
    world.flush()
    forget(world, EVE)
    world.event("eve", EVE, list_id="other")
    world.flush()
    assert world.status(EVE, "other") == "subscribed"
    assert world.outcomes("eve") == ["added"]


def test_who_shared_the_address_once_stays_out(world: World):
    """Bob, who shared a@ and left as b@, is not added as c@ after Ann, who has a@, is forgotten."""
    world.event("ann", A)
    world.event("bob", A)
    world.flush()
    world.event("bob", B)
    world.flush()
    world.by_hand(B, "unsubscribe")
    world.event("bob", B, first_name="Bob")
    world.flush()
    assert world.outcomes("bob")[-1] == "updated"
    forget(world, A)
    assert [one.customer_id for one in customers.find_by_address(world.db, AddressKey(B), None)] == ["bob"]
    world.event("bob", C, list_id="other")
    world.flush()
    assert world.status(C) is None
    assert world.members("other") == {}
    assert world.outcomes("bob")[-1] == "left"


def test_who_left_at_the_forgotten_address_before_it_was_anothers_stays_out(world: World):
    """Bob left as a@, which is Ann's now: forgetting her removes the address from his rows, and not his opt-out."""
    leave(world, "unsubscribe", "bob", A)
    world.event("bob", B)
    world.flush()
    world.event("ann", A)
    world.flush()
    forget(world, A)
    told = [value for one in world.receipts("bob") for value in (one.address, one.detail, one.call, str(one.sent))]
    assert world.outcomes("bob")[-1] == "left"
    assert not any(A in (value or "") for value in told)
    world.event("bob", C, list_id="other")
    world.flush()
    assert {**world.members("other"), **world.members()} == {A: "unsubscribed"}


def test_the_plan_shows_no_call_for_who_was_forgotten(world: World):
    """What a flush would do is decided by the same hashes."""
    leave(world, "unsubscribe")
    forget(world, EVE)
    world.event("eve", EVE, list_id="other")
    assert [one for one in world.plan().calls() if not one.call.reads_only] == []


def test_the_rule_holds_for_one_account_alone(world: World):
    """An address that was forgotten in one account may be added in another."""
    leave(world, "unsubscribe")
    forget(world, EVE)
    departed = world.app.departed_of(world.db, ACCOUNT)
    assert departed.has_address(AddressKey(EVE))
    other = type(departed)(type(ACCOUNT)("acct-2"), departed.key, departed.digests)
    assert not other.has_address(AddressKey(EVE))


def test_what_the_running_worker_erased_is_told_where_the_command_begins_again(
    world: World, monkeypatch: pytest.MonkeyPatch
):
    """A worker with this database that fenced the command carries its request out: those rows count too."""
    world.event("eve", EVE)
    world.flush()
    real = forget_person

    @contextmanager
    def changing(app: WatchedApp, accounts: object) -> Iterator[Database]:
        with closing(app.open_database()) as db:
            yield db

    def fenced(*given: Any, **more: Any) -> dict[str, int]:
        monkeypatch.setattr(command, "forget_person", real)
        real(*given, **more)
        raise WriterFenced("Another worker took over partition 1.", "Try again.")

    monkeypatch.setattr(command, "changing", changing)
    monkeypatch.setattr(command, "forget_person", fenced)
    erasing = command._Erasing(world.app, AddressKey(EVE), world.clock(), archive=False)
    despite_workers(erasing.carry_out)
    assert erasing.deleted == {"receipts": 1, "places": 2, "customers": 1, "dead letters": 0}
