"""Who left a list before any customer had that address is added to no other list either, once a customer has it."""

from __future__ import annotations

import base64

import pytest

from tests import setters
from tests.checked_changelog import CHANGELOG
from tests.integration.flush.world import ACCOUNT, World
from worker.accounts import api_keys, forget, lists
from worker.accounts.secrets import parsed
from worker.cli import drift
from worker.cli.progress import Progress
from worker.errors import SecretKeyError
from worker.mailchimp.calls import Call, read
from worker.model import AccountId, AddressKey, ListId, MembershipKey
from worker.sandbox.faults import Fault
from worker.store import accounts, forgotten

pytestmark = pytest.mark.world(direct=True)
ANN, BOB, DOT = (f"{name}@example.com" for name in ("ann", "bob", "dot"))


def leaves(world: World, email: str = ANN, act: str = "unsubscribe", list_id: str = "other") -> None:
    """Somebody whom no customer has leaves a list."""
    world.by_hand(email, "subscribe", list_id)
    world.by_hand(email, act, list_id)
    world.clock.forward(hours=1)  # later readings begin ten minutes before earlier ones


def rows(world: World) -> list[tuple[object, ...]]:
    """All that is kept of strangers."""
    return [tuple(row) for row in world.db.execute("SELECT * FROM departed_stranger").fetchall()]


def listings(world: World) -> list[str]:
    """The statuses of the readings of the list that a stranger left, since the last flush began."""
    return [
        one.query.get("status", "all")
        for one in world.calls()
        if one.path == "/lists/other/members" and "members.email_address" in one.query.get("fields", "")
    ]


def reads_member(world: World) -> bool:
    """Whether the stranger's member was read alone."""
    return read(MembershipKey(ListId("other"), AddressKey(ANN))).path in [one.path for one in world.calls()]


@pytest.mark.parametrize("reading", ["daily", "read_back", "flush"])
@pytest.mark.parametrize("act", ["unsubscribe", "clean", "archive"])
def test_who_left_before_a_customer_had_the_address_is_not_added_elsewhere(world: World, act: str, reading: str):
    """The departure was read before there was a customer: now the member is read, and the receipt names its list."""
    leaves(world, act=act)
    if reading == "flush":
        world.event("bob", BOB)
    getattr(world, reading)()
    assert len(rows(world)) == 1
    assert world.entry(ANN, "other") is None
    world.event("ann", ANN)
    world.flush()
    assert world.status(ANN) is None
    assert reads_member(world)
    [receipt] = world.receipts("ann")
    assert (receipt.outcome, receipt.list_id) == ("left", "other")
    assert f"is {world.status(ANN, 'other')} on list other" in receipt.detail
    assert (receipt.call or "").startswith("GET /lists/other/members/")
    entry = world.entry(ANN, "other")
    assert entry is not None
    assert (entry.customer_id, entry.member_status) == ("ann", world.status(ANN, "other"))
    world.by_hand(ANN, "subscribe", "other")
    world.daily()
    assert world.status(ANN) == "subscribed"


@pytest.mark.parametrize("whole", [True, False], ids=["all members", "departures"])
def test_who_is_subscribed_again_by_now_is_added(world: World, whole: bool):
    """The hash only leads to a read; a reading of all members removes it, and one of departures cannot."""
    leaves(world)
    if whole:
        world.daily()
    else:
        world.event("bob", BOB)
        world.flush()
    assert len(rows(world)) == 1
    world.by_hand(ANN, "subscribe", "other")
    world.event("ann", ANN)
    world.flush()
    assert rows(world) == [] if whole else len(rows(world)) == 1
    assert reads_member(world) != whole
    assert (world.status(ANN), world.status(ANN, "other")) == ("subscribed", "subscribed")
    assert world.entry(ANN, "other") is None


def test_a_form_that_nobody_confirmed_ends_no_departure_of_a_stranger(world: World):
    """Anybody can fill it in: until it is confirmed, the address goes on no other list."""
    leaves(world)
    world.daily()
    world.by_hand(ANN, "sign up", "other")
    world.daily()
    world.event("ann", ANN)
    world.flush()
    assert (world.status(ANN), world.status(ANN, "other")) == (None, "pending")


@pytest.mark.parametrize("change", ["address", "list"])
def test_a_customer_that_comes_to_a_strangers_address_is_not_put_there(world: World, change: str):
    """Neither by a new address, nor as another customer of the list that the stranger left."""
    leaves(world, list_id="other")
    world.daily()
    world.event("bob", BOB if change == "address" else ANN, list_id="master" if change == "address" else "other")
    world.flush()
    world.event("bob", ANN)
    world.flush()
    assert world.status(ANN) is None
    assert "left" in world.outcomes("bob")


