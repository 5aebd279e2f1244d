"""Somebody acts at each moment between two calls: nobody who left is put back, and no write depends on an old read."""

import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests import setters
from tests.checked_changelog import CHANGELOG
from tests.integration.flush.world import ACCOUNT, KEY, World
from worker.accounts import api_keys
from worker.flush import bulk_add
from worker.flush.recorder import Recorder
from worker.mailchimp import sender
from worker.mailchimp.answers import Answer, ClassifiedAnswer, classify
from worker.mailchimp.api_key import parse
from worker.mailchimp.calls import FRESH_SECONDS, Call
from worker.model import ListId
from worker.sandbox.audit import BY_HAND
from worker.sandbox.faults import Fault
from worker.sqlite.database import Database
from worker.store.ledger import LedgerEntry

A, B = "a@example.com", "b@example.com"
LATER = {
    "nothing": [],
    "429": [Fault("status", method="PUT|PATCH|DELETE|POST", status=429, times=2)],
    "503": [Fault("bare", method="PUT|PATCH|DELETE|POST", status=503, times=2)],
    "503 done": [Fault("bare_after", method="PUT|PATCH|DELETE|POST", status=503, times=1)],
}


def prepared(world: World, what: str) -> None:
    """Brings a customer to where one more event makes the worker read and then write."""
    world.event("ann", A)
    world.flush()
    if what == "restore":
        world.deleted("ann", A)
        world.flush()
        world.event("ann", A)
    elif what == "rename":
        world.event("ann", B)
    elif what == "move":
        world.event("ann", A, list_id="other")
    elif what == "archive":
        world.deleted("ann", A)


def read_of(call: Call) -> bool:
    """Whether a call reads a member."""
    return call.method == "GET" and "/members/" in call.path


@pytest.mark.parametrize("later", LATER)
@pytest.mark.parametrize("what", ["restore", "rename", "move", "archive"])
@pytest.mark.parametrize("act", ["unsubscribe", "archive"])
def test_who_leaves_before_any_read_of_a_try_is_not_put_anywhere(tmp_path: Path, what: str, act: str, later: str):
    """Before each read of a member in turn, in back-off too: the write after it respects what a person does then."""
    for moment in range(1, 7):
        (tmp_path / str(moment)).mkdir()
        with World(tmp_path / str(moment), direct=True, patience=60) as world:
            prepared(world, what)
            world.standin.faults = [Fault(**{n: getattr(one, n) for n in one.__slots__}) for one in LATER[later]]
            acted, seen = False, 0

            def person(call: Call, world: World = world, moment: int = moment) -> None:
                nonlocal acted, seen
                seen += read_of(call)
                if seen == moment and not acted:
                    acted = True
                    if world.status(A) == "archived":
                        world.by_hand(A, "subscribe")
                    if world.status(A) is not None:
                        world.by_hand(A, act)

            world.before_call(person)
            world.flush()
            world.before_call(None)
            assert world.standin.audit.put_back() == []
            left = [one for one in world.standin.audit.changes if one.cause == BY_HAND and one.email == A]
            after = [one for one in world.standin.audit.changes if left and one.at > left[-1].at]
            assert not any(one.after in ("subscribed", "pending") for one in after), (moment, after)


def test_a_write_goes_out_at_once_after_the_read_that_it_hangs_on(tmp_path: Path):
    """Of many steps side by side none writes later than well under a second after its read, by Mailchimp's time."""
    with World(tmp_path, direct=True, patience=60) as world:
        for number in range(10):
            world.event(f"c{number}", f"c{number}@example.com")
        world.flush()
        for number in range(10):
            world.deleted(f"c{number}", f"c{number}@example.com")
        world.flush()
        logged = [one for one in world.standin.audit.calls if "/members/" in one.call.path]
        assert sum(one.call.method == "DELETE" for one in logged) == 10
        for number, write in enumerate(logged):
            if write.call.method == "DELETE":
                read = next(one for one in reversed(logged[:number]) if one.call.path == write.call.path)
                assert (write.at - read.at).total_seconds() < 1


def test_who_is_archived_between_two_posts_is_not_put_back(tmp_path: Path):
    """Before each POST the worker asks who was archived since: an act between chunks is seen."""
    with World(tmp_path, direct=True) as world:
        for number in range(600):
            world.event(f"c{number:03}", f"c{number:03}@example.com")
        acted: list[Call] = []

        def owner(call: Call) -> None:
            if "since_last_changed" in call.query and not acted:
                acted.append(call)
                for number in (0, 599):
                    world.by_hand(f"c{number:03}@example.com", "subscribe")
                    world.by_hand(f"c{number:03}@example.com", "archive")

        world.before_call(owner)
        world.flush()
        assert acted
        assert world.standin.audit.put_back() == []
        assert list(world.members().values()).count("archived") == 2


