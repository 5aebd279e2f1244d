"""Many members that would leave a list wait for an operator, who confirms what was shown and no more."""

from functools import partial

import pytest

from tests import setters
from tests.checked_changelog import CHANGELOG
from tests.integration.flush.world import ACCOUNT, Everybody, World
from worker.clock import as_text
from worker.flush import account_flush, brake
from worker.mailchimp.calls import Call
from worker.model import ListId
from worker.plan.outcomes import NEXT_FLUSH
from worker.plan.related_customers import chunks
from worker.sandbox.audit import BY_HAND
from worker.store import held_counts, runs
from worker.store.run_result import RunResult


def address(number: int) -> str:
    """A customer's address."""
    return f"c{number}@example.com"


def added(world: World, many: int) -> None:
    """Customers that are members."""
    for number in range(many):
        world.event(f"c{number}", address(number))
    world.run()


def deleted(world: World, numbers: range) -> None:
    """Deletes customers."""
    for number in numbers:
        world.deleted(f"c{number}", address(number))


def archived(world: World) -> int:
    """How many members are archived."""
    return list(world.members().values()).count("archived")


def test_many_departures_are_held_until_they_are_confirmed(world: World, caplog: pytest.LogCaptureFixture):
    """More than ten members, and more than a tenth, wait for an operator, and nothing else does; it is logged."""
    added(world, 60)
    deleted(world, range(60))
    world.event("new", "new@example.com")
    part = world.flush()
    assert archived(world) == 0
    assert world.status("new@example.com") == "subscribed"
    assert "60 members" in (part.message or "")
    (warned,) = [vars(one) for one in caplog.records if "brake" in one.getMessage()]
    assert (warned["levelname"], warned["list"], warned["what"], warned["count"]) == (
        "WARNING",
        "master",
        "departures",
        60,
    )
    assert "--confirm" in (part.message or "")
    world.flush()
    assert world.outcomes("c1")[:2] == ["added", "held"]
    assert world.flush(confirmed=True).message is None
    assert archived(world) == 60


def test_ten_or_a_tenth_may_leave_in_one_run(world: World):
    """Ten of a small list leave at once, and a tenth of a large one."""
    added(world, 120)
    deleted(world, range(12))
    assert world.flush().message is None
    assert archived(world) == 12


def test_a_small_list_is_not_emptied_by_another_master_list(world: World):
    """Forty members that would all move to another list are held, and stay where they are until confirmed."""
    added(world, 40)
    setters.choose_master(world.db, CHANGELOG, ACCOUNT, ListId("other"))
    part = world.flush()
    assert "40 members" in (part.message or "")
    assert part.counts == {"held": 40}  # customers, though each has a receipt for each list
    assert world.members("other") == {}
    assert archived(world) == 0
    world.flush(confirmed=True)
    assert archived(world) == 40
    assert list(world.members("other").values()) == ["subscribed"] * 40


def test_deletions_that_come_during_a_flush_are_counted(world: World, monkeypatch: pytest.MonkeyPatch):
    """A plan summary from before them admits nobody: each departure is counted as it happens."""
    monkeypatch.setattr(account_flush, "chunks", partial(chunks, size=20))
    added(world, 200)
    deleted(world, range(1))
    came: list[int] = []

    def during(call: Call) -> None:
        if call.method == "DELETE" and not came:
            came.append(1)
            own, world.db = world.db, world.app.open_database()
            deleted(world, range(100, 200))
            world.db.close()
            world.db = own

    world.before_call(during)
    part = world.flush()
    world.before_call(None)
    assert archived(world) <= 20
    assert "members would leave list Master (master) in one run" in (part.message or "")


def test_withdrawn_consent_is_never_held(world: World):
    """However many withdraw consent at once, all of them are unsubscribed, no matter who added them."""
    mailing_list = world.standin.find_list("master")
    added(world, 30)
    for number in range(30):
        world.event(f"c{number}", address(number), marketing_consent=False)
    for number in range(30, 60):
        mailing_list.insert(address(number), "subscribed", {}, BY_HAND)
        world.event(f"c{number}", address(number), marketing_consent=False)
    assert world.flush().message is None
    assert set(world.members().values()) == {"unsubscribed"}
    assert not world.waits("c1")


def test_what_comes_after_the_notice_is_not_confirmed(world: World):
    """Confirmed is the number that was shown; deletions published after it wait for a notice of their own."""
    added(world, 110)
    deleted(world, range(70))
    world.flush()
    deleted(world, range(70, 106))
    part = world.flush(confirmed=True)
    assert archived(world) == 70
    assert "36 members" in (part.message or "")
    world.flush(confirmed=True)
    assert archived(world) == 106


def test_what_another_flush_shows_after_the_confirmation_is_not_confirmed(world: World):
    """A flush between the confirmation and the run that carries it out shows more, which nobody has seen."""
    added(world, 40)
    deleted(world, range(20))
    world.run()
    world.clock.forward(seconds=1)
    with world.db.transaction():
        request = runs.ask(world.db, as_text(world.clock()), ACCOUNT, confirmed=True)
    deleted(world, range(20, 30))
    world.daily()
    world.clock.forward(seconds=1)
    run = world.app.flusher(world.stop).flush("command", lambda db: Everybody(), request)
    assert archived(world) == 0
    assert "30 members would leave list Master (master) in one run" in (run.accounts[0].message or "")
    world.flush(confirmed=True)
    assert archived(world) == 30


