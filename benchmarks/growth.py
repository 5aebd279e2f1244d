"""Measures how time and memory of the commands grow with the number of customers, for a fixed number of accounts.

For each size, it stages the customers from a real Kafka, and marks them as delivered. It measures staging, status,
explain, plan and flush of a day on which nothing changed, a start after the database was lost, a second worker that
takes over half of the partitions, and the plan of a day on which 1 % changed. Prints Markdown and draws growth.svg.
Exits with 1 if something was not done. Run it with:
python -m benchmarks.growth [--customers N ...] [--accounts N] [--draw FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import requests

from benchmarks.chart import Panel, svg
from benchmarks.delivered import connect_all, settle_everybody
from benchmarks.events import make_topic, publish
from benchmarks.processes import WORKER, Measured, NotDone, measured
from benchmarks.report import GOAL_HEAD, goal, machine, table, times
from benchmarks.worker import StandInProcess, account_ids, new_topic, standin
from tests.integration.broker import Broker, any_broker
from worker.accounts.secrets import parsed
from worker.clock import as_moment
from worker.config import Kafka
from worker.kafka.group import members_of
from worker.sqlite.existing import open_existing
from worker.store import customers, offsets, runs

SIZES = (10_000, 100_000, 1_000_000)
ACCOUNTS = 500
PARTITIONS = 8
REPEATED = 3
"""How often a command that changes nothing is measured; the median counts."""
CHANGED = 100
"""One of this many customers changed."""
SESSION_MS = 6000
"""The session timeout. A worker with a new database has a new name; the old one keeps its partitions this long."""
CALL_SECONDS = 5
"""How long a worker that takes over waits for calls of the former owner: 120 by default."""
LONGEST_SECONDS = 600.0
SECRET = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="
HELP, STATUS, EXPLAIN = "--help", "status", "explain"
STAGING, UNCHANGED_PLAN, UNCHANGED = (
    "stage, nothing known yet",
    "flush --plan, nothing changed",
    "flush, nothing changed",
)
FLUSH_ALONE = "the flush alone"
READINGS = "run --once, nothing changed, departures read"
LOST, TAKEN_OVER = "run --once, the database lost", "a second worker takes over half"
CHANGED_PLAN = "flush --plan, 1 % changed"


@dataclass(frozen=True)
class Figure:
    """The result of one operation at one size."""

    what: str
    customers: int
    seconds: float
    memory_mb: float


@dataclass(frozen=True)
class Size:
    """The worker's commands at one size, each a separate process."""

    customers: int
    accounts: int
    servers: str
    topic: str
    folder: Path
    mailchimp: StandInProcess

    @property
    def database(self) -> Path:
        """The path of the worker's database."""
        return self.folder / "worker.db"

    def variables(self, database: Path | None = None, port: int = 0) -> dict[str, str]:
        """Returns the environment of a worker with this database."""
        return {
            "WORKER_KAFKA__BOOTSTRAP_SERVERS": self.servers,
            "WORKER_KAFKA__TOPIC": self.topic,
            "WORKER_KAFKA__GROUP_ID": self.topic,
            "WORKER_KAFKA__CLIENT": json.dumps({"session.timeout.ms": SESSION_MS}),
            "WORKER_STAGING__PATH": str(database or self.database),
            "WORKER_MAILCHIMP__BASE_URL": self.mailchimp.base_url,
            "WORKER_MAILCHIMP__TIMEOUT": str(CALL_SECONDS),
            "WORKER_SECRET_KEY": SECRET,
            "WORKER_WEB__PORT": str(port),
            "WORKER_LOG__LEVEL": "warning",
        }

    def run(self, *arguments: str) -> Measured:
        """Runs a command to its end.

        Raises:
            NotDone: its exit code is not 0.
        """
        return measured([*WORKER, *arguments], self.variables(), self.folder)

    def figure(self, what: str, *arguments: str, repeated: int = 1, check: Callable[[Measured], None]) -> Figure:
        """Measures a command, and checks each time what it did."""
        done = [self.run(*arguments) for _ in range(repeated)]
        for one in done:
            check(one)
        seconds = statistics.median(one.seconds for one in done)
        return Figure(what, self.customers, seconds, max(one.memory_mb for one in done))

    def wait_for_group(self) -> None:
        """Waits until the group has no members."""
        kafka = Kafka(bootstrap_servers=self.servers, topic=self.topic, group_id=self.topic)
        _wait(lambda: members_of(kafka) == [], "the group has members still")

    def writes(self) -> int:
        """Returns how many calls to Mailchimp were writes."""
        found = self.mailchimp.get("counts")["by_method_and_status"]
        return sum(count for call, count in found.items() if not call.startswith("GET"))