@pytest.mark.parametrize("known", [True, False])
def test_who_comes_to_a_strangers_address_and_another_list_leaves_the_old_member(world: World, known: bool):
    """It is archived, as nobody has its address any more, whether or not the departure was read before the change."""
    world.standin.create_list("owner", "third", "Third")
    world.refresh()
    setters.store(world.db, CHANGELOG, ACCOUNT, [ListId("master"), ListId("other"), ListId("third")])
    world.event("bob", BOB)
    world.daily()
    if known:
        leaves(world, list_id="third")
        world.daily()
    world.event("bob", ANN, list_id="other")
    if not known:
        leaves(world, list_id="third")
    world.daily()
    assert (world.status(BOB), world.status(ANN, "other")) == ("archived", None)
    assert world.outcomes("bob")[-2:] == ["left", "archived"]


def test_a_member_that_was_deleted_since_keeps_the_address_off(world: World):
    """Who left and was then deleted for good has left."""
    leaves(world)
    world.daily()
    world.by_hand(ANN, "forget", "other")
    world.event("ann", ANN)
    world.flush()
    assert world.status(ANN) is None
    assert world.outcomes("ann") == ["left"]


def test_if_the_member_cannot_be_read_its_customer_waits(world: World):
    """Nobody is added by a guess."""
    leaves(world)
    world.daily()
    path = read(MembershipKey(ListId("other"), AddressKey(ANN))).path
    world.event("ann", ANN)

    def fails(call: Call) -> None:
        if call.path == path:
            world.standin.faults = [Fault("status", status=503)]

    world.before_call(fails)
    world.flush()
    world.before_call(None)
    world.standin.faults = []
    assert (world.status(ANN), world.waits("ann")) == (None, True)
    world.flush()
    assert (world.status(ANN), world.outcomes("ann")[-1]) == (None, "left")


@pytest.mark.parametrize("lost", ["database", "key", "behind"])
def test_hashes_that_are_lost_are_read_again_from_mailchimp(world: World, lost: str):
    """A worker that lacks them, or has another key, reads everyone again, once, before it adds newcomers."""
    leaves(world)
    world.daily()
    with world.db.transaction():
        if lost == "database":
            world.db.execute("DELETE FROM departed_stranger")
            world.db.execute("DELETE FROM departed_list")
        elif lost == "key":
            world.db.execute("UPDATE departed_list SET hashed_with = 'another'")
            world.db.execute("UPDATE departed_stranger SET digest = digest + 1")
        else:  # another worker read it since
            world.db.execute("DELETE FROM departed_stranger")
            world.db.execute("UPDATE departed_list SET read_at = '2026-11-01T10:00:00.000Z'")
    world.daily()
    departures = ["unsubscribed", "cleaned", "archived"] if lost == "behind" else []
    assert listings(world) == [*departures, "all", "archived"]
    assert len(rows(world)) == 1
    world.daily()
    assert listings(world) == ["all", "archived"]
    assert len(rows(world)) == 1
    world.event("ann", ANN)
    world.flush()
    assert world.status(ANN) is None


@pytest.mark.parametrize("once", [True, False])
def test_another_worker_reads_who_left_a_list_that_is_no_longer_stored(world: World, once: bool):
    """It has no hashes of that list. It reads it once, and none that was never stored."""
    if not once:
        setters.store(world.db, CHANGELOG, ACCOUNT, [ListId("master")])
    leaves(world)
    world.daily()
    setters.store(world.db, CHANGELOG, ACCOUNT, [ListId("master")])
    with world.db.transaction():
        world.db.execute("DELETE FROM departed_stranger")
        world.db.execute("DELETE FROM departed_list")
    world.event("ann", ANN)
    planned = {planned.call.path for planned in world.plan().calls()}
    world.flush()
    assert {call.path for call in world.calls()} <= planned
    assert world.status(ANN) == (None if once else "subscribed")
    world.event("dot", DOT)
    world.flush()
    assert (world.status(DOT), listings(world)) == ("subscribed", [])


def test_a_first_flush_by_command_knows_who_left_the_other_lists(world: World):
    """Though no daily flush has read them, it reads departures of the others before it adds a newcomer."""
    leaves(world)
    world.event("ann", ANN)
    planned = [str(one.call) for one in world.plan().calls()]
    world.flush()
    assert world.status(ANN) is None
    assert "left" in world.outcomes("ann")
    assert listings(world) == ["unsubscribed", "cleaned", "archived"]
    assert [str(one) for one in world.calls() if str(one) not in planned] == []


