"""The main job from end to end, by commands alone."""

import json
import re
import signal
import socket
import subprocess
import time
from collections.abc import Callable

import requests

from tests.e2e.conftest import KEY, Cli
from tests.integration.topic import event
from tests.unit.test_deployment import health_check
from worker.clock import utc_now
from worker.mailchimp.calls import member_hash
from worker.model import AddressKey
from worker.sandbox.server_state import StandIn


def free_port() -> int:
    """A port that is free now."""
    with socket.create_server(("127.0.0.1", 0)) as one:
        return int(one.getsockname()[1])


def answer(port: int, path: str) -> tuple[int, str]:
    """Status and body of the worker's web server; 0 while it does not answer."""
    try:
        answered = requests.get(f"http://127.0.0.1:{port}{path}", timeout=10)
    except requests.ConnectionError:
        return 0, ""
    return answered.status_code, answered.text


def members(standin: StandIn, list_id: str = "master") -> dict[str, str]:
    """Address to status."""
    return {one.email: one.status for one in standin.find_list(list_id).members.values()}


def test_published_customers_are_exactly_those_in_the_lists_and_a_second_run_writes_nothing(cli: Cli, standin: StandIn):
    """Publish, run --once: the lists hold the customers; run --once again: no call that writes, exit 0."""
    cli.connect_by_commands()
    cli.publish_by_command(
        *(event(f"c{n}", version=1, email=f"c{n}@example.com", list_id="other" if n % 2 else None) for n in range(600))
    )
    told = cli("run", "--once")
    assert "600 added" in told
    assert members(standin) == {f"c{n}@example.com": "subscribed" for n in range(0, 600, 2)}
    assert members(standin, "other") == {f"c{n}@example.com": "subscribed" for n in range(1, 600, 2)}
    standin.audit.clear_calls()
    assert "nothing has changed" in cli("run", "--once")
    assert standin.audit.writes() == []


def test_a_running_worker_carries_out_flushes_and_ends_on_sigterm(cli: Cli, standin: StandIn, until: Callable):
    """The daemon stages as events come, flush asks it, status tells that it is alive, SIGTERM ends it with 0."""
    cli.connect(enabled_at=utc_now())
    port = free_port()
    cli.environment["WORKER_WEB__PORT"] = str(port)
    daemon = cli.start("run")
    try:
        until(lambda: answer(port, "/readyz")[0] == 200)
        assert "is already in use" in cli("run", code=1, WORKER_STAGING__PATH=str(cli.folder / "other.db"))
        cli.publish(event("ann", version=1, email="ann@example.com"))
        until(lambda: "mailchimp_worker_customers_waiting 1.0" in answer(port, "/metrics")[1])
        assert members(standin) == {}
        assert re.search(
            r"acct-1 +waiting +1 .* Takes part in daily flushes from (today|tomorrow) at 10:00", cli("status")
        )
        cli("flush", "--account", "acct-1")
        # Who was enabled after the time of the daily flush is not due at the start.
        assert [one["trigger"] for one in cli.json("status")["runs"]] == ["command"]
        assert answer(port, "/healthz")[0] == 200
        metrics = answer(port, "/metrics")[1]
        for line in ('contacts_total{outcome="added"} 1', 'events_total{result="staged"} 1', "customers_waiting 0"):
            assert f"mailchimp_worker_{line}.0\n" in metrics
        assert not re.search(r"acct-1|master|ann|example", metrics)
        assert members(standin) == {"ann@example.com": "subscribed"}
        assert subprocess.run(health_check(), env=cli.environment, timeout=20, check=False).returncode == 0
        cli("status", "--alive")
        until(lambda: sum(one["lag"] == 0 for one in cli.json("status")["partitions"]) == cli.topic.partitions)
        told = cli("status")
        assert f"running on {socket.gethostname()}, process {daemon.pid}" in told
        assert f"database     {cli.folder / 'worker.db'}" in told
        assert f"Kafka        {cli.topic.broker.bootstrap_servers} answers" in told
        assert re.search(r"next flush   (today|tomorrow) at 10:00, in ", told)
        assert re.search(r"acct-1 +up to date", told)
        told = cli("run", "--once", code=1)
        assert "Another worker is running with this database" in told
        cli("backup", "copy.db")
        assert "There is already a file copy.db" in cli("backup", "copy.db", code=2)
    finally:
        daemon.send_signal(signal.SIGTERM)
        began = time.monotonic()
        _, err = daemon.communicate(timeout=30)
    assert daemon.returncode == 0, err
    assert time.monotonic() - began < 10
    assert subprocess.run(health_check(), env=cli.environment, capture_output=True, check=False).returncode == 1
    cli("status", "--alive", code=1)
    restore(cli, "copy.db")
    standin.audit.clear_calls()
    assert "nothing has changed" in cli("run", "--once")
    assert standin.audit.writes() == []
    assert "Added as subscribed." in cli("receipts")


