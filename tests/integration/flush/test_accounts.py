"""Many accounts: each on its own, one's trouble is no other's."""

from __future__ import annotations

import logging
import threading
from dataclasses import replace

import pytest

from tests import setters
from tests.checked_changelog import CHANGELOG
from tests.integration.flush.world import ACCOUNT, Everybody, World
from worker.accounts import api_keys, lists
from worker.flush import execute
from worker.flush.run import to_deliver
from worker.mailchimp import calls
from worker.mailchimp.calls import Call
from worker.model import AccountId, ListId
from worker.sandbox.faults import Fault
from worker.store.runs import Run

pytestmark = pytest.mark.world(direct=False)


def add_accounts(world: World, count: int) -> list[str]:
    """Connects more accounts, each with a user, a key and a list of its own; returns their keys."""
    keys = []
    for number in range(count):
        key, account = f"{number:032x}-us1", AccountId(f"more-{number}")
        world.standin.add_key(key, f"user-{number}")
        world.standin.create_list(f"user-{number}", f"list-{number}", f"List {number}")
        with_ = {"secret": world.app.secret, "open_sender": world.app.open_client, "at": world.clock()}
        api_keys.connect(world.db, CHANGELOG, account, key, **with_)  # type: ignore[arg-type]
        setters.enable(world.db, CHANGELOG, account)
        lists.refresh(world.db, CHANGELOG, account, **with_)  # type: ignore[arg-type]
        setters.store(world.db, CHANGELOG, account, None)
        setters.choose_master(world.db, CHANGELOG, account, ListId(f"list-{number}"))
        keys.append(key)
    return keys


def event_for(world: World, account: str, customer: str, email: str) -> None:
    """Stages an event of another account."""
    world.stage(
        {
            "type": "com.billmywork.customer.created",
            "data": {"account_id": account, "customer": {"id": customer, "email": email}},
        }
    )


def parts(run: Run) -> dict[str, tuple[int, str]]:
    """Account to how many were settled and how it ended."""
    return {part.account_id: (part.settled, part.ended) for part in run.accounts}


def test_one_accounts_failure_stops_no_other(world: World, caplog: pytest.LogCaptureFixture):
    """A refused key, a gone list, no answer and a key that cannot be decrypted leave the others alone.

    The log has each as a warning where somebody must look and as an error where it failed, with its facts as fields.
    """
    caplog.set_level(logging.INFO)
    keys = add_accounts(world, 5)
    for number in range(5):
        event_for(world, f"more-{number}", "c", f"c@{number}.example.com")
    world.event("ann", "ann@example.com")
    world.standin.revoke(keys[0])
    world.standin.delete_list("list-1")
    world.standin.faults = [Fault("status", key=keys[2], status=503)]
    with world.db.transaction():
        world.db.execute("UPDATE account SET api_key = x'00' WHERE account_id = 'more-3'")
    run = world.run()
    assert parts(run) == {
        "acct-1": (1, "done"),
        "more-0": (0, "paused"),
        "more-1": (0, "held"),
        "more-2": (0, "failed"),
        "more-3": (0, "failed"),
        "more-4": (1, "done"),
    }
    assert run.ended == "failed"
    told = {part.account_id: part.message or "" for part in run.accounts}
    assert "API Key Invalid" in told["more-0"]
    assert "none of its stored lists in Mailchimp" in told["more-1"]
    assert "no useful answer" in told["more-2"]
    assert "another secret key" in told["more-3"]
    lines = {(vars(one).get("account"), one.msg.partition(":")[0]): one for one in caplog.records}
    ends = {who: one for (who, message), one in lines.items() if message == "account %s"}
    assert {who: (one.levelname, vars(one)["settled"]) for who, one in ends.items()} == {
        "acct-1": ("INFO", 1),
        "more-0": ("WARNING", 0),
        "more-1": ("WARNING", 0),
        "more-2": ("ERROR", 0),
        "more-3": ("ERROR", 0),
        "more-4": ("INFO", 1),
    }
    assert repr(vars(ends["acct-1"])["counts"]) == "{'added': 1}", "as the console shows it"
    assert lines["more-0", "the account is paused"].levelname == "WARNING"
    assert vars(lines["more-1", "a list is gone from Mailchimp; its customers wait"])["list"] == "list-1"


def test_a_fault_of_the_worker_with_one_account_is_reported_and_stops_no_other(world: World):
    """Data that the worker cannot cope with end that account's part as failed, the others go on."""
    add_accounts(world, 1)
    event_for(world, "more-0", "c", "c@example.com")
    world.event("ann", "ann@example.com")
    with world.db.transaction():
        world.db.execute("UPDATE customer SET state = 'no json' WHERE account_id = 'more-0'")
    assert parts(world.run()) == {"acct-1": (1, "done"), "more-0": (0, "failed")}


def test_an_account_that_answers_slowly_delays_no_other(world: World):
    """While one account's call hangs, fifty others are delivered."""
    add_accounts(world, 50)
    world.event("ann", "ann@example.com")
    for number in range(50):
        event_for(world, f"more-{number}", "c", "c@example.com")
    others_done, slow = threading.Event(), f"/lists/{world.settings.master_list}"

    def hang(call):  # type: ignore[no-untyped-def]
        if call.path.startswith(slow):
            assert others_done.wait(30), "the others waited for the slow one"

    world.before_call(hang)
    flushing = threading.Thread(target=world.run)
    flushing.start()
    lists_done = [world.standin.find_list(f"list-{number}") for number in range(50)]
    pause = threading.Event()
    for _ in range(600):
        if all(one.find("c@example.com") for one in lists_done):
            break
        pause.wait(0.05)
    others_done.set()
    flushing.join()
    assert all(one.find("c@example.com") for one in lists_done)
    assert world.status("ann@example.com") == "subscribed"