def measure(size: Size) -> Iterator[Figure]:
    """Measures all operations at one size.

    Raises:
        NotDone: a command failed, or did not do what it should.
    """
    make_topic(size.servers, size.topic, PARTITIONS)
    published(size, range(size.customers), 1)
    connect_all(size.database, account_ids(size.accounts), parsed(SECRET, "the benchmark"))
    size.run("move-ledger")
    yield size.figure(STAGING, "stage", check=partial(_has, size, staged=size.customers, waiting=size.customers))
    settle_everybody(size.database)
    size.run("move-ledger")
    yield size.figure(HELP, "--help", repeated=REPEATED, check=partial(_says, "explain"))
    yield size.figure(STATUS, "status", repeated=REPEATED, check=partial(_says, f"{size.customers} staged, 0 changed"))
    middle = f"person{size.customers // 2}@example.com"
    yield size.figure(EXPLAIN, "explain", middle, repeated=REPEATED, check=partial(_says, middle))
    yield size.figure(UNCHANGED_PLAN, "flush", "--plan", repeated=REPEATED, check=partial(_says, "Nothing has changed"))
    yield size.figure(UNCHANGED, "flush", check=partial(_called, size, reads=False))
    yield _last_flush(size)
    yield size.figure(READINGS, "run", "--once", check=partial(_called, size, reads=True))
    for file in size.folder.glob("worker.db*"):
        file.unlink()
    size.wait_for_group()
    yield size.figure(LOST, "run", "--once", check=partial(_has, size, staged=size.customers, waiting=0))
    yield taken_over(size)
    changed = range(0, size.customers, CHANGED)
    published(size, changed, 2)
    size.wait_for_group()
    yield size.figure(
        CHANGED_PLAN, "flush", "--plan", check=partial(_has, size, staged=size.customers, waiting=len(changed))
    )
    if size.writes():
        raise NotDone(f"{size.writes()} calls wrote to Mailchimp, though nobody was to be delivered")


def published(size: Size, people: range, number: int) -> None:
    """Publishes one event of each customer."""
    publish(size.servers, size.topic, PARTITIONS, ((number, person) for person in people), size.accounts)


def _says(text: str, measured_run: Measured) -> None:
    if text not in measured_run.output:
        raise NotDone(f"{text!r} is missing in: {measured_run.output[-500:]}")


def _called(size: Size, measured_run: Measured, *, reads: bool) -> None:
    calls = size.mailchimp.get("counts")["total"]
    if bool(calls) != reads:
        raise NotDone(f"{calls} calls to Mailchimp on a day without changes")


def _has(size: Size, measured_run: Measured, *, staged: int, waiting: int) -> None:
    with closing(open_existing(size.database)) as db:
        found = customers.total_count(db), sum(customers.accounts_with_changes(db).values())
    if found != (staged, waiting):
        raise NotDone(f"{found[0]} customers are staged and {found[1]} wait where {staged} and {waiting} should")


def _last_flush(size: Size) -> Figure:
    # Without starting a process and joining the group, which a daemon has done already.
    with closing(open_existing(size.database)) as db:
        run = runs.last(db, 1)[0]
    if run.ended != "done":
        raise NotDone(f"the flush of an unchanged day ended as {run.ended}")
    assert run.ended_at is not None, "it has ended"
    seconds = (as_moment(run.ended_at) - as_moment(run.started_at)).total_seconds()
    return Figure(FLUSH_ALONE, size.customers, max(seconds, 0.001), 0)


# A second worker


def taken_over(size: Size) -> Figure:
    """Starts a second worker; measures until it has read its half of the partitions."""
    second = size.folder / "second" / "worker.db"
    second.parent.mkdir()
    with _daemon(size, size.database) as first:
        _wait(lambda: _ready(first.port), "the first worker is not ready")
        began = time.monotonic()
        with _daemon(size, second) as other:
            _wait(lambda: _ready(other.port) and _read(second, size.topic), "the second worker has not read its half")
            seconds = time.monotonic() - began
            memory = other.peak_mb()
            with closing(open_existing(second)) as db:
                staged = customers.total_count(db)
    if not 0 < staged < size.customers:
        raise NotDone(f"the second worker has {staged} of {size.customers} customers")
    return Figure(TAKEN_OVER, size.customers, seconds, memory)


@dataclass(frozen=True)
class _Daemon:
    port: int
    process: subprocess.Popen[bytes]

    def peak_mb(self) -> float:
        lines = Path(f"/proc/{self.process.pid}/status").read_text(encoding="utf-8").splitlines()
        return next(int(line.split()[1]) for line in lines if "VmHWM" in line) / 1024