def test_a_few_that_are_left_after_a_confirmation_leave_in_the_next_flush_and_the_notice_says_so(world: World):
    """The notice asks for no confirmation of what the next flush does without one."""
    added(world, 40)
    deleted(world, range(14))
    world.flush()
    deleted(world, range(14, 20))
    part = world.flush(confirmed=True)
    notice = part.message or ""
    assert archived(world) == 14
    assert part.ended is RunResult.INCOMPLETE
    assert held_counts.all_shown(world.db) == {}
    waiting = [one.next for number in range(20) for one in world.receipts(f"c{number}") if one.outcome == "later"]
    assert waiting == [NEXT_FLUSH] * 6
    assert "6 more members would leave it" in notice
    assert "The next flush takes them off without a confirmation" in notice
    assert "--confirm" not in notice
    assert world.flush().message is None
    assert archived(world) == 20


def test_all_that_are_left_after_a_confirmation_are_held_if_the_next_flush_does_not_admit_them(world: World):
    """Also the first ones, which are held before the others are: no receipt says that the next flush does it."""
    added(world, 60)
    deleted(world, range(24))
    world.flush()
    deleted(world, range(24, 40))
    part = world.flush(confirmed=True)
    assert archived(world) == 24
    assert part.ended is RunResult.HELD
    assert [count.count for count in held_counts.all_shown(world.db)[ACCOUNT]] == [16]
    last = [world.receipts(f"c{number}")[-1].outcome for number in range(40)]
    assert (last.count("archived"), last.count("held")) == (24, 16)


def test_a_confirmation_counts_for_an_hour_and_once(world: World):
    """A notice older than an hour is shown again, and one confirmation serves one run."""
    added(world, 30)
    deleted(world, range(30))
    world.flush()
    world.clock.forward(minutes=61)
    assert "30 members" in (world.flush(confirmed=True).message or "")
    assert archived(world) == 0
    world.flush(confirmed=True)
    assert archived(world) == 30


def test_nothing_is_confirmed_that_was_never_shown(world: World):
    """A confirmation without a notice before it shows one, and lets nobody leave."""
    added(world, 30)
    deleted(world, range(30))
    assert "30 members" in (world.flush(confirmed=True).message or "")
    assert archived(world) == 0


def test_who_is_held_and_withdrew_consent_is_unsubscribed_and_waits(world: World):
    """In the company of steps that are held, withdrawn consent is done; its customers are not settled by that."""
    added(world, 30)
    deleted(world, range(2, 30))
    world.event("c0", "new@example.com", marketing_consent=False)
    world.by_hand("new@example.com", "subscribe")
    world.event("c1", address(0))
    world.flush()
    assert archived(world) == 0
    assert world.status("new@example.com") == "unsubscribed"
    assert world.waits("c0")
    assert world.outcomes("c1")[-1] == "held"
    assert world.outcomes("c0")[-1] == "held"
    assert "--confirm" in world.receipts("c0")[-1].next
    world.flush(confirmed=True)
    assert not world.waits("c0")


def test_who_waits_for_a_customer_that_is_held_gets_a_receipt_that_says_so(
    world: World, monkeypatch: pytest.MonkeyPatch
):
    """Also where its own consent is withdrawn: the last receipt says that it is held and what to do."""
    world.event("c0", address(0))
    world.event("c1", address(1))
    world.run()
    monkeypatch.setattr(brake, "FEW", 0)
    world.event("c0", "new@example.com", marketing_consent=False)
    world.event("c1", address(0))
    world.flush()
    for customer in ("c0", "c1"):
        assert world.waits(customer)
        assert world.outcomes(customer)[-1] == "held"
        assert "--confirm" in world.receipts(customer)[-1].next
    world.flush(confirmed=True)
    assert not world.waits("c0")
    assert not world.waits("c1")
    assert world.members() == {address(0): "subscribed", address(1): "archived"}


def test_a_member_that_only_who_withdrew_consent_is_known_by_is_never_held(
    world: World, monkeypatch: pytest.MonkeyPatch
):
    """Another customer was to take its address on and may not: the member leaves, however few may."""
    world.event("c0", address(0))
    world.event("c1", address(1))
    world.run()
    world.by_hand(address(1), "unsubscribe")
    monkeypatch.setattr(brake, "FEW", 1)
    world.event("c0", "new@example.com", marketing_consent=False)
    world.event("c1", address(0))
    assert world.flush().message is None
    assert world.members() == {address(0): "archived", address(1): "unsubscribed"}
    assert not world.waits("c0")


def test_members_that_stay_in_the_end_use_up_nothing(world: World, monkeypatch: pytest.MonkeyPatch):
    """Who left by herself before the first step is no departure by it: another member leaves in her place."""
    monkeypatch.setattr(account_flush, "chunks", partial(chunks, size=5))
    added(world, 10)
    world.event("z", "z@example.com")
    world.run()
    for number in range(10):
        world.event(f"c{number}", address(number), list_id="other")
    came: list[Call] = []

    def during(call: Call) -> None:
        if "/members/" in call.path and not came:
            came.append(call)
            for number in range(10):  # after the list was read
                world.by_hand(address(number), "unsubscribe")
            own, world.db = world.db, world.app.open_database()
            world.deleted("z", "z@example.com")
            world.db.close()
            world.db = own

    world.before_call(during)
    part = world.flush()
    world.before_call(None)
    assert came
    assert part.message is None
    assert world.status("z@example.com") == "archived"
