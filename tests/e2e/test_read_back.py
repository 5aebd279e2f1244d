"""`read-back` as an operator uses it: with a running worker and without, and what it says when it cannot."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable

from tests.e2e.conftest import Cli
from tests.integration.topic import event
from worker.sandbox.faults import Fault
from worker.sandbox.server_state import StandIn


def test_what_people_did_is_read_and_nothing_is_delivered(cli: Cli, standin: StandIn) -> None:
    """Who left is known to explain at once; a customer that changed waits for the flush; strangers are counted."""
    cli.connect()
    cli.publish(event("ann", version=1, email="ann@example.com"), event("bob", version=1, email="bob@example.com"))
    cli("run", "--once")
    standin.by_hand("master", "ann@example.com", "unsubscribe")
    standin.by_hand("other", "zoe@example.com", "subscribe")
    cli.publish(event("bob", version=2, email="bob@example.com", first_name="Bob"))
    told = cli.json("read-back", "--account", "acct-1")
    assert told["ended"] == "done"
    lists = {one["list_id"]: one for one in told["lists"]}
    assert (lists["other"]["members"], lists["other"]["unknown"]) == (1, 1)
    assert all(one["read_to_the_end"] for one in told["lists"])
    assert lists["master"]["changed"] >= 1
    assert "unsubscribed" in cli("explain", "ann@example.com")
    bob = standin.find_list("master").find("bob@example.com")
    assert bob is not None
    assert not bob.merge_fields.get("FNAME")
    assert "Changed by people or owners: 0 members." in cli("read-back")
    assert cli.json("status")["accounts"][0]["customers_waiting"] == 1


def test_a_running_worker_is_asked_to_read(cli: Cli, standin: StandIn, until: Callable[..., None]) -> None:
    """`read-back` asks a running worker, follows it to the end, and prints the same result."""
    cli.connect()
    cli.publish(event("ann", version=1, email="ann@example.com"))
    cli("run", "--once")
    standin.by_hand("master", "ann@example.com", "unsubscribe")
    worker = cli.start("run")
    try:
        until(lambda: cli.json("status")["worker"]["running"])
        said = cli("read-back")
        assert "Changed by people or owners: 1 member. Nothing was delivered." in said
    finally:
        worker.send_signal(signal.SIGTERM)
        worker.communicate(timeout=30)


def test_what_prevents_it_is_said(cli: Cli, standin: StandIn) -> None:
    """`read-back` says why it cannot read: unknown account, disabled account, or no answer from Mailchimp."""
    said = cli("read-back", "--account", "acct-9", code=1)
    assert "Account acct-9 has no Mailchimp settings." in said
    cli.connect()
    standin.faults = [Fault("bare", status=503)]
    said = cli("read-back", code=1)
    assert "could not be read" in said
    standin.faults = []
    cli("account", "disable", "acct-1")
    assert "acct-1" in cli("read-back", "--account", "acct-1", code=3)
    assert json.loads(cli("read-back", "--json"))["lists"] == []


def test_a_lost_database_gets_the_last_outcomes_back(cli: Cli, standin: StandIn) -> None:
    """Receipts are gone with it; what became of each customer is not, and status says since when receipts are there."""
    cli.environment["WORKER_KAFKA__CLIENT"] = json.dumps({"session.timeout.ms": 6000})
    cli.connect()
    cli.publish(event("ann", version=1, email="ann@example.com"))
    cli("run", "--once")
    standin.by_hand("master", "ann@example.com", "unsubscribe")
    cli("read-back")
    assert "Last outcome (since the last receipt): unsubscribed" in cli("explain", "ann@example.com")
    for file in cli.folder.glob("worker.db*"):
        if not file.name.endswith(".key"):
            file.unlink()
    cli("stage")
    said = cli("explain", "ann@example.com")
    assert "Last outcome (no receipt is left here: it is too old, another database has it, or " in said
    assert "): unsubscribed on Master (master) since " in said
    assert "Next: Only the person can join again" in said
    (told,) = cli.json("explain", "ann@example.com")
    assert (told["receipts"], told["outcome"]["member_status"]) == ([], "unsubscribed")
    assert "complete since today" in cli("status")
    assert cli.json("status")["receipts_since"] > told["outcome"]["at"]
