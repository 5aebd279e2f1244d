"""Several workers in one group come, go, die and freeze while events flow and flushes run."""

from __future__ import annotations

import base64
import json
import os
import random
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.integration.topic import Topic
from tests.reliability.commands import Commands, end
from tests.reliability.history import History
from worker.clock import as_text, utc_now
from worker.kafka.partitioner import partition_of
from worker.sandbox.server import SandboxServer
from worker.sandbox.server_state import StandIn
from worker.status.live import read_live
from worker.store import runs

PARTITIONS = 6
SESSION_SECONDS = 2.0
CALL_SECONDS = 2
CONNECTIONS = 4
ROUNDS = 6
WORKERS = 3
SOAK_ROUNDS = int(os.environ.get("ROUNDS", "100"))
SOAK_SEEDS = range(4, 8)
SOAK_WORKERS = [random.Random(seed).randint(2, 4) for seed in SOAK_SEEDS]
"""How many workers each seed has: 2, 4, 4 and 3."""

pytestmark = pytest.mark.kafka


def accounts_of() -> dict[int, str]:
    """Returns an account for each partition."""
    found: dict[int, str] = {}
    number = 0
    while len(found) < PARTITIONS:
        found.setdefault(partition_of(f"acct-{number}", PARTITIONS), f"acct-{number}")
        number += 1
    return found


OFTEN = {"name": 30, "address": 8, "delete": 3, "withdraw": 1}
"""Nobody returns: whom a worker archived without learning that it did, it does not put back."""

LISTS = {name: (f"list-{number}",) for number, name in accounts_of().items()}
KEYS = {name: f"{number:032x}-us1" for number, name in accounts_of().items()}


class Worker:
    """One of the group, with a database of its own."""

    def __init__(self, commands: Commands) -> None:
        self.commands = commands
        self.process: subprocess.Popen[bytes] | None = None
        self.frozen = False

    @property
    def runs(self) -> bool:
        """Whether it is a process that is not frozen."""
        return self.process is not None and not self.frozen

    def start(self) -> None:
        """Starts it."""
        self.process = self.commands.spawn("run")

    def end(self, number: int) -> None:
        """Ends it, frozen or not."""
        if self.process is not None:
            if self.frozen:
                self.thaw()
            code = end(self.process, number)
            # Told to end before it has begun, it ends as any process does.
            assert code in (0, -signal.SIGKILL, -signal.SIGTERM), self.commands.log()
            self.process = None

    def freeze(self) -> None:
        """Stops it from doing anything, as a machine that swaps or moves does."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)
        self.frozen = True

    def thaw(self) -> None:
        """Lets it go on as if nothing had happened."""
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)
        self.frozen = False

    def ask(self) -> None:
        """Asks it for a flush, as the command does, unless it has not carried out the last one."""
        with closing(self.commands.database()) as db:
            if not runs.open_requests(db):
                with db.transaction():
                    runs.ask(db, as_text(utc_now()), None, confirmed=False)


@pytest.fixture
def group(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    whole_kafka: object,
    new_topic: Callable[..., Topic],
    standin: StandIn,
    sandbox: SandboxServer,
) -> Iterator[list[Worker]]:
    """Workers that do not run yet, three if not said otherwise, on a topic where each account has its own partition."""
    topic = new_topic(PARTITIONS)
    for name, (list_id,) in LISTS.items():
        standin.add_key(KEYS[name], f"owner of {name}")
        standin.create_list(f"owner of {name}", list_id, list_id)
    secret = tmp_path / "secret"
    secret.write_text(base64.b64encode(bytes(range(32))).decode())
    secret.chmod(0o600)
    workers = []
    for number in range(getattr(request, "param", WORKERS)):
        folder = tmp_path / f"worker-{number}"
        folder.mkdir()
        commands = Commands(folder, topic, sandbox.base_url)
        commands.environment["WORKER_KAFKA__CLIENT"] = json.dumps(
            {"session.timeout.ms": int(SESSION_SECONDS * 1000), "heartbeat.interval.ms": 300}
        )
        commands.environment["WORKER_MAILCHIMP__CONNECTIONS"] = str(CONNECTIONS)
        commands.environment["WORKER_MAILCHIMP__TIMEOUT"] = str(CALL_SECONDS)
        commands.environment["WORKER_SECRET_KEY_FILE"] = str(secret)
        workers.append(Worker(commands))
    # The others have its settings from Kafka.
    workers[0].commands.make_accounts(LISTS, KEYS)
    yield workers
    for worker in workers:
        worker.end(signal.SIGKILL)


@contextmanager
def flow(topic: Topic, history: History) -> Iterator[None]:
    """Publishes while something else happens: some of it before, some after."""
    topic.publish(history.events(new=12, changes=60))
    yield
    topic.publish(history.events(new=0, changes=60))


def something(workers: list[Worker], chance: random.Random, before_freezing: Callable[[], None]) -> None:
    """Does one thing to one worker of the group."""
    one = chance.choice(workers)
    if one.process is None:
        one.start()
    elif one.frozen:
        one.thaw()
    else:
        match chance.choice(("kill", "kill and start", "end", "freeze", "freeze")):
            case "kill":
                one.end(signal.SIGKILL)
            case "kill and start":
                one.end(signal.SIGKILL)
                one.start()
            case "end":
                one.end(signal.SIGTERM)
            case _:
                before_freezing()
                one.freeze()
    if not any(worker.runs for worker in workers):
        something(workers, chance, before_freezing)


def live(workers: list[Worker], standin: StandIn, seed: int, rounds: int, *, frozen_when_idle: bool = False) -> None:
    """Lets the group live through rounds of events, flushes and faults, and compares when all is quiet.

    Frozen between its last look at what it owns and the sending of a call, a worker makes that call when it goes on:
    Mailchimp has no fencing. So a short run, which must not depend on chance, freezes workers when no call is made.
    """

    def no_calls() -> None:
        known = -1
        while known != len(standin.audit.calls):
            known = len(standin.audit.calls)
            time.sleep(0.5)

    chance, history = random.Random(seed), History(seed, LISTS, OFTEN)
    topic = workers[0].commands.topic
    standin.latency = 0.03
    for worker in workers:
        worker.start()
    for _ in range(rounds):
        with flow(topic, history):
            for worker in workers:
                # One that is frozen may hold its database's lock.
                if not worker.frozen:
                    worker.ask()
            time.sleep(chance.uniform(0, 1))
            something(workers, chance, no_calls if frozen_when_idle else lambda: None)
        # Frozen or dead for longer than its session, it has lost its partitions to the others; or for less.
        time.sleep(chance.choice((0.3, SESSION_SECONDS + 1)))
    for worker in workers:
        if worker.frozen:
            worker.thaw()
        if worker.process is None:
            worker.start()
    quiet(workers, standin, history)
    assert stale_writes(standin) == []
    assert max(standin.audit.most_at_once.values()) <= 10
    for worker in workers:
        worker.end(signal.SIGTERM)
        assert worker.commands.intact()
        assert "Traceback" not in worker.commands.log()


def quiet(workers: list[Worker], standin: StandIn, history: History) -> None:
    """Waits until Mailchimp holds what the log says; fails with what is different still."""
    ended = time.monotonic() + 45
    while differences := history.differences_of_lists(standin):
        assert time.monotonic() < ended, (differences[:20], stale_writes(standin))
        for worker in workers:
            worker.ask()
        time.sleep(0.5)


def stale_writes(standin: StandIn) -> list[str]:
    """Returns the writes that brought an older state over a newer one."""
    newest: dict[tuple[str, str], int] = {}
    found = []
    for logged in tuple(standin.audit.calls):
        body: Any = logged.call.body
        if logged.call.reads_only or logged.status != 200 or not body:
            continue
        list_id = logged.call.path.split("/")[2]
        for contact in body.get("members", [body]):
            version = contact.get("merge_fields", {}).get("FNAME")
            name = contact.get("email_address") or logged.call.path.rpartition("/")[2]
            if version and "@" not in name:
                before = newest.get((list_id, name), 0)
                if int(version[1:]) < before:
                    found.append(f"{logged.at} {logged.call}: {version} over v{before}")
                newest[list_id, name] = max(before, int(version[1:]))
    return found


def test_workers_come_and_go_and_nobody_is_lost(group: list[Worker], standin: StandIn) -> None:
    """Started, ended, killed and frozen past the session timeout: each customer's last state is there in the end."""
    live(group, standin, seed=1, rounds=ROUNDS, frozen_when_idle=True)


