"""Reads all members of a large list: for the first time, and on a day on which nothing changed.

The customers of one account are staged from a real Kafka, and marked as delivered. Mailchimp is replaced by
`many_members.py`. Measures time and peak memory of the whole command. Prints Markdown. Exits with 1 if the goal is
missed or the command did not do its work. Run it with: python -m benchmarks.read_back [--members N]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.delivered import connect_all, settle_everybody
from benchmarks.events import make_topic, publish
from benchmarks.processes import WORKER, Measured, NotDone, measured
from benchmarks.report import GOAL_HEAD, goal, machine, table, times
from benchmarks.worker import account_ids, new_topic
from tests.integration.broker import Broker, any_broker
from worker.accounts.secrets import parsed

MEMBERS = 1_000_000
MOST_MB = 200.0
SECRET = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="


@dataclass(frozen=True)
class Reading:
    """One reading.

    Attributes:
        members: number of members that were read.
        learnt: number of members whose ledger entry changed.
    """

    what: str
    members: int
    learnt: int
    took: Measured


@contextmanager
def mailchimp(members: int) -> Iterator[str]:
    """Runs a Mailchimp with a list of this many members; yields its URL."""
    command = [sys.executable, "-m", "benchmarks.many_members", str(members)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


def measure(kafka: Broker, members: int) -> list[Reading]:
    """Runs `read-back` twice.

    Raises:
        NotDone: a command failed, or did not read all members.
    """
    topic, servers = new_topic(), kafka.bootstrap_servers
    make_topic(servers, topic, 1)
    publish(servers, topic, 1, ((1, one) for one in range(members)), 1)
    with tempfile.TemporaryDirectory() as name, mailchimp(members) as base_url:
        folder = Path(name)
        variables = {
            "WORKER_KAFKA__BOOTSTRAP_SERVERS": servers,
            "WORKER_KAFKA__TOPIC": topic,
            "WORKER_KAFKA__GROUP_ID": topic,
            "WORKER_STAGING__PATH": str(folder / "worker.db"),
            "WORKER_MAILCHIMP__BASE_URL": base_url,
            "WORKER_SECRET_KEY": SECRET,
            "WORKER_WEB__PORT": "0",
            "WORKER_LOG__LEVEL": "warning",
        }
        connect_all(folder / "worker.db", account_ids(1), parsed(SECRET, "the benchmark"))
        measured([*WORKER, "move-ledger"], variables, folder)
        measured([*WORKER, "stage"], variables, folder)
        settle_everybody(folder / "worker.db")
        measured([*WORKER, "move-ledger"], variables, folder)
        return [
            _reading("the first reading, of all members", variables, folder, members),
            _reading("a day on which nothing changed", variables, folder, 0),
        ]


def _reading(what: str, variables: dict[str, str], folder: Path, members: int) -> Reading:
    took = measured([*WORKER, "read-back", "--json"], variables, folder)
    (found,) = json.loads(took.output)["lists"]
    if (found["members"], found["changed"], found["unknown"]) != (members, members, 0):
        raise NotDone(f"{found} where {members} members should be read")
    return Reading(what, found["members"], found["changed"], took)


def report(readings: list[Reading]) -> tuple[str, bool]:
    """Returns the figures as Markdown, and whether the goal is met."""
    rows = [[one.what, f"{one.members:,}", times(one.took.seconds), f"{one.took.memory_mb:.0f} MB"] for one in readings]
    peak = max(one.took.memory_mb for one in readings)
    met = goal("peak of memory, MB", peak, MOST_MB, "{:.0f}")
    first, unchanged = readings
    sections = [
        f"**{first.members:,} members in {times(first.took.seconds)} and {peak:.0f} MB; an unchanged day in "
        f"{times(unchanged.took.seconds)}.**",
        table(("what", "members", "time", "peak memory"), rows),
        table(GOAL_HEAD, [met]),
        machine(),
        "The whole command: start, reading Kafka to its end, the reading, and what it learnt written to Kafka.",
    ]
    return "\n\n".join(sections), peak <= MOST_MB


def main(members: int) -> int:
    """Measures, and prints the report; returns the exit code."""
    with tempfile.TemporaryDirectory() as folder, any_broker(Path(folder)) as kafka:
        try:
            markdown, met = report(measure(kafka, members))
        except NotDone as problem:
            print(f"NOT DONE: {problem}")
            return 1
    print(markdown)
    return 0 if met else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--members", type=int, default=MEMBERS)
    sys.exit(main(parser.parse_args().members))
