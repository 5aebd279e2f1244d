"""Mailchimp answers late, wrongly, not at all, or no longer; each customer is delivered in the end, and once."""

from __future__ import annotations

import random
import signal
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.e2e.conftest import KEY
from tests.integration.topic import Topic, event
from tests.reliability.commands import Commands, end
from tests.reliability.history import FIELDS, History
from worker.sandbox.faults import Fault
from worker.sandbox.server import SandboxServer
from worker.sandbox.server_state import StandIn

LISTS = {"acct-1": ("master", "other")}
ROUNDS = 3
STORM = (
    Fault("timeout_before", chance=0.03),
    Fault("timeout_after", chance=0.03),
    Fault("cut", chance=0.05),
    Fault("status", status=500, chance=0.05),
    Fault("status", status=503, title="Service Unavailable", chance=0.03),
    Fault("bare", status=502, chance=0.03),
    Fault("bare", status=403, chance=0.03),
    Fault("status", status=429, title="Too Many Requests", chance=0.05),
    Fault("page", chance=0.04),
    Fault("garbled", chance=0.04),
    Fault("lacking", chance=0.04),
)
Until = Callable[..., None]

pytestmark = pytest.mark.kafka


@pytest.fixture
def commands(tmp_path: Path, topic: Topic, sandbox: SandboxServer) -> Commands:
    """Commands with an account that has two lists, which wait no longer than a second for an answer."""
    made = Commands(tmp_path, topic, sandbox.base_url)
    made.environment["WORKER_MAILCHIMP__TIMEOUT"] = "1"
    made.make_accounts(LISTS, fields=FIELDS)
    return made


def names(standin: StandIn, list_id: str = "master") -> dict[str, str]:
    """Address to first name of all that are subscribed."""
    return {one.email: one.merge_fields["FNAME"] for one in standin.members(list_id) if one.status == "subscribed"}


@pytest.mark.parametrize("seed", [1, 2])
def test_a_storm_of_faults_loses_and_doubles_nothing(commands: Commands, standin: StandIn, seed: int) -> None:
    """Every third answer is late, lost, cut, no JSON or an error: once that is over, Mailchimp is as the log says."""
    history = History(seed, LISTS, detailed=True)
    for number in range(ROUNDS):
        commands.topic.publish(history.events(new=12, changes=number and 20))
        standin.faults = [*STORM]
        random.Random(seed).shuffle(standin.faults)
        for _ in range(2):
            process = commands.spawn("run", "--once")
            assert process.wait(90) in (0, 1, 3), commands.log()
        standin.faults = []
        commands("run", "--once")
        with closing(commands.database()) as db:
            assert history.differences(standin, db) == []
        history.act_by_hand(standin, 1)
    assert "Traceback" not in commands.log()
    assert any(count.endswith(" none") for count in standin.audit.counts)


def test_a_key_revoked_during_a_flush_pauses_the_account(commands: Commands, standin: StandIn, until: Until) -> None:
    """No more is sent, status says it, and with a key again the rest is delivered."""
    commands.topic.publish(event(f"c{n}", version=1, email=f"c{n}@example.com", first_name="v1") for n in range(60))
    commands("run", "--once")
    commands.topic.publish(event(f"c{n}", version=2, email=f"c{n}@example.com", first_name="v2") for n in range(60))
    standin.audit.clear_calls()
    standin.latency = 0.1
    process = commands.spawn("run", "--once")
    until(lambda: len(standin.audit.writes()) > 10)
    standin.revoke(KEY)
    assert process.wait(30) == 3, commands.log()
    standin.latency = 0
    assert 0 < sum(name == "v2" for name in names(standin).values()) < 60
    assert len([one for one in standin.audit.calls if one.status == 401]) <= 8
    assert "paused" in commands("status")
    standin.add_key(KEY, "owner")
    commands("account", "resume", "acct-1")
    commands("run", "--once")
    assert set(names(standin).values()) == {"v2"}


def test_a_list_deleted_during_a_flush_holds_its_customers(commands: Commands, standin: StandIn, until: Until) -> None:
    """Its customers wait for the account to choose; the other list's customers are delivered."""
    people = [
        event(f"c{n}", version=1, email=f"c{n}@example.com", first_name="v1", list_id="other" if n % 2 else "master")
        for n in range(60)
    ]
    commands.topic.publish(people)
    commands("run", "--once")
    for one in people:
        one["data"]["version"] = 2
        one["data"]["customer"]["first_name"] = "v2"
    commands.topic.publish(people)
    standin.audit.clear_calls()
    standin.latency = 0.1
    process = commands.spawn("run", "--once")
    until(lambda: len(standin.audit.writes()) > 10)
    standin.delete_list("other")
    assert process.wait(60) in (1, 3), commands.log()
    standin.latency = 0
    told = commands("run", "--once", code=3)
    assert "To do: account acct-1 is held: Each flush looks for it again." in told
    assert (
        "Only if the list was deleted for good, store another one: mailchimp-worker lists store acct-1 LIST..." in told
    )
    assert names(standin) == {f"c{n}@example.com": "v2" for n in range(0, 60, 2)}
    assert "List Other (other) is gone from Mailchimp" in commands("status")
    assert "Traceback" not in commands.log()


def test_an_account_whose_answers_hang_delays_no_other(
    tmp_path: Path, topic: Topic, sandbox: SandboxServer, standin: StandIn
) -> None:
    """Fifty accounts are delivered while one waits for its first answer."""
    accounts = [f"acct-{number}" for number in range(51)]
    lists_of = {name: (f"list-of-{name}",) for name in accounts}
    keys = {name: f"{number:032x}-us1" for number, name in enumerate(accounts)}
    for name in accounts:
        standin.add_key(keys[name], name)
        standin.create_list(name, *lists_of[name], name)
    commands = Commands(tmp_path, topic, sandbox.base_url)
    commands.make_accounts(lists_of, keys)
    topic.publish(event("c", name, version=1, email="c@example.com", first_name="v1") for name in accounts)
    standin.faults = [Fault("timeout_before", key=keys["acct-0"])]
    process = commands.spawn("run", "--once")
    try:
        pause = threading.Event()
        for _ in range(300):
            if all(names(standin, lists_of[name][0]) for name in accounts[1:]):
                break
            pause.wait(0.1)
        assert [name for name in accounts if not names(standin, lists_of[name][0])] == ["acct-0"]
        assert process.poll() is None
    finally:
        assert end(process, signal.SIGTERM) == 3, commands.log()
    standin.faults = []
    commands("run", "--once")
    assert names(standin, *lists_of["acct-0"]) == {"c@example.com": "v1"}
