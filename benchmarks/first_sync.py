"""A first sync and a day of changes, by the worker and by scripts with Mailchimp's official client.

The stand-in, Kafka, the worker and the scripts are separate processes. The scripts would take hours, so each runs for
some seconds, and the time for all contacts is extrapolated, which favours them. Prints Markdown. Exits with 1 if a side
did not do its work. Run it with:
python -m benchmarks.first_sync [--contacts N] [--changes N ...] [--latency SECONDS ...] [--sample SECONDS]
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.peers.official import AT_ONCE
from benchmarks.processes import NotDone, measured
from benchmarks.report import GOAL_HEAD, goal, machine, table, times
from benchmarks.worker import (
    StandInProcess,
    account_ids,
    create,
    ended,
    key_of,
    list_of,
    new_topic,
    stage,
    standin,
    start_flush,
    worker_app,
)
from tests.integration.broker import Broker, any_broker

OFFICIAL = Path(__file__).with_name("peers") / "official.py"
WORKER = "the worker"
SCRIPTS = (
    ("add", "official client, loop", 1),
    ("add", "official client, 10 threads", 10),
    ("batch", "official client, 500 a call, loop", 1),
    ("change", "official client, loop", 1),
    ("change", "official client, 10 threads", 10),
)


@dataclass(frozen=True)
class Side:
    """The result of one side.

    Attributes:
        what: adds or changes.
        contacts: number of contacts with which it was measured.
        seconds: time for these contacts.
        wanted: number of contacts that the figure is about.
        processor_seconds: of the worker; None for a script.
        memory_mb: peak memory.
    """

    what: str
    name: str
    latency: float
    contacts: int
    seconds: float
    wanted: int
    memory_mb: float
    processor_seconds: float | None = None

    @property
    def whole(self) -> float:
        """Seconds for all contacts, extrapolated if fewer were measured."""
        return self.seconds * self.wanted / self.contacts


def by_the_worker(
    broker: Broker, mailchimp: StandInProcess, latency: float, contacts: int, changes: int, wanted: int
) -> Iterator[Side]:
    """Flushes new contacts, then changes of some of them.

    Raises:
        NotDone: not everything was settled, or the list has wrong members.
    """
    account = account_ids(1)
    with tempfile.TemporaryDirectory() as folder:
        where = folder, mailchimp.base_url, broker.bootstrap_servers, new_topic()
        app = worker_app(*where)
        mailchimp.put("latency", {"seconds": 0})
        create(app, account)
        for what, count, name, all_of_them in (
            ("adds", contacts, "First", contacts),
            ("changes", changes, "Second", wanted),
        ):
            mailchimp.put("latency", {"seconds": 0})
            stage(app, account, range(count), name)
            mailchimp.put("latency", {"seconds": latency})
            result = ended(start_flush(*where))
            if result["settled"] != count:
                raise NotDone(f"the worker settled {result['settled']} of {count}: {result['messages']}")
            processor, memory = result["processor_seconds"], result["memory_mb"]
            yield Side(what, WORKER, latency, count, result["seconds"], all_of_them, memory, processor)
            check(mailchimp, 0, {"Second": count, "First": contacts - count} if what == "changes" else {"First": count})


def by_scripts(mailchimp: StandInProcess, latency: float, contacts: int, changes: int, sample: float) -> Iterator[Side]:
    """Runs each script for about `sample` seconds, on its own list.

    Raises:
        NotDone: a list has wrong members.
    """
    for number, (act, name, threads) in enumerate(SCRIPTS, 1):
        each = AT_ONCE if act == "batch" else 1
        wanted = changes if act == "change" else contacts
        calls = max(1, min(wanted // each, int(sample * threads / max(latency, 0.005))))
        if act == "change":
            mailchimp.put("latency", {"seconds": 0})
            script(mailchimp, number, "batch", -(-calls // AT_ONCE), 1, "First")
        mailchimp.put("latency", {"seconds": latency})
        seconds, memory = script(mailchimp, number, act, calls, threads, "Second")
        mailchimp.put("latency", {"seconds": 0})
        others = -(-calls // AT_ONCE) * AT_ONCE - calls if act == "change" else 0
        check(mailchimp, number, {"Second": calls * each} | ({"First": others} if others else {}))
        yield Side("changes" if act == "change" else "adds", name, latency, calls * each, seconds, wanted, memory)


def script(
    mailchimp: StandInProcess, number: int, act: str, calls: int, threads: int, name: str
) -> tuple[float, float]:
    """Runs a script; returns its seconds without its start, and its peak memory in MB."""
    account = account_ids(number + 1)[number]
    what = mailchimp.base_url, key_of(number), list_of(account), act, str(calls), str(threads), name
    result = measured([sys.executable, str(OFFICIAL), *what])
    return json.loads(result.output), result.memory_mb


def check(mailchimp: StandInProcess, number: int, wanted: dict[str, int]) -> None:
    """Checks how many members of a list have each first name.

    Raises:
        NotDone: they differ.
    """
    found: dict[str, int] = mailchimp.first_names(list_of(account_ids(number + 1)[number]))
    wanted = {name: count for name, count in wanted.items() if count}
    if found != wanted:
        raise NotDone(f"list {number} has {found} where {wanted} should be")


def measure(broker: Broker, contacts: int, changes: list[int], latencies: list[float], sample: float) -> list[Side]:
    """Measures every side with each latency.

    Args:
        broker: holds the worker's ledger.
        contacts: number that the worker adds.
        changes: number that the worker makes, for each latency. All sides are extrapolated to the first one.
        latencies: seconds that a call takes.
        sample: seconds for each script.

    Raises:
        NotDone: a side did not do its work.
    """
    sides: list[Side] = []
    for latency, own_changes in zip(latencies, changes, strict=True):
        with standin(len(SCRIPTS) + 1) as mailchimp:
            sides += by_the_worker(broker, mailchimp, latency, contacts, own_changes, changes[0])
            sides += by_scripts(mailchimp, latency, contacts, changes[0], sample)
    return sides


def report(sides: list[Side]) -> str:
    """Returns the figures as Markdown: the result in a line, then all of them."""
    own = {(one.what, one.latency): one for one in sides if one.name == WORKER}
    adds, changes = ({key[1]: one for key, one in own.items() if key[0] == what} for what in ("adds", "changes"))
    first = []
    for latency in adds:
        threads = {one.what: one.whole for one in sides if one.latency == latency and one.name.endswith("threads")}
        first.append(
            f"{latency * 1000:.0f} ms a call: {adds[latency].wanted:,} contacts in {times(adds[latency].whole)}, "
            f"{changes[latency].wanted:,} changes in {times(changes[latency].whole)}; the official client in 10 "
            f"threads takes {times(threads['adds'])} and {times(threads['changes'])}"
        )
    rows = [_row(one, own[one.what, one.latency]) for one in sides]
    latency = next(iter(adds))
    goals = [
        goal("processor time a change, ms", _each(changes[latency]), 1.0),
        goal("processor time a contact added, ms", _each(adds[latency]), 0.15),
    ]
    head = ("A call", "What", "Side", "Measured with", "Seconds", "For all", "÷ the worker", "Peak memory")
    return "\n\n".join([f"**{'. '.join(first)}.**", table(head, rows, left=3), table(GOAL_HEAD, goals), machine()])


def _row(one: Side, own: Side) -> list[str]:
    for_all: Any = times(one.whole) if one.contacts == one.wanted else f"≈ {times(one.whole)}"
    return [
        f"{one.latency * 1000:.0f} ms",
        one.what,
        one.name,
        f"{one.contacts:,}",
        f"{one.seconds:.1f}",
        for_all,
        f"{one.whole / own.whole:.1f}",
        f"{one.memory_mb:.0f} MB",
    ]


def _each(one: Side) -> float:
    assert one.processor_seconds is not None, "it is measured of the worker"
    return 1000 * one.processor_seconds / one.contacts


def main(contacts: int, changes: list[int], latency: list[float], sample: float) -> int:
    """Measures all sides, and prints the report; returns the exit code."""
    with tempfile.TemporaryDirectory() as folder, any_broker(Path(folder)) as broker:
        try:
            print(report(measure(broker, contacts, changes, latency, sample)))
        except NotDone as problem:
            print(f"NOT DONE: {problem}")
            return 1
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--contacts", type=int, default=100_000)
    parser.add_argument("--changes", type=int, nargs="+", default=[20_000, 1_000], help="one for each latency")
    parser.add_argument("--latency", type=float, nargs="+", default=[0.1, 0.5])
    parser.add_argument("--sample", type=float, default=6.0)
    sys.exit(main(**vars(parser.parse_args())))
