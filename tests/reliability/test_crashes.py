"""The worker is killed, as by ``kill -9`` or a power cut, wherever that may hurt; nothing is lost, nothing doubled."""

from __future__ import annotations

import os
import random
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

from tests.integration.topic import Topic
from tests.reliability.commands import Commands
from tests.reliability.driver import POINTS
from tests.reliability.history import History
from worker.sandbox.server import SandboxServer
from worker.sandbox.standin import StandIn

LISTS = {"acct-1": ("master", "other")}
KILLS = 16
SOAK_KILLS = int(os.environ.get("KILLS", "1000"))
KILLS_A_ROUND = 4
MOST = {"begin": 12, "statement": 80, "inside": 12, "commit": 12, "call": 16, "answer": 16}
"""Up to which time a point is passed the kill may come: about as often as a run passes it."""

pytestmark = pytest.mark.kafka


@pytest.fixture
def commands(tmp_path: Path, topic: Topic, sandbox: SandboxServer) -> Commands:
    """Commands with an account that has two lists."""
    made = Commands(tmp_path, topic, sandbox.base_url)
    made.make_accounts(LISTS)
    return made


def crash_on(commands: Commands, standin: StandIn, seed: int, kills: int, *, named: bool) -> Counter[str]:
    """Lets things happen and kills the worker meanwhile, until it was killed so often; returns where it was."""
    chance, history = random.Random(seed), History(seed, LISTS)
    killed: Counter[str] = Counter()
    while killed.total() < kills:
        commands.topic.publish(history.events(new=12, changes=len(history.people) and 20))
        for _ in range(KILLS_A_ROUND):
            point = min(POINTS, key=lambda one: killed[one]) if named else "seconds"
            when = chance.randint(1, MOST[point]) if named else chance.uniform(0.2, 0.9)
            if not commands.kill_at(point, when, "run", "--once"):
                break
            killed[point] += 1
        commands("run", "--once")
        assert commands.intact()
        with closing(commands.database()) as db:
            assert history.differences(standin, db) == []
        history.act_by_hand(standin, 2)
    return killed


def test_killed_at_each_named_point_nothing_is_lost_and_nothing_doubled(commands: Commands, standin: StandIn) -> None:
    """Before, inside and after transactions, before and after calls: in the end Mailchimp holds what the log says."""
    killed = crash_on(commands, standin, seed=1, kills=KILLS, named=True)
    assert set(killed) == set(POINTS)


def test_killed_at_any_moment_nothing_is_lost_and_nothing_doubled(commands: Commands, standin: StandIn) -> None:
    """Wherever the worker is: in the end Mailchimp holds what the log says."""
    assert crash_on(commands, standin, seed=2, kills=KILLS, named=False).total() >= KILLS


@pytest.mark.parametrize("statement", [1, 2, 9, 20, 29])
def test_killed_during_a_migration_the_next_start_finishes_it(
    tmp_path: Path, topic: Topic, sandbox: SandboxServer, statement: int
) -> None:
    """A new database is whole or not there at all, and the next start makes it."""
    commands = Commands(tmp_path, topic, sandbox.base_url)
    assert commands.kill_at("migration", statement, "status")
    commands("status")
    assert commands.intact()


@pytest.mark.soak
@pytest.mark.timeout(0)
@pytest.mark.parametrize("seed", range(10))
def test_killed_a_thousand_times(commands: Commands, standin: StandIn, seed: int) -> None:
    """The same, for long, at named points and at any moment."""
    crash_on(commands, standin, 100 + seed, SOAK_KILLS // 10, named=seed % 2 == 0)
