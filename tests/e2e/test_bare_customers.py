"""Customers published before their account is connected: no field of them is here until then, and nobody is lost."""

import re
import signal
from collections.abc import Callable

from tests.e2e.conftest import Cli
from tests.integration.topic import event
from worker.clock import utc_now
from worker.sandbox.server_state import StandIn


def statuses(standin: StandIn) -> dict[str, str]:
    """Address to status on the master list."""
    return {one.email: one.status for one in standin.find_list("master").members.values()}


def known(cli: Cli) -> bytes:
    """All bytes of the database and its log."""
    return b"".join(one.read_bytes() for one in cli.folder.glob("worker.db*"))


def test_events_before_the_account_is_connected_are_delivered_once_it_is(cli: Cli, standin: StandIn):
    """Staged without fields, newest state and withdrawals included; read again and delivered by the next run."""
    cli.publish(*(event(f"c{n}", version=1, email=f"c{n}@example.com", first_name="Zephyrine") for n in range(300)))
    cli.publish(event("c0", version=2, email="new@example.com"), event("c1", version=2, kind="deleted"))
    assert "Waiting: 300 customers of 1 account." in cli("stage")
    assert b"Zephyrine" not in known(cli)
    assert b"example.com" not in known(cli)
    told = cli("explain", "c7@example.com", code=1)
    assert "Customers of accounts that are not connected are staged without their addresses." in told
    cli.connect()
    assert re.search(r"acct-1 +waiting +300 .* First to be read again from Kafka.*: 299 customers\.", cli("status"))
    cli("run", "--once")
    wanted = {f"c{n}@example.com": "subscribed" for n in range(2, 300)} | {"new@example.com": "subscribed"}
    assert statuses(standin) == wanted
    standin.audit.clear_calls()
    cli("run", "--once")
    assert standin.audit.writes() == []


def test_an_account_that_is_connected_beside_a_running_worker_is_flushed_whole(
    cli: Cli, standin: StandIn, until: Callable
):
    """A flush that is asked for at once waits until its customers are read again."""
    cli.publish(*(event(f"c{n}", version=1, email=f"c{n}@example.com") for n in range(300)))
    worker = cli.start("run")
    try:
        until(lambda: cli.path.exists() and cli.json("status")["customers_without_settings"] == 300)
        cli.connect(enabled_at=utc_now())
        cli("flush", "--account", "acct-1")
        assert len(statuses(standin)) == 300
        assert cli.json("status")["accounts"][0]["state"] == "up to date"
    finally:
        worker.send_signal(signal.SIGTERM)
        worker.communicate(timeout=30)
