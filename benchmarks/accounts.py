"""Flushes changed customers of several accounts: with and without outcomes, and with a slower broker.

The Mailchimp stand-in, Kafka, the worker and the proxy in front of Kafka are separate processes. Prints Markdown: the
time divided by the time with all connections always busy, and the worker's processor time. Exits with 1 if a list lacks
a customer's last change. Run it with:
python -m benchmarks.accounts [--accounts N ...] [--customers N] [--latency SECONDS] [--delay SECONDS]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.report import GOAL_HEAD, goal, machine, table
from benchmarks.worker import (
    StandInProcess,
    account_ids,
    create,
    ended,
    list_of,
    new_topic,
    stage,
    standin,
    start_flush,
    worker_app,
)
from tests.integration.broker import Broker, any_broker

ACCOUNTS = (8, 64, 500)
CUSTOMERS, FEWEST = 4800, 20
"""Customers in total, and the fewest of each account."""
CHANGES, WITHOUT = "changes", "changes, outcomes off"


@dataclass(frozen=True)
class Round:
    """A flush and what it took.

    Attributes:
        calls: number of calls that the stand-in counted.
        ideal: seconds that these calls take if every connection is always busy.
        result: the output of the worker's process.
    """

    accounts: int
    what: str
    customers: int
    calls: int
    ideal: float
    result: dict[str, Any]

    @property
    def ratio(self) -> float:
        """The time divided by the ideal."""
        return float(self.result["seconds"]) / self.ideal

    @property
    def milliseconds(self) -> float:
        """The worker's processor time per customer, in milliseconds."""
        return 1000 * float(self.result["processor_seconds"]) / self.customers

    @property
    def whole(self) -> bool:
        """Whether everybody was settled."""
        return self.result["ended"] == "done" and self.result["settled"] == self.customers


def measure(
    broker: Broker, accounts: int, customers: int, latency: float, delay: float
) -> tuple[list[Round], list[str]]:
    """Adds customers of each account, and changes them; again without outcomes, and with the proxy if possible.

    Returns:
        The flushes, and what is wrong in Mailchimp after them.
    """
    with standin(accounts) as mailchimp, tempfile.TemporaryDirectory() as folder:
        topic = new_topic()
        app = worker_app(folder, mailchimp.base_url, broker.bootstrap_servers, topic)
        side_by_side = min(accounts, app.config.flush.accounts_at_once) * app.config.mailchimp.connections
        create(app, account_ids(accounts))
        mailchimp.put("latency", {"seconds": latency})
        rounds: list[Round] = []

        def carry_out(what: str, name: str, bootstrap_servers: str, outcomes: str = "on") -> None:
            stage(app, account_ids(accounts), range(customers), name)
            calls = mailchimp.get("counts")["total"]
            result = ended(start_flush(folder, mailchimp.base_url, bootstrap_servers, topic, outcomes))
            calls = mailchimp.get("counts")["total"] - calls
            ideal = calls * latency / side_by_side
            rounds.append(Round(accounts, what, accounts * customers, calls, ideal, result))

        carry_out("adds", "First", broker.bootstrap_servers)
        carry_out(CHANGES, "Second", broker.bootstrap_servers)
        carry_out(WITHOUT, "Third", broker.bootstrap_servers, "off")
        name = "Third"
        if broker.behind is not None and delay:
            with proxy(broker.behind, delay) as bootstrap_servers:
                carry_out(f"{CHANGES}, {delay * 1000:.0f} ms to the broker", "Fourth", bootstrap_servers)
            name = "Fourth"
        return rounds, wrong(mailchimp, accounts, customers, name)


def wrong(mailchimp: StandInProcess, accounts: int, customers: int, name: str) -> list[str]:
    """Returns the lists that lack a customer's last change."""
    found = {
        one["list"]["id"]: sum(member["merge_fields"].get("FNAME") == name for member in one["members"])
        for one in mailchimp.get("lists")
    }
    return [one for one in map(list_of, account_ids(accounts)) if found.get(one) != customers]


@contextmanager
def proxy(behind: tuple[int, int], delay: float) -> Iterator[str]:
    """Delays a broker by a proxy; yields the proxy's address."""
    target, port = behind
    command = [sys.executable, "-m", "benchmarks.delay", str(port), str(target), str(delay)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            yield f"127.0.0.1:{port}"
        finally:
            process.terminate()


def report(rounds: list[Round]) -> str:
    """Returns the figures as Markdown: the result in a line, then all of them."""
    changes = {one.accounts: one for one in rounds if one.what == CHANGES}
    without = {one.accounts: one for one in rounds if one.what == WITHOUT}
    slowed = {one.accounts: one for one in rounds if one.what.startswith(f"{CHANGES}, ") and one.what != WITHOUT}
    first = [f"{one.ratio:.2f} times the ideal with {count} accounts" for count, one in changes.items()]
    goals = [goal(f"{count} accounts: times the ideal", one.ratio, 1.2) for count, one in changes.items()]
    for count, one in without.items():
        slower = changes[count].result["seconds"] / one.result["seconds"]
        goals.append(goal(f"{count} accounts: times slower with outcomes", slower, 1.15))
    for count, one in slowed.items():
        times_slower = one.result["seconds"] / changes[count].result["seconds"]
        goals.append(goal(f"{count} accounts: times slower with the broker further away", times_slower, 1.1))
    rows = [
        [
            str(one.accounts),
            one.what,
            f"{one.customers:,}",
            f"{one.calls:,}",
            f"{one.result['seconds']:.1f}",
            f"{one.ratio:.2f}",
            f"{one.milliseconds:.2f} ms",
            f"{one.result['memory_mb']:.0f} MB",
        ]
        for one in rounds
    ]
    head = ("Accounts", "Flush", "Customers", "Calls", "Seconds", "÷ ideal", "Processor time each", "Peak memory")
    return "\n\n".join([f"**{'; '.join(first)}.**", table(head, rows, left=2), table(GOAL_HEAD, goals), machine()])


def main(accounts: list[int], customers: int, latency: float, delay: float) -> int:
    """Measures each number of accounts, and prints the report; returns the exit code."""
    found: list[Round] = []
    with tempfile.TemporaryDirectory() as folder, any_broker(Path(folder)) as broker:
        for count in accounts:
            rounds, lists = measure(broker, count, max(FEWEST, customers // count), latency, delay)
            for problem in [*lists, *(str(one.result) for one in rounds if not one.whole)]:
                print(f"NOT DONE: {problem}")
                return 1
            found += rounds
    print(report(found))
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--accounts", type=int, nargs="+", default=ACCOUNTS)
    parser.add_argument("--customers", type=int, default=CUSTOMERS, help="in all; at least 20 of each account")
    parser.add_argument("--latency", type=float, default=0.1)
    parser.add_argument("--delay", type=float, default=0.01)
    sys.exit(main(**vars(parser.parse_args())))
