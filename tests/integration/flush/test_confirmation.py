"""What an operator who confirms reads first: what is confirmed, and what is missing for more."""

import pytest

from tests import setters
from tests.checked_changelog import CHANGELOG
from tests.integration.flush.world import ACCOUNT, World
from worker.cli import run as command
from worker.model import ListId
from worker.store.run_result import RunResult


def confirmed(world: World, capsys: pytest.CaptureFixture[str]) -> str:
    """What the command notes before it flushes."""
    capsys.readouterr()
    command._note_what_is_confirmed(world.app, ACCOUNT)
    printed = capsys.readouterr()
    assert printed.out == ""
    return printed.err


def test_a_gone_list_that_is_still_stored_has_nothing_to_confirm(world: World, capsys: pytest.CaptureFixture[str]):
    """The command says so, which step is missing, and after that step what it confirms."""
    world.event("ann", "ann@example.com", list_id="other")
    world.flush()
    world.standin.delete_list("other")
    world.event("ann", "ann@example.com", list_id="other", first_name="Ann")
    world.flush()
    text = confirmed(world, capsys)
    assert f"Nothing is confirmed: the last flush of account {ACCOUNT} held back nothing that you can confirm." in text
    assert "List Other (other) is gone from Mailchimp and still stored, so its customers wait." in text
    assert f"mailchimp-worker lists store {ACCOUNT} LIST..." in text
    setters.store(world.db, CHANGELOG, ACCOUNT, [ListId("master")])
    world.flush()
    assert confirmed(world, capsys) == (
        "Confirmed: 1 customer would move off list Other (other), which cannot be read any more. People who left it "
        "unseen are added elsewhere.\n"
    )
    world.clock.forward(hours=2)
    assert "is more than an hour ago. This one counts again." in confirmed(world, capsys)


def test_departures_that_are_confirmed_are_named(world: World, capsys: pytest.CaptureFixture[str]):
    """The number is the one that the last flush showed; without one, nothing is confirmed."""
    for number in range(24):
        world.event(f"c{number}", f"c{number}@example.com")
    world.run()
    assert "Nothing is confirmed" in confirmed(world, capsys)
    for number in range(20):
        world.deleted(f"c{number}")
    world.run()
    assert confirmed(world, capsys) == "Confirmed: 20 members would leave list Master (master).\n"


def test_a_clock_set_back_confirms_nothing(world: World, capsys: pytest.CaptureFixture[str]):
    """What was shown in what is now the future is not covered, so the command does not say that it is."""
    for number in range(24):
        world.event(f"c{number}", f"c{number}@example.com")
    world.run()
    for number in range(20):
        world.deleted(f"c{number}")
    world.run()
    world.clock.forward(hours=-2)
    assert "Nothing is confirmed: the clock was set back" in confirmed(world, capsys)
    assert world.run(confirmed=True).accounts[0].ended is RunResult.HELD
    assert "20 members would leave list Master" in confirmed(world, capsys)