def test_small_accounts_are_delivered_before_large_ones(world: World):
    """The more changed customers an account has, the later it begins, whatever its id."""
    add_accounts(world, 2)
    for account, count in (("more-0", 3), (ACCOUNT, 1), ("more-1", 2)):
        for number in range(count):
            event_for(world, account, f"c{number}", f"c{number}@example.com")
    assert [one.account_id for one in to_deliver(world.db)] == [ACCOUNT, "more-1", "more-0"]


def test_accounts_that_share_a_key_share_its_connections(world: World):
    """Connections are counted by API key: two accounts of one user have no more than one of them."""
    world.standin.latency = 0.02
    key = "0123456789abcdef0123456789abcdef-us1"
    world.standin.create_list("owner", "second", "Second")
    account = AccountId("second")
    with_ = {"secret": world.app.secret, "open_sender": world.app.open_client, "at": world.clock()}
    api_keys.connect(world.db, CHANGELOG, account, key, **with_)  # type: ignore[arg-type]
    setters.enable(world.db, CHANGELOG, account)
    lists.refresh(world.db, CHANGELOG, account, **with_)  # type: ignore[arg-type]
    setters.store(world.db, CHANGELOG, account, [ListId("second")])
    setters.choose_master(world.db, CHANGELOG, account, ListId("second"))
    for number in range(60):
        world.event(f"c{number}", f"c{number}@example.com", first_name="A")
        event_for(world, "second", f"c{number}", f"c{number}@example.com")
    world.run()
    for number in range(60):
        world.event(f"c{number}", f"c{number}@example.com", first_name="B")
        event_for(world, "second", f"c{number}", f"d{number}@example.com")
    run = world.app.flusher(world.stop).flush("daily", lambda db: Everybody())
    assert parts(run) == {ACCOUNT: (60, "done"), "second": (60, "done")}
    assert 2 < world.standin.audit.most_at_once["owner"] <= 8


def test_an_account_that_reads_a_large_list_lets_the_others_go_on(world: World, monkeypatch: pytest.MonkeyPatch):
    """The first reading takes turns too, and goes on where it was: no page is read twice."""
    monkeypatch.setattr(calls, "PAGE", 3)
    monkeypatch.setattr(execute, "PAGES_A_TURN", 2)
    add_accounts(world, 1)
    for number in range(20):
        world.by_hand(f"p{number}@example.com", "subscribe")
        world.clock.forward(seconds=5)
    size = world.app.config.mailchimp.connections + 1
    for number in range(size):
        world.event(f"c{number}", f"c{number}@example.com")
        event_for(world, "more-0", f"c{number}", f"c{number}@example.com")
    event_for(world, "more-0", "one-more", "one-more@example.com")  # so that the other one begins first
    made: list[Call] = []
    world.before_call(made.append)
    run = replace(world.app.flusher(world.stop), accounts_at_once=1).flush("once", lambda db: Everybody())
    world.before_call(None)
    assert parts(run) == {ACCOUNT: (size, "done"), "more-0": (size + 1, "done")}
    lists = [one.path.split("/")[2] for one in made if one.path.endswith("/members") and one.query["count"] == "3"]
    # Before the other one is queued, the first may have had turns of its own.
    assert lists.count("master") > 6
    assert lists.index("list-0") < lists.count("master")
    pages = [str(one) for one in made if one.path == "/lists/master/members" and one.query["count"] == "3"]
    assert len(set(pages)) == len(pages)


def test_an_account_with_many_archived_members_lets_the_others_go_on(world: World, monkeypatch: pytest.MonkeyPatch):
    """Before many contacts are added, all archived members are read: in turns, too, and nobody of them is put back."""
    monkeypatch.setattr(calls, "PAGE", 3)
    monkeypatch.setattr(execute, "PAGES_A_TURN", 2)
    add_accounts(world, 1)
    for number in range(20):
        world.by_hand(f"p{number}@example.com", "subscribe")
        world.by_hand(f"p{number}@example.com", "archive")
        world.clock.forward(seconds=5)
    size = world.app.config.mailchimp.connections + 1
    for number in range(size):
        world.event(f"c{number}", f"c{number}@example.com")
        event_for(world, "more-0", f"c{number}", f"c{number}@example.com")
    world.event("p", "p3@example.com")
    for number in range(2):  # so that the other one begins first
        event_for(world, "more-0", f"more-{number}", f"more-{number}@example.com")
    made: list[Call] = []
    world.before_call(made.append)
    flusher = replace(world.app.flusher(world.stop), accounts_at_once=1)
    inputs_of = flusher.config.inputs_of
    config = replace(flusher.config, inputs_of=lambda db, who: replace(inputs_of(db, who), bulk_add_above=0))
    run = replace(flusher, config=config).flush("command", lambda db: Everybody())
    world.before_call(None)
    assert parts(run) == {ACCOUNT: (size + 1, "done"), "more-0": (size + 2, "done")}
    asked = [one.path.split("/")[2] for one in made if one.path.endswith("/members") and one.query["count"] == "3"]
    assert asked.index("list-0") < 6 < asked.count("master")
    assert world.status("p3@example.com") == "archived"