def restore(cli: Cli, backup: str) -> None:
    """Puts a backup in the database's place, as docs/operations.md says."""
    for one in ("worker.db", "worker.db-wal", "worker.db-shm"):
        (cli.folder / one).unlink(missing_ok=True)
    (cli.folder / backup).rename(cli.folder / "worker.db")


def test_a_worker_catches_up_when_it_starts_after_the_flush_time(cli: Cli, standin: StandIn, until: Callable):
    """What had no whole flush since then is flushed at once, then waits for tomorrow; one account is no whole flush."""
    cli.connect()
    cli.publish(event("zoe", version=1, email="zoe@example.com"))
    cli("flush", "--account", "acct-1")
    cli.publish(event("ann", version=1, email="ann@example.com"))
    daemon = cli.start("run")
    try:
        until(lambda: members(standin) == {"ann@example.com": "subscribed", "zoe@example.com": "subscribed"})
        until(lambda: cli.json("status")["runs"][0]["ended"] == "done")
        assert cli.json("status")["runs"][0]["trigger"] == "daily"
        cli.publish(event("bob", version=1, email="bob@example.com"))
        until(lambda: cli.json("status")["customers"] == 3)
        assert cli.json("status")["customers_waiting"] == 1
        assert len(cli.json("status")["runs"]) == 2
    finally:
        daemon.send_signal(signal.SIGTERM)
        daemon.communicate(timeout=30)


def test_sigterm_ends_the_worker_with_calls_in_flight_and_nothing_is_lost(cli: Cli, standin: StandIn, until: Callable):
    """A call that hangs is not waited out: within ten seconds the worker is gone, and the next run does the rest."""
    cli.connect()
    cli.publish(*(event(f"c{n}", version=1, email=f"c{n}@example.com") for n in range(20)))
    standin.latency = 60
    process = cli.start("run", "--once")
    standin.audit.most_at_once.clear()
    until(lambda: standin.audit.most_at_once["owner"])
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert time.monotonic() - began < 10
    standin.latency = 0
    cli("run", "--once")
    assert members(standin) == {f"c{n}@example.com": "subscribed" for n in range(20)}


def test_a_daily_flush_that_was_ended_early_is_due_when_the_worker_starts_again(
    cli: Cli, standin: StandIn, until: Callable
):
    """Customers not delivered when the worker ended are delivered by the next one, on the same day."""
    cli.connect()
    cli.publish(event("ann", version=1, email="ann@example.com"))
    for latency, wanted in ((1.0, {}), (0.0, {"ann@example.com": "subscribed"})):
        standin.latency = latency
        standin.audit.most_at_once.clear()
        daemon = cli.start("run")
        try:
            until(lambda: standin.audit.most_at_once["owner"])
            until(lambda wanted=wanted: members(standin) == wanted)
            until(lambda wanted=wanted: not wanted or cli.json("status")["runs"][0]["ended"])
        finally:
            daemon.send_signal(signal.SIGTERM)
            daemon.communicate(timeout=30)
        assert members(standin) == wanted
        assert cli.json("status")["runs"][0]["ended"] == ("done" if wanted else "stopped")


