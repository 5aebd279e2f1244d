"""The worker is killed, as by ``kill -9`` or a power cut, wherever that may hurt; nothing is lost, nothing doubled."""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from itertools import cycle
from pathlib import Path

import pytest

from tests.integration.topic import Topic
from tests.reliability.commands import Commands
from tests.reliability.driver import POINTS
from tests.reliability.history import FIELDS, History
from worker.sandbox.server import SandboxServer
from worker.sandbox.server_state import StandIn

LISTS = {"acct-1": ("master", "other")}
KILLS = 16
SOAK_KILLS = int(os.environ.get("KILLS", "1000"))
KILLS_A_ROUND = 4
NAMED = (
    # The first transactions of a run name the worker and its offsets; then comes what was read, then the flush.
    *(("begin", number) for number in range(3, 9)),
    *(("inside", number) for number in (4, 6, 8)),
    *(("commit", number) for number in (4, 6)),
    *(("call", number) for number in (3, 6)),
    *(("answer", number) for number in (2, 4, 7)),
    *(("statement", number) for number in (20, 45)),
    *(("keep", number) for number in (1, 3)),
    *(("kept", number) for number in (1, 2, 4)),
)
"""Points, and which time each is passed when the kill comes."""
MOST = {"begin": 12, "statement": 80, "inside": 12, "commit": 12, "call": 16, "answer": 16, "keep": 12, "kept": 12}
"""Up to which time a point is passed the kill may come: about as often as a run passes it."""

pytestmark = pytest.mark.kafka


@pytest.fixture
def commands(tmp_path: Path, topic: Topic, sandbox: SandboxServer) -> Commands:
    """Commands with an account that has two lists."""
    made = Commands(tmp_path, topic, sandbox.base_url)
    made.make_accounts(LISTS, fields=FIELDS)
    return made


def crash_on(commands: Commands, standin: StandIn, seed: int, moments: Sequence[tuple[str, float]]) -> Counter[str]:
    """Lets things happen and kills the worker meanwhile, at each of these moments; returns where it was killed."""
    history, left = History(seed, LISTS, detailed=True), list(moments)
    killed: Counter[str] = Counter()
    while left:
        commands.topic.publish(history.events(new=12, changes=len(history.people) and 20))
        for _ in range(min(KILLS_A_ROUND, len(left))):
            point, when = left.pop(0)
            if not commands.kill_at(point, when, "run", "--once"):
                # The run was over before: the next moment is for another round.
                break
            killed[point] += 1
        commands("run", "--once")
        assert commands.intact()
        with closing(commands.database()) as db:
            assert history.differences(standin, db) == []
        history.act_by_hand(standin, 2)
    return killed


def at_random(seed: int, kills: int) -> list[tuple[str, float]]:
    """Gives moments: at named points and at any time, in turn."""
    chance = random.Random(seed)
    named = [(point, float(chance.randint(1, MOST[point]))) for point, _ in zip(cycle(POINTS), range(kills // 2))]
    return [moment for one in named for moment in (one, ("seconds", chance.uniform(0.2, 0.9)))]


def test_killed_at_each_named_point_nothing_is_lost_and_nothing_doubled(commands: Commands, standin: StandIn) -> None:
    """Before, inside and after transactions, before and after calls: in the end Mailchimp holds what the log says."""
    killed = crash_on(commands, standin, 1, NAMED)
    assert set(killed) == set(POINTS)
    assert killed.total() >= len(NAMED) - 3, killed


def test_killed_at_any_moment_nothing_is_lost_and_nothing_doubled(commands: Commands, standin: StandIn) -> None:
    """Wherever the worker is: in the end Mailchimp holds what the log says."""
    chance = random.Random(2)
    killed = crash_on(commands, standin, 2, [("seconds", chance.uniform(0.2, 0.9)) for _ in range(KILLS)])
    assert killed.total() >= KILLS * 0.8


@pytest.mark.parametrize("statement", [1, 2, 9, 20, 29])
def test_killed_during_a_migration_the_next_start_finishes_it(
    tmp_path: Path, topic: Topic, sandbox: SandboxServer, statement: int
) -> None:
    """A new database is whole or not there at all, and the next start makes it."""
    commands = Commands(tmp_path, topic, sandbox.base_url)
    assert commands.kill_at("migration", statement, "stage")
    commands("stage")
    assert commands.intact()


@pytest.mark.soak
@pytest.mark.timeout(0)
@pytest.mark.parametrize("seed", range(10))
def test_killed_a_thousand_times(commands: Commands, standin: StandIn, seed: int) -> None:
    """The same, for long, at named points and at any moment."""
    crash_on(commands, standin, 100 + seed, at_random(seed, SOAK_KILLS // 10))
