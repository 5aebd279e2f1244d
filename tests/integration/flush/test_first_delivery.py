"""An account's first delivery, and what is said and asked before its settings change."""

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
import typer

from tests import setters
from tests.checked_changelog import CHANGELOG
from tests.integration.flush.world import ACCOUNT, Everybody, World
from worker.accounts import lists
from worker.cli import consequences
from worker.flush.run import Participants
from worker.flush.schedule import latest_flush_time
from worker.model import ListId
from worker.status.what_follows import what_follows
from worker.store.runs import Run

TEN, LONDON = time(10), ZoneInfo("Europe/London")
SPARE = ListId("spare")


def daily(world: World) -> Run:
    """The daily flush that is due now."""
    flush_time = latest_flush_time(world.clock(), TEN, LONDON)
    return world.app.flusher(world.stop).flush(
        "daily", lambda db: Everybody(), participants=Participants(flush_time=flush_time)
    )


def members(world: World, many: int, list_id: str | None = None, first: int = 0) -> None:
    """Customers that are members."""
    for number in range(first, first + many):
        world.event(f"c{number}", f"c{number}@example.com", list_id=list_id)
    world.run()


def test_an_account_takes_part_in_daily_flushes_from_the_first_one_after_it_was_enabled(world: World):
    """Not in the one that was due before, however late that comes; a flush by hand delivers it at once."""
    setters.disable(world.db, CHANGELOG, ACCOUNT)
    setters.enable(world.db, CHANGELOG, ACCOUNT, at=datetime(2026, 11, 22, 10, 30, tzinfo=UTC))
    world.clock.forward(hours=2)
    world.event("ann", "ann@example.com")
    assert daily(world).accounts == ()
    assert world.status("ann@example.com") is None
    world.clock.forward(days=1)
    assert [part.settled for part in daily(world).accounts] == [1]
    setters.enable(world.db, CHANGELOG, ACCOUNT, at=world.clock())
    world.event("bob", "bob@example.com")
    world.clock.forward(seconds=1)
    assert [part.settled for part in daily(world).accounts] == [1], "it was enabled already"
    setters.disable(world.db, CHANGELOG, ACCOUNT)
    setters.enable(world.db, CHANGELOG, ACCOUNT, at=world.clock())
    world.event("cat", "cat@example.com")
    assert daily(world).accounts == ()
    assert world.flush().settled == 1


def test_what_follows_says_who_is_added_moves_and_leaves(world: World):
    """By the settings as they would be, before they are stored, and without a call."""
    members(world, 12)
    members(world, 5, "other", first=12)
    world.deleted("c0", "c0@example.com")
    world.event("new", "new@example.com")
    world.standin.audit.calls.clear()
    after = lists.with_master(lists.with_stored(world.settings, [ListId("master"), ListId("other"), SPARE]), SPARE)
    found = what_follows(
        world.db, after, world.app.departed_of(world.db, ACCOUNT), "2026-11-22T10:00:00Z", everyone=True
    )
    assert found is not None
    assert found.in_words("today at 10:00") == (
        "1 contact will be added as subscribed today at 10:00; 11 move from Master to Spare, 1 leave Master."
    )
    assert found.to_confirm == {"master": 12}
    assert world.calls() == []
    assert world.settings.master_list == "master"


def test_what_follows_counts_who_moves_back_to_a_list_where_it_was_archived(world: World):
    """The member is restored there, and leaves the other list: it moves like the others."""
    for number in range(3):
        world.event(f"c{number}", f"c{number}@example.com")
    world.flush()
    world.event("c0", "c0@example.com", list_id="other")
    world.flush()
    after = lists.with_stored(world.settings, [ListId("master")])
    departed = world.app.departed_of(world.db, ACCOUNT)
    found = what_follows(world.db, after, departed, "2026-11-22T10:00:00Z", everyone=True)
    assert found is not None
    assert found.in_words("today at 10:00") == "1 move from Other to Master, today at 10:00."
    assert found.to_confirm == {"other": 1}


def test_what_follows_counts_nobody_who_is_known_to_have_left(world: World):
    """They are not moved; a confirmation of too many would let others leave whom it did not show."""
    members(world, 12)
    for number in range(8):
        world.by_hand(f"c{number}@example.com", "unsubscribe")
    world.clock.forward(minutes=1)
    world.read_back()
    after = lists.with_master(lists.with_stored(world.settings, [ListId("master"), ListId("other"), SPARE]), SPARE)
    departed = world.app.departed_of(world.db, ACCOUNT)
    found = what_follows(world.db, after, departed, "2026-11-22T10:00:00Z", everyone=True)
    assert found is not None
    assert found.in_words("today at 10:00") == "4 move from Master to Spare, today at 10:00."
    assert found.to_confirm == {"master": 4}


def test_what_follows_is_what_the_flush_then_does(world: World, monkeypatch: pytest.MonkeyPatch):
    """The answer to the question is the confirmation that the brake asks for: for so many, and for one flush."""
    members(world, 40)
    asked: list[str] = []
    monkeypatch.setattr(typer, "confirm", lambda text, **options: asked.append(text) or True)
    setters.store(world.db, CHANGELOG, ACCOUNT, [ListId("master"), ListId("other"), SPARE])
    after = lists.with_master(world.settings, SPARE)
    confirmed = consequences.announce(world.app, world.db, after, every=True, yes=False, json=False)
    assert asked == ["More than a tenth would leave: 40 of 40 members of master. Continue?"]
    assert confirmed == {"master": 40}
    setters.choose_master(world.db, CHANGELOG, ACCOUNT, SPARE, confirmed)
    assert world.plan().notices == []
    assert world.flush().ended == "done"
    assert list(world.members("spare").values()).count("subscribed") == 40
    assert world.settings.confirmed is None
    setters.choose_master(world.db, CHANGELOG, ACCOUNT, ListId("master"))
    assert world.flush().ended == "held", "nobody confirmed that"


def test_a_confirmation_does_not_let_more_leave_than_it_showed(world: World):
    """Who is deleted since waits for another answer."""
    members(world, 40)
    with world.db.transaction():
        world.db.execute("UPDATE account SET confirmed = json_object('master', 20)")
    for number in range(40):
        world.deleted(f"c{number}", f"c{number}@example.com")
    world.flush()
    assert list(world.members().values()).count("archived") <= 20


@pytest.mark.parametrize("yes", [True, False])
def test_little_is_not_asked_and_yes_answers(world: World, monkeypatch: pytest.MonkeyPatch, yes: bool):
    """A tenth of a list may leave without a question, and --yes is the answer where more would."""

    def fail(text: str, **options: object) -> None:
        raise AssertionError(text)

    monkeypatch.setattr(typer, "confirm", fail)
    members(world, 40)
    for number in range(4 if not yes else 30):
        world.deleted(f"c{number}", f"c{number}@example.com")
    after = replace(world.settings, enabled_at=world.clock() + timedelta(0))
    assert consequences.announce(world.app, world.db, after, every=False, yes=yes, json=False) == (
        {"master": 30} if yes else None
    )


def test_nothing_is_said_of_an_account_that_delivers_nothing_yet(world: World):
    """While something is missing, the next step is what to say."""
    world.event("ann", "ann@example.com")
    after = replace(world.settings, master_list=None)
    assert consequences.announce(world.app, world.db, after, every=True, yes=False, json=False) is None