def test_a_plan_shows_the_calls_and_sends_nothing(cli: Cli, standin: StandIn):
    """Flush --plan reads first, counts and, with --calls or --json, names the calls; Mailchimp sees reads only."""
    cli.connect()
    cli.publish(event("ann", version=1, email="ann@example.com", first_name="Ann"))
    assert "Read 1 record to the end of the log. Nothing was delivered. Waiting: 1 customer of 1 account." in cli(
        "stage"
    )
    cli("account", "disable", "acct-1")
    told = cli("account", "enable", "acct-1")
    assert re.search(r"1 contact will be added as subscribed (today|tomorrow) at 10:00\.", told)
    cli.publish(event("ann", version=2, email="ann@example.com", first_name="Anne"))
    standin.audit.clear_calls()
    told = cli("flush", "--plan", "--calls")
    assert "POST /lists/master?skip_merge_validation=true  (customer ann)" in told
    assert "/lists/master/members/ann@example.com" in told
    assert '"FNAME": "Anne"' in told
    assert "Read 1 unread record." in cli.printed[-1]
    plan = cli.json("flush", "--plan")[0]
    assert plan["counts"] == [{"list_id": "master", "what": "adds", "contacts": 1}]
    assert [one["if"] for one in plan["calls"] if one["method"] == "POST"] == [None]
    assert ("ann@example.com", ("ann",)) in {(one["email"], tuple(one["customer_ids"])) for one in plan["calls"]}
    assert standin.audit.writes() == []
    assert members(standin) == {}


def test_explain_shows_everything(cli: Cli, standin: StandIn):
    """After a few days one command tells events, lists, calls, answers, the status now and what is next."""
    cli.connect()
    cli.publish(event("ann", version=1, email="ann@example.com", first_name="Ann"))
    cli("run", "--once")
    standin.by_hand("master", "ann@example.com", "unsubscribe")
    cli.publish(event("ann", version=2, email="ann.new@example.com", first_name="Ann"))
    cli("run", "--once")
    told = cli("explain", "ANN@example.com", "--live")
    assert "in Mailchimp now, last changed at" in told
    assert "last seen" in told
    for part in (
        "Event acct-1-ann-1",
        "added · ann@example.com on Master (master), master list: no list given",
        "call:   POST /lists/master",
        "answer: 200",
        "Event acct-1-ann-2",
        "left · ann@example.com",
        "is unsubscribed on list master",
        "Now: ann.new@example.com",
        "Next: Only the person can join again",
    ):
        assert part in told
    explanation = cli.json("explain", "ann.new@example.com")[0]
    assert [one["outcome"] for one in explanation["receipts"]] == ["added", "left"]
    assert [one["outcome"] for one in cli.json("receipts", "--account", "acct-1")] == ["added", "left"]
    assert "No customer with the address who@example.com" in cli("explain", "who@example.com", code=1)


def test_api_keys_appear_nowhere(cli: Cli, standin: StandIn):
    """No output, no byte of the database and no log has the key; the database's copy is encrypted.

    The log has no address either, above debug, nor the hash of one, and nothing need be blotted out for that.
    """
    cli.environment |= {"WORKER_LOG__FORMAT": "json", "WORKER_LOG__LEVEL": "debug"}
    cli.connect()
    cli.publish(event("ann", version=1, email="ann@example.com"))
    cli.topic.produce(b'{"data": {"customer": {"email": "carl@example.com"}}}')
    cli.topic.flush()
    cli("run", "--once")
    cli("account", "show", "acct-1")
    cli.json("account", "show", "acct-1")
    standin.revoke(KEY)
    cli.publish(event("bob", version=1, email="bob@example.com"))
    cli("run", "--once", code=3)
    cli("status")
    cli("check", code=1)
    secret = KEY.split("-")[0]
    assert not [text for text in cli.printed if secret in text]
    lines = [json.loads(line) for text in cli.printed for line in text.splitlines() if '"timestamp"' in line]
    assert not [one for one in lines if one["level"] != "debug" and "@" in str(one)]
    assert not [one for one in lines if member_hash(AddressKey("ann@example.com")) in str(one)]
    told = {one["event"].partition(":")[0]: one for one in lines}
    assert told["called Mailchimp"]["path"].startswith("/lists/master")
    assert told["the account is paused"]["level"] == "warning"
    assert told["the account is paused"].items() >= {"account": "acct-1", "run": 2}.items()
    assert told["new dead letters"]["count"] == 1
    assert told["account acct-1"].items() >= {"level": "warning", "ended": "paused", "to_do": 1, "settled": 0}.items()
    for file in cli.folder.iterdir():
        assert secret.encode() not in file.read_bytes(), file.name
