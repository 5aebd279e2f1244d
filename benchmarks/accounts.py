"""Flushes changed customers of several accounts, with and without time between the worker and its broker.

The Mailchimp stand-in, Kafka, the worker and a proxy before Kafka are processes of their own. Prints how much longer it
took than the calls would take one after the other on all connections, and the worker's processor time. Run it with:
python -m benchmarks.accounts [--accounts N ...] [--changes N] [--latency SECONDS] [--delay SECONDS]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.worker import StandInProcess, account_ids, create, ended, list_of, stage, standin, start_flush, wired
from tests.integration.broker import Broker, any_broker

AT_ONCE = 8
"""Accounts that the worker delivers side by side."""
CONNECTIONS = 8
"""Calls of each account side by side."""


@dataclass(frozen=True)
class Round:
    """One flush.

    Attributes:
        calls: how many the stand-in counted.
        ideal: seconds that these take if every connection is always busy.
        told: what the worker's process said.
    """

    what: str
    customers: int
    calls: int
    ideal: float
    told: dict[str, Any]

    @property
    def ratio(self) -> float:
        """How many times longer it took."""
        return float(self.told["seconds"]) / self.ideal

    @property
    def milliseconds(self) -> float:
        """Processor time of the worker's process a customer."""
        return 1000 * float(self.told["processor_seconds"]) / self.customers

    @property
    def whole(self) -> bool:
        """Whether all was done."""
        return self.told["ended"] == "done" and self.told["settled"] == self.customers


def measure(
    broker: Broker, accounts: int, customers: int, latency: float, delay: float
) -> tuple[list[Round], list[str]]:
    """Adds so many customers of each account, and changes them; once more with the proxy, where there can be one.

    Returns:
        The flushes, and what is wrong at Mailchimp after them.
    """
    with standin(accounts) as mailchimp, tempfile.TemporaryDirectory() as folder:
        topic = f"benchmark-{uuid.uuid4().hex[:12]}"
        app = wired(folder, mailchimp.base_url, broker.bootstrap_servers, topic, AT_ONCE)
        create(app, account_ids(accounts))
        mailchimp.put("latency", {"seconds": latency})
        rounds: list[Round] = []

        def carry_out(what: str, name: str, bootstrap_servers: str) -> None:
            stage(app, account_ids(accounts), range(customers), name)
            calls = mailchimp.get("counts")["total"]
            where = folder, mailchimp.base_url, bootstrap_servers, topic, str(AT_ONCE)
            told = ended(start_flush(*where))
            calls = mailchimp.get("counts")["total"] - calls
            ideal = calls * latency / (min(accounts, AT_ONCE) * CONNECTIONS)
            rounds.append(Round(what, accounts * customers, calls, ideal, told))

        carry_out("adds", "First", broker.bootstrap_servers)
        carry_out("changes", "Second", broker.bootstrap_servers)
        name = "Second"
        if broker.behind is not None and delay:
            with proxy(broker.behind, delay) as bootstrap_servers:
                carry_out(f"changes, {delay * 1000:.0f} ms to the broker", "Third", bootstrap_servers)
            name = "Third"
        return rounds, wrong(mailchimp, accounts, customers, name)


def wrong(mailchimp: StandInProcess, accounts: int, customers: int, name: str) -> list[str]:
    """Returns which lists do not hold every customer with its last name."""
    found = {
        one["list"]["id"]: sum(member["merge_fields"].get("FNAME") == name for member in one["members"])
        for one in mailchimp.get("lists")
    }
    return [one for one in map(list_of, account_ids(accounts)) if found.get(one) != customers]


@contextmanager
def proxy(behind: tuple[int, int], delay: float) -> Iterator[str]:
    """Puts time before a broker; gives where to find it."""
    target, port = behind
    command = [sys.executable, "-m", "benchmarks.delay", str(port), str(target), str(delay)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            yield f"127.0.0.1:{port}"
        finally:
            process.terminate()


def main(accounts: list[int], customers: int | None, latency: float, delay: float) -> int:
    """Measures for each number of accounts, and prints a table; returns the exit code."""
    failed = False
    print(f"Load at the beginning: {os.getloadavg()[0]:.1f}")
    print("| Accounts | Flush | Customers | Calls | Seconds | ÷ ideal | Processor time each | Peak memory |")
    print("| ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    with tempfile.TemporaryDirectory() as folder, any_broker(Path(folder)) as broker:
        for count in accounts:
            rounds, lists = measure(broker, count, customers or max(20, 4800 // count), latency, delay)
            for one in rounds:
                print(
                    f"| {count} | {one.what} | {one.customers:,} | {one.calls:,} | {one.told['seconds']:.1f} "
                    f"| {one.ratio:.2f} | {one.milliseconds:.2f} ms | {one.told['memory_mb']:.0f} MB |",
                    flush=True,
                )
            for problem in [*lists, *(str(one.told) for one in rounds if not one.whole)]:
                print(f"NOT DONE: {problem}")
                failed = True
    print(f"Load at the end: {os.getloadavg()[0]:.1f}")
    return int(failed)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--accounts", type=int, nargs="+", default=[8, 64])
    parser.add_argument("--changes", type=int, help="of each account; 4,800 in all by default")
    parser.add_argument("--latency", type=float, default=0.1)
    parser.add_argument("--delay", type=float, default=0.01)
    given = parser.parse_args()
    sys.exit(main(given.accounts, given.changes, given.latency, given.delay))