@contextmanager
def _daemon(size: Size, database: Path) -> Iterator[_Daemon]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    variables = os.environ | size.variables(database, port)
    with subprocess.Popen([*WORKER, "run"], env=variables, cwd=size.folder, stdout=subprocess.DEVNULL) as process:
        try:
            yield _Daemon(port, process)
        finally:
            process.terminate()


def _ready(port: int) -> bool:
    try:
        return requests.get(f"http://127.0.0.1:{port}/readyz", timeout=5).ok
    except requests.ConnectionError:
        return False


def _read(database: Path, topic: str) -> bool:
    # The worker updates this status every second.
    try:
        lags: Mapping[str, dict[str, int]] = json.loads(database.with_name("worker.db.worker").read_text())[
            "partitions"
        ]
    except FileNotFoundError:
        return False
    if len(lags) != PARTITIONS // 2 or any(lag["records"] for lag in lags.values()):
        return False
    with closing(open_existing(database)) as db:
        return {one.partition for one in offsets.of_topic(db, topic)} >= {int(one) for one in lags}


def _wait(done: Callable[[], bool], otherwise: str) -> None:
    ends = time.monotonic() + LONGEST_SECONDS
    while not done():
        if time.monotonic() > ends:
            raise NotDone(otherwise)
        time.sleep(0.05)


# What is printed


def lines_of(figures: list[Figure], memory: bool) -> dict[str, list[tuple[float, float]]]:
    """Returns the figures of each operation by size, for the picture."""
    names = dict.fromkeys(one.what for one in figures)
    return {
        name: [
            (one.customers, one.memory_mb if memory else one.seconds)
            for one in figures
            if one.what == name and (one.memory_mb or not memory)
        ]
        for name in names
    }


def picture(figures: list[Figure]) -> str:
    """Returns the SVG of time and memory by size."""
    peaks = {name: line for name, line in lines_of(figures, True).items() if line}
    panels = [Panel("Time", "s", lines_of(figures, False)), Panel("Peak memory", "MB", peaks)]
    return svg(panels, "customers")


def report(figures: list[Figure], accounts: int) -> str:
    """Returns the figures as Markdown: the result in a line, then all of them."""
    most = max(one.customers for one in figures)
    at_most = {one.what: one for one in figures if one.customers == most}
    first = (
        f"**{most:,} customers in {accounts} accounts: status in {times(at_most[STATUS].seconds)}, an unchanged day in "
        f"{times(at_most[FLUSH_ALONE].seconds)}, a lost database read again in {times(at_most[LOST].seconds)}.**"
    )
    sizes = sorted({one.customers for one in figures})
    rows = []
    for name, line in lines_of(figures, False).items():
        memory = {size: f", {peak:.0f} MB" for size, peak in lines_of(figures, True)[name]}
        rows.append([name, *(f"{times(dict(line)[size])}{memory.get(int(size), '')}" for size in sizes)])
    goals = [
        goal("`--help`", at_most[HELP].seconds * 1000, 300, "{:.0f} ms"),
        goal("`status`", at_most[STATUS].seconds * 1000, 500, "{:.0f} ms"),
        goal("an unchanged day, no call", at_most[FLUSH_ALONE].seconds * 1000, 2000, "{:.0f} ms"),
    ]
    head = ("Command", *(f"{size:,} customers" for size in sizes))
    return "\n\n".join([first, table(head, rows), table(GOAL_HEAD, goals), machine()])


def all_sizes(broker: Broker, sizes: list[int], accounts: int) -> list[Figure]:
    """Measures each size.

    Raises:
        NotDone: a command failed, or did not do what it should.
    """
    found: list[Figure] = []
    for customers_of_all in sizes:
        with standin(accounts) as mailchimp, tempfile.TemporaryDirectory() as folder:
            where = broker.bootstrap_servers, new_topic(), Path(folder), mailchimp
            for one in measure(Size(customers_of_all, accounts, *where)):
                print(f"{one.customers:,} customers, {one.what}: {times(one.seconds)}", file=sys.stderr)
                found.append(one)
    return found


def main(sizes: list[int], accounts: int, draw: Path) -> int:
    """Measures all sizes, prints the figures and draws them; returns the exit code."""
    with tempfile.TemporaryDirectory() as folder, any_broker(Path(folder)) as broker:
        try:
            figures = all_sizes(broker, sizes, accounts)
        except NotDone as problem:
            print(f"NOT DONE: {problem}")
            return 1
    draw.write_text(picture(figures), encoding="utf-8")
    print(report(figures, accounts))
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--customers", type=int, nargs="+", default=SIZES, dest="sizes")
    parser.add_argument("--accounts", type=int, default=ACCOUNTS)
    parser.add_argument("--draw", type=Path, default=Path(__file__).with_name("growth.svg"))
    sys.exit(main(**vars(parser.parse_args())))
