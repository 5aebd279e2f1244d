"""Flushes 100,000 new and then 20,000 changed customers of one account, and stops each flush in the middle.

The Mailchimp stand-in, Kafka and the worker are separate processes. Prints times, calls, connections and the worker's
peak memory. Exits with 1 if a stop took too long, or something was not settled in the end. Run it with: python -m
benchmarks.flush [--adds N] [--changes N]
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.worker import account_ids, create, ended, new_topic, stage, standin, start_flush, worker_app
from tests.integration.broker import any_broker

STOP_AFTER = 9.0
MOST_SECONDS_TO_STOP = 10.0


def flushed(*where: str, stop_after: float | None = None) -> dict[str, Any]:
    """Runs a flush in a separate process; returns its output, with the seconds that it took to stop."""
    process = start_flush(*where)
    result: dict[str, Any] = {}
    if stop_after is not None:
        try:
            process.wait(stop_after)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGTERM)
        began = time.monotonic()
        process.wait(60)
        result["seconds_to_stop"] = time.monotonic() - began
    return ended(process) | result


def measure(adds: int, changes: int) -> int:
    """Runs all flushes and prints a table; returns the exit code."""
    with (
        standin(1) as mailchimp,
        tempfile.TemporaryDirectory() as name,
        any_broker(Path(name)) as broker,
    ):
        where = name, mailchimp.base_url, broker.bootstrap_servers, new_topic()
        app = worker_app(*where)
        create(app, account_ids(1))
        stage(app, account_ids(1), range(adds), "First")
        rows = [
            ("adds, stopped", flushed(*where, stop_after=STOP_AFTER)),
            ("adds, the rest", flushed(*where)),
        ]
        stage(app, account_ids(1), range(changes), "Second")
        rows.append(("changes, stopped", flushed(*where, stop_after=STOP_AFTER)))
        rows.append(("changes, the rest", flushed(*where)))
        counts = mailchimp.get("counts")
    print("| Flush | Settled | Seconds | Processor time each | Peak memory | RunResult | Seconds to stop |")
    print("| --- | ---: | ---: | ---: | ---: | --- | ---: |")
    for what, result in rows:
        stopped = f"{result['seconds_to_stop']:.1f}" if "seconds_to_stop" in result else ""
        each = 1000 * result["processor_seconds"] / max(1, result["settled"])
        print(
            f"| {what} | {result['settled']} | {result['seconds']:.1f} | {each:.2f} ms | {result['memory_mb']:.0f} MB "
            f"| {result['ended']} | {stopped} |"
        )
    print(f"\nThe stand-in counted: {json.dumps(counts)}")
    settled = sum(result["settled"] for _, result in rows)
    late = [result for _, result in rows if result.get("seconds_to_stop", 0) > MOST_SECONDS_TO_STOP]
    return int(settled != adds + changes or bool(late))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--adds", type=int, default=100_000)
    parser.add_argument("--changes", type=int, default=20_000)
    given = parser.parse_args()
    sys.exit(measure(given.adds, given.changes))
