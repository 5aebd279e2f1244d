"""Flushes 100,000 new and then 20,000 changed customers of one account over HTTP, and stops in the middle of it.

The Mailchimp stand-in, Kafka, which keeps the ledger, and the worker are processes of their own. Prints times, calls,
connections and the worker's peak of memory. Run it with: python -m benchmarks.flush [--adds N] [--changes N]
"""

from __future__ import annotations

import argparse
import json
import resource
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

import requests
from confluent_kafka.admin import AdminClient, NewTopic

from tests.integration.broker import any_broker
from worker.accounts import api_keys, lists, settings
from worker.app import App
from worker.clock import as_text, utc_now
from worker.config import Config, Kafka, Mailchimp, Staging
from worker.consumer.batch import stage_batch
from worker.consumer.decode import Record
from worker.model import AccountId, ListId
from worker.sandbox.server import SandboxServer
from worker.sandbox.server_state import StandIn
from worker.signals import stop_on_signals
from worker.store.runs import AccountRun

KEY = "0123456789abcdef0123456789abcdef-us1"
ACCOUNT = AccountId("acct-1")
STOP_AFTER = 9.0
MOST_SECONDS_TO_STOP = 10.0


class Everybody:
    """Permits every account."""

    def why_not(self, account_id: AccountId) -> str | None:
        """Returns nothing."""
        return None

    def may_call(self, account_id: AccountId) -> bool:
        """Always."""
        return True


def serve() -> None:
    """Runs the stand-in until it is ended."""
    standin = StandIn(utc_now)
    standin.add_key(KEY, "owner")
    standin.create_list("owner", "master", "Master")
    with SandboxServer(standin) as server:
        print(server.base_url, flush=True)
        server.join()


def wired(folder: Path, base_url: str, bootstrap_servers: str) -> App:
    """Wires the worker."""
    return App(
        Config(
            kafka=Kafka(bootstrap_servers=bootstrap_servers),
            staging=Staging(path=folder / "worker.db"),
            mailchimp=Mailchimp(base_url=base_url),
        )
    )


def flush(app: App) -> None:
    """Flushes once, stopped by SIGTERM; prints what it did as JSON."""
    stop = stop_on_signals()
    began = time.monotonic()
    run = app.flusher(stop).flush("command", Everybody())
    # The stop may have come too late, so that nothing was left.
    part = run.accounts[0] if run.accounts else AccountRun(ACCOUNT, {}, 0)
    print(
        json.dumps(
            {
                "seconds": time.monotonic() - began,
                "memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
                "ended": run.ended,
                "settled": part.settled,
                "counts": dict(part.counts),
            }
        )
    )


def stage(app: App, numbers: range, name: str, offset: int) -> None:
    """Stages events as they come from Kafka."""
    db = app.open_database()
    for start in range(0, len(numbers), 10_000):
        records = []
        for number in numbers[start : start + 10_000]:
            customer = {"id": f"c{number}", "email": f"customer{number}@example.com", "first_name": name}
            event = {
                "id": f"{name}-{number}",
                "type": "com.billmywork.customer.updated",
                "data": {"account_id": ACCOUNT, "customer": customer},
            }
            records.append(Record(0, offset + number, None, json.dumps(event).encode()))
        stage_batch(db, "billmywork.customers", "", records, as_text(utc_now()))
    db.close()


def flushed(*where: str, stop_after: float | None = None) -> dict[str, object]:
    """Runs the flush in a process of its own; returns what it printed, and how long it took to stop."""
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.flush", "--flush", *where], stdout=subprocess.PIPE, text=True
    )
    told: dict[str, object] = {}
    if stop_after is not None:
        try:
            process.wait(stop_after)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGTERM)
        began = time.monotonic()
        process.wait(60)
        told["seconds_to_stop"] = time.monotonic() - began
    out, _ = process.communicate(timeout=1800)
    assert process.returncode == 0, f"the flush ended with {process.returncode}"
    return json.loads(out) | told


def measure(adds: int, changes: int) -> int:
    """Runs all of it and prints a table; returns the exit code."""
    server = subprocess.Popen([sys.executable, "-m", "benchmarks.flush", "--serve"], stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        base_url = server.stdout.readline().strip()
        with tempfile.TemporaryDirectory() as name, any_broker(Path(name)) as broker:
            folder, where = Path(name), (name, base_url, broker.bootstrap_servers)
            app = wired(folder, base_url, broker.bootstrap_servers)
            topic = app.config.kafka.topic
            admin = AdminClient({"bootstrap.servers": broker.bootstrap_servers})
            admin.create_topics([NewTopic(topic, 1, 1)])[topic].result(30)
            # Nothing is there yet; what is written from now on is known to be.
            with closing(app.open_database()) as copy, closing(app.open_reader(copy)) as reader:
                reader.read_settings()
                reader.read_ledger(0)
            db = app.open_database()
            api_keys.connect(
                db, app.changelog, ACCOUNT, KEY, secret=app.secret, open_sender=app.open_client, at=utc_now()
            )
            settings.enable(db, app.changelog, ACCOUNT)
            lists.refresh(db, app.changelog, ACCOUNT, secret=app.secret, open_sender=app.open_client, at=utc_now())
            lists.store(db, app.changelog, ACCOUNT, [ListId("master")])
            lists.choose_master(db, app.changelog, ACCOUNT, ListId("master"))
            db.close()
            stage(app, range(adds), "First", 0)
            rows = [
                ("adds, stopped", flushed(*where, stop_after=STOP_AFTER)),
                ("adds, the rest", flushed(*where)),
            ]
            stage(app, range(changes), "Second", adds)
            rows.append(("changes, stopped", flushed(*where, stop_after=STOP_AFTER)))
            rows.append(("changes, the rest", flushed(*where)))
        counts = requests.get(base_url.replace("/3.0", "/sandbox/counts"), timeout=60).json()
    finally:
        server.terminate()
    print("| Flush | Settled | Seconds | Peak memory | Ended | Seconds to stop |")
    print("| --- | ---: | ---: | ---: | --- | ---: |")
    for what, told in rows:
        stopped = f"{told['seconds_to_stop']:.1f}" if "seconds_to_stop" in told else ""
        print(
            f"| {what} | {told['settled']} | {told['seconds']:.1f} | {told['memory_mb']:.0f} MB | {told['ended']} "
            f"| {stopped} |"
        )
    print(f"\nThe stand-in counted: {json.dumps(counts)}")
    settled = sum(int(str(told["settled"])) for _, told in rows)
    late = [told for _, told in rows if float(str(told.get("seconds_to_stop", 0))) > MOST_SECONDS_TO_STOP]
    return int(settled != adds + changes or bool(late))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--adds", type=int, default=100_000)
    parser.add_argument("--changes", type=int, default=20_000)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--flush", nargs=3, metavar=("FOLDER", "URL", "KAFKA"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        serve()
    elif given.flush:
        flush(wired(Path(given.flush[0]), *given.flush[1:]))
    else:
        sys.exit(measure(given.adds, given.changes))