@pytest.mark.parametrize("group", [2], indirect=True)
def test_at_the_wrong_worker_commands_name_the_other(group: list[Worker], until: Callable[..., None]) -> None:
    """Of an account that another worker has, explain and receipts say so, and which it is; status lists all workers.

    Also if the database's own worker has ended, so that what it knew is out of date.
    """
    for worker in group:
        worker.start()

    def shared() -> bool:
        found = [read_live(worker.commands.path) for worker in group]
        return sorted(one for live in found if live for one in live.partitions) == [*range(PARTITIONS)] and all(
            live and live.partitions for live in found
        )

    until(shared)
    live = read_live(group[1].commands.path)
    assert live is not None
    account, asked = accounts_of()[min(live.partitions)], group[0].commands
    told = asked("explain", "nobody@example.com", "--account", account, code=1)
    assert re.search(rf"Another worker, worker-\S+ on [\d.]+, has account {account} now", told)
    for command in (("receipts", "--account", account), ("flush", "--plan", "--account", account)):
        asked(*command)
        assert f"has account {account} now" in asked.printed[-1]
    assert "Left to another worker" in asked("flush", "--account", account, code=3)
    assert f"has account {account} now" in asked.printed[-1]
    assert f"This worker has {PARTITIONS - len(live.partitions)} of {PARTITIONS} partitions now" in asked(
        "explain", "nobody@example.com", code=1
    )
    workers = asked.json("status")["workers"]
    assert [one["partitions"] for one in workers] == sorted(
        sorted(found.partitions) for worker in group if (found := read_live(worker.commands.path)) is not None
    )
    assert f"{workers[0]['name']}  {', '.join(map(str, workers[0]['partitions']))}" in asked("status")
    group[0].end(signal.SIGTERM)
    until(lambda: (live := read_live(group[1].commands.path)) is not None and len(live.partitions) == PARTITIONS)
    told = asked("explain", "nobody@example.com", "--account", account, code=1)
    assert re.search(rf"Another worker, worker-\S+ on [\d.]+, has account {account} now", told)


@pytest.mark.soak
@pytest.mark.timeout(0)
@pytest.mark.parametrize(("group", "seed"), [*zip(SOAK_WORKERS, SOAK_SEEDS, strict=True)], indirect=["group"])
def test_workers_come_and_go_for_long(group: list[Worker], standin: StandIn, seed: int) -> None:
    """The same with two to four, for long, frozen at any moment; docs/reliability.md says what that may bring."""
    live(group, standin, seed, SOAK_ROUNDS)
