"""A person or an account that is forgotten while a flush runs: nothing of it is written down or sent after that."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.checked_changelog import CHANGELOG
from tests.integration.flush.world import ACCOUNT, World
from tests.unit.accounts.build import everything
from worker.accounts.forget import forget_account, forget_person
from worker.mailchimp.calls import Call
from worker.model import AddressKey
from worker.store import forgotten, receipts, runs

EVE, NEW, BOB = "eve@example.com", "eve-new@example.com", "bob@example.com"
MOST_CALLS = 30
"""Moments to try: more than any flush here has calls."""


def prepared(world: World, what: str) -> None:
    """Brings Eve and Bob to where a flush has something to do for both; of Eve what is asked for."""
    world.event("bob", BOB)
    world.event("eve", EVE)
    if what == "add":
        return
    world.flush()
    world.event("bob", BOB, first_name="Bob")
    if what == "restore":
        world.deleted("eve", EVE)
        world.flush()
        world.event("bob", BOB, first_name="Rob")
        world.event("eve", EVE)
    elif what == "archive":
        world.deleted("eve", EVE)
    elif what == "withdraw":
        world.event("eve", EVE, marketing_consent=False)
    else:
        changed = {
            "update": {"email": EVE, "first_name": "Eve"},
            "rename": {"email": NEW},
            "move": {"email": EVE, "list_id": "other"},
        }[what]
        world.event("eve", **changed)  # type: ignore[arg-type]


def forget_eve(world: World) -> None:
    """Erases her as a command does, by a connection of its own."""
    with closing(world.app.open_database()) as db:
        for email in (EVE, NEW):
            forget_person(db, CHANGELOG, AddressKey(email), secret=world.app.secret, at=world.clock())


def at_moment(world: World, moment: int, act: Callable[[], None], *, after: bool) -> list[int]:
    """Does something once, right before or after the call of that number; the list then has how many calls were made.

    The call that it comes before is under way: it counts as made.
    """
    seen, acted_at = 0, list[int]()

    def watch(call: Call) -> None:
        nonlocal seen
        seen += 1
        if seen == moment:
            act()
            acted_at.append(len(world.calls()) + (0 if after else 1))

    (world.after_call if after else world.before_call)(watch)
    return acted_at


def named(world: World, text: str) -> set[str]:
    """The tables in which a text is in any row."""
    rows = everything(world.app.config.staging.path)
    return {table for table, found in rows.items() if any(text in _text(value) for row in found for value in row)}


def _text(value: object) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


@pytest.mark.parametrize(
    ("what", "after"),
    [
        *((what, False) for what in ("add", "update", "rename", "move", "archive", "restore", "withdraw")),
        *((what, True) for what in ("add", "update", "archive")),
    ],
)
def test_nothing_is_written_or_sent_of_who_was_forgotten_during_the_flush(tmp_path: Path, what: str, after: bool):
    """At each moment between two calls: no row names her, no further call is made, and the others come next time."""
    acted = 0
    for moment in range(1, MOST_CALLS):
        (tmp_path / str(moment)).mkdir()
        with World(tmp_path / str(moment), direct=True, connections=1) as world:
            prepared(world, what)
            acted_at = at_moment(world, moment, lambda world=world: forget_eve(world), after=after)  # type: ignore[misc]
            part = world.flush()
            world.before_call(None)
            world.after_call(None)
            if not acted_at:
                break
            acted += 1
            assert len(world.calls()) == acted_at[0], moment
            assert part.failed, moment
            assert "erased from this account during the flush" in (part.message or "")
            for text in (EVE, NEW, hashlib.md5(EVE.encode()).hexdigest(), "cus-eve"):
                assert named(world, text) == set(), (moment, text)
            assert world.receipts("eve") == []
            world.clock.forward(hours=1)
            world.run()
            assert world.status(BOB) == "subscribed"
            assert not world.waits("bob")
            assert world.receipts("eve") == []
    assert acted >= 2


def test_an_account_that_fails_because_somebody_was_forgotten_is_tried_again(tmp_path: Path):
    """The daily flush has it fail, so that the worker delivers the others a quarter of an hour later."""
    with World(tmp_path, direct=True, connections=1) as world:
        prepared(world, "add")
        at_moment(world, 2, lambda: forget_eve(world), after=False)
        assert world.daily().ended == "failed"
        assert [one.account_id for one in runs.failed_accounts(world.db)] == [ACCOUNT]


def test_who_is_forgotten_between_two_flushes_stops_neither(tmp_path: Path):
    """Only a flush that is under way has read what is gone."""
    with World(tmp_path, direct=True) as world:
        prepared(world, "update")
        forget_eve(world)
        assert world.flush().ended == "done"
        assert world.status(BOB) == "subscribed"


def test_a_flush_that_began_between_two_steps_of_forgetting_writes_nothing_of_the_person(tmp_path: Path):
    """Each transaction that erases counts, and not the first one alone."""
    with World(tmp_path, direct=True, connections=1) as world:
        prepared(world, "update")
        world.event("ann", EVE)
        world.flush()
        world.event("eve", EVE, first_name="Eve")
        begun = list[bool]()
        erase = receipts.erase_address

        def flush_in_between(*values: object) -> int:
            if not begun:
                begun.append(True)
                acted_at = at_moment(world, 2, lambda: None, after=False)
                world.flush()
                assert acted_at
            return erase(*values)  # type: ignore[arg-type]

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(receipts, "erase_address", flush_in_between)
            forget_eve(world)
        assert begun
        assert named(world, EVE) == set()


@pytest.mark.parametrize(("after", "again"), [(False, False), (True, True)], ids=["gone", "connected again"])
def test_nothing_is_written_of_an_account_that_was_forgotten_during_the_flush(tmp_path: Path, after: bool, again: bool):
    """No part of the run, ledger entry, receipt or notice is left of it, though it was connected again meanwhile."""
    for moment in range(1, MOST_CALLS):
        (tmp_path / str(moment)).mkdir()
        with World(tmp_path / str(moment), direct=True, connections=1) as world:
            prepared(world, "rename")

            def forget(world: World = world) -> None:
                with closing(world.app.open_database()) as db:
                    forget_account(db, CHANGELOG, ACCOUNT)
                if again:
                    world.before_call(None)
                    world.after_call(None)
                    world.__enter__()
                    world.standin.audit.calls.clear()

            acted_at = at_moment(world, moment, forget, after=after)
            run = world.run()
            if not acted_at:
                break
            assert run.accounts == ()
            tables = named(world, ACCOUNT)
            assert bool(tables & {"account", "list"}) is again
            # The log of settings says who connected it again, and nothing is in it otherwise.
            of_settings = {"account", "list", "changelog_topic"} if again else set()
            assert tables - of_settings == {"customer", "account_partition", "bare_account"}, moment
            assert forgotten.is_empty(world.db)
            assert len(world.calls()) <= acted_at[0]
    assert moment > 2