def test_a_command_adds_nobody_while_another_list_cannot_be_read(world: World):
    """Mailchimp says "later" for the departures of the other list: newcomers wait."""
    leaves(world)
    world.event("ann", ANN)
    world.event("bob", BOB)

    def fails(call: Call) -> None:
        if call.path == "/lists/other/members":
            world.standin.faults = [Fault("status", status=503)]

    world.before_call(fails)
    part = world.flush()
    world.before_call(None)
    world.standin.faults = []
    assert (world.members(), part.ended) == ({}, "failed")
    assert (world.outcomes("ann"), world.outcomes("bob")) == (["held"], ["held"])
    world.flush()
    assert world.members() == {BOB: "subscribed"}


def test_an_account_with_one_stored_list_reads_no_other(world: World):
    """Newcomers there cost no further call."""
    setters.store(world.db, CHANGELOG, ACCOUNT, [ListId("master")])
    world.event("ann", ANN)
    world.flush()
    assert [one.path for one in world.calls() if "members.email_address" in one.query.get("fields", "")] == []
    assert world.status(ANN) == "subscribed"


def test_a_plan_shows_the_read_of_a_strangers_member(world: World):
    """The calls of a plan are those of the flush: readings, and the member that a stranger left."""
    leaves(world)
    world.daily()
    world.event("ann", ANN)
    planned = [str(one.call) for one in world.plan().calls()]
    world.flush()
    assert [str(one) for one in world.calls() if str(one) not in planned] == []
    assert reads_member(world)


@pytest.mark.parametrize("rekeyed", [False, True])
def test_who_left_a_list_that_is_gone_since_is_not_added_elsewhere(world: World, rekeyed: bool):
    """Then nothing can be read, and the hash alone decides; it survives a change of the secret key."""
    leaves(world)
    world.daily()
    if rekeyed:
        new = parsed(base64.b64encode(b"n" * 32).decode(), "WORKER_SECRET_KEY")
        api_keys.rekey(world.db, CHANGELOG, world.app.secret, new)
        world.app.__dict__["secret"] = new
    world.standin.delete_list("other")
    world.refresh()
    world.event("ann", ANN)
    world.flush()
    assert world.status(ANN) is None
    assert world.outcomes("ann") == ["left"]


def test_another_secret_key_replaces_no_hashes_by_a_comparison_of_whole_lists(world: World):
    """`resync --from-mailchimp` first decrypts the API key, so a wrong secret key ends it and changes nothing."""
    leaves(world)
    world.daily()
    key, strangers = forgotten.encrypted_key(world.db), rows(world)
    world.app.__dict__["secret"] = parsed(base64.b64encode(b"n" * 32).decode(), "WORKER_SECRET_KEY")
    with pytest.raises(SecretKeyError):
        list(drift.differences(world.app, world.db, ACCOUNT, world.stop, Progress(), writes=True))
    assert (forgotten.encrypted_key(world.db), rows(world)) == (key, strangers)


def test_the_hashes_count_once_another_account_has_stored_the_list(world: World):
    """Who left the list while it was this account's is added to no other list of it."""
    leaves(world)
    world.daily()
    setters.store(world.db, CHANGELOG, ACCOUNT, [ListId("master")])
    second, secret, at = AccountId("second"), world.app.secret, world.clock()
    with_ = {"secret": secret, "open_sender": world.app.open_client, "at": at}
    api_keys.connect(world.db, CHANGELOG, second, "0123456789abcdef0123456789abcdef-us1", **with_)  # type: ignore[arg-type]
    setters.enable(world.db, CHANGELOG, second)
    lists.refresh(world.db, CHANGELOG, second, **with_)  # type: ignore[arg-type]
    setters.store(world.db, CHANGELOG, second, [ListId("other")])
    world.event("ann", ANN)
    world.daily()
    assert (world.status(ANN), world.outcomes("ann")) == (None, ["left"])


def test_forgetting_the_account_removes_the_hashes(world: World):
    """Nothing of an erased account's strangers stays."""
    leaves(world)
    leaves(world, DOT)
    world.daily()
    assert len(rows(world)) == 2
    forget.forget_account(world.db, CHANGELOG, ACCOUNT)
    assert rows(world) == []
    assert not world.db.exists("departed_list")
    assert accounts.find(world.db, ACCOUNT) is None