@pytest.mark.parametrize("what", ["disable", "un-store", "new key", "new master"])
def test_no_call_is_made_by_settings_that_were_changed(tmp_path: Path, what: str):
    """Disabled, a list given up, or another key or master list in the midst of a flush: it makes no further call."""
    with World(tmp_path, direct=True, connections=1) as world:
        for number in range(20):
            world.event(f"c{number}", f"c{number}@example.com", list_id="other", first_name="A")
        world.flush()
        for number in range(20):
            world.event(f"c{number}", f"c{number}@example.com", list_id="other", first_name="B")
        changed_at: list[int] = []

        def owner(call: Call) -> None:
            if call.method == "PATCH" and not changed_at:
                changed_at.append(len(world.calls()))
                db = world.app.open_database()
                change(world, db, what)
                db.close()

        world.before_call(owner)
        part = world.flush()
        world.before_call(None)
        # The call in hand is made; none after it, but for those by which a key is connected.
        assert len([one for one in world.calls()[changed_at[0] :] if one.path not in ("/", "/lists")]) == 1
        assert part.ended == "stopped"
        assert "settings were changed" in (part.message or "")
        assert world.waits("c19")


def test_what_was_noted_and_not_sent_is_added_later_without_a_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A flush that ends between the note that an add begins and its POST takes the note back: nothing is in doubt."""
    with World(tmp_path, direct=True, connections=1) as world:
        for number in range(20):
            world.event(f"c{number}", f"c{number}@example.com")
        write_ahead = Recorder.write_ahead

        def noted(recorder: Recorder, *what: Any) -> None:
            write_ahead(recorder, *what)
            with closing(world.app.open_database()) as db:
                setters.disable(db, CHANGELOG, ACCOUNT)

        with monkeypatch.context() as patched:
            patched.setattr(Recorder, "write_ahead", noted)
            assert world.flush().ended == "stopped"
        assert world.members() == {}
        assert [number for number in range(20) if world.entry(f"c{number}@example.com")] == []
        setters.enable(world.db, CHANGELOG, ACCOUNT)
        before = len(world.calls())
        assert world.flush().counts == {"added": 20}
        assert not any(read_of(call) for call in world.calls()[before:])


@pytest.mark.parametrize("held_back", [True, False])
def test_what_no_post_has_filled_is_taken_back_before_the_next_try(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, held_back: bool
):
    """A flush that ends after a POST came too late, or was refused whole, takes all its notes back."""
    with World(tmp_path, direct=True, connections=1) as world:
        for number in range(20):
            world.event(f"c{number}", f"c{number}@example.com")
        if not held_back:
            world.standin.faults = [Fault("status", method="POST", status=400, times=1)]

        def last(answer: Answer) -> ClassifiedAnswer:
            with closing(world.app.open_database()) as db:
                setters.disable(db, CHANGELOG, ACCOUNT)
            return classify(answer)

        with monkeypatch.context() as patched:
            if held_back:
                patched.setattr(sender, "FRESH_SECONDS", -1.0)
            patched.setattr(bulk_add, "classify", last)
            assert world.flush().ended == "stopped"
        assert world.members() == {}
        assert [number for number in range(20) if world.entry(f"c{number}@example.com")] == []


def test_what_made_a_read_too_old_is_not_done_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """After a POST that came too late, the contacts are only read again: their intents are stored already."""
    write_ahead, late, written = Recorder.write_ahead, 0.0, list[int]()

    def slow(recorder: Recorder, entries: Sequence[LedgerEntry], memberships: Any) -> None:
        nonlocal late
        write_ahead(recorder, entries, memberships)
        late += 1 + FRESH_SECONDS
        written.append(len(entries))

    monkeypatch.setattr(Recorder, "write_ahead", slow)
    with World(tmp_path, direct=True) as world:
        world.app.limiters.limiter(parse(KEY)).watch = lambda: time.monotonic() + late
        for number in range(20):
            world.event(f"c{number}", f"c{number}@example.com")
        assert world.flush().counts == {"added": 20}
        assert written == [20]
        reads = ["since_last_changed" in call.query for call in world.calls()]
        assert (sum(reads), len(world.writes())) == (2, 1)


def change(world: World, db: Database, what: str) -> None:
    """Changes the account's settings."""
    if what == "disable":
        setters.disable(db, CHANGELOG, ACCOUNT)
    elif what == "un-store":
        setters.store(db, CHANGELOG, ACCOUNT, [ListId("master")])
    elif what == "new master":
        setters.choose_master(db, CHANGELOG, ACCOUNT, ListId("other"))
    else:
        key = KEY[:-5] + "0-us1"
        world.standin.add_key(key, "owner")
        with_ = {"secret": world.app.secret, "open_sender": lambda _: world.app.open_client_of(db, ACCOUNT)}
        api_keys.connect(db, CHANGELOG, ACCOUNT, key, at=world.clock(), **with_)  # type: ignore[arg-type]
