"""The worker and the Mailchimp stand-in as separate processes, for benchmarks of flushes.

python -m benchmarks.worker serve ACCOUNTS, or flush FOLDER URL KAFKA TOPIC.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import requests
from confluent_kafka.admin import AdminClient, NewTopic

from benchmarks.processes import peak_mb
from tests import setters
from tests.staged import stage_batch
from worker.accounts import api_keys, lists
from worker.app import App
from worker.clock import as_text, utc_now
from worker.config import Config, Kafka, Mailchimp, Outcomes, Staging
from worker.consumer.decode import Record
from worker.flush.eligibility import Refused
from worker.kafka.partitioner import partition_of
from worker.model import AccountId, ListId
from worker.sandbox.server import SandboxServer
from worker.sandbox.server_state import StandIn
from worker.system.signals import stop_on_signals

PARTITIONS = 8


def account_ids(count: int) -> list[AccountId]:
    """Returns the ids of the benchmark's accounts."""
    return [AccountId(f"acct-{number}") for number in range(count)]


def list_of(account_id: AccountId) -> ListId:
    """Returns the one list of an account."""
    return ListId(f"list-{account_id}")


def key_of(number: int) -> str:
    """Returns the API key of an account by its number."""
    return f"{number:032x}-us1"


def new_topic() -> str:
    """Returns a new name for a topic."""
    return f"benchmark-{uuid.uuid4().hex[:12]}"


class Everybody:
    """Allows every account."""

    def why_not(self, account_id: AccountId) -> Refused | None:
        """Returns None: every account may be delivered."""
        return None

    def may_call(self, account_id: AccountId) -> bool:
        """Returns True."""
        return True


class StandInProcess:
    """The stand-in, which has a user, a key and a list for each account."""

    def __init__(self, base_url: str) -> None:
        self.base_url = base_url
        self._control = base_url.replace("/3.0", "/sandbox/")

    def get(self, what: str) -> Any:
        """Queries a control endpoint, such as ``counts``."""
        return requests.get(self._control + what, timeout=60).json()

    def first_names(self, list_id: ListId) -> Counter[str]:
        """Returns how many members of a list have each first name."""
        lists = (one for one in self.get("lists") if one["list"]["id"] == list_id)
        return Counter(member["merge_fields"].get("FNAME", "") for one in lists for member in one["members"])

    def put(self, what: str, value: Any) -> None:
        """Changes a setting of the stand-in, such as ``latency``."""
        requests.put(self._control + what, json=value, timeout=60).raise_for_status()


@contextmanager
def standin(accounts: int) -> Iterator[StandInProcess]:
    """Runs the stand-in for this many accounts."""
    command = [sys.executable, "-m", "benchmarks.worker", "serve", str(accounts)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield StandInProcess(process.stdout.readline().strip())
        finally:
            process.terminate()


def worker_app(folder: str, base_url: str, bootstrap_servers: str, topic: str, outcomes: str = "on") -> App:
    """Returns the App of a worker with default settings; `outcomes` is ``on`` or ``off``."""
    return App(
        Config(
            kafka=Kafka(bootstrap_servers=bootstrap_servers, topic=topic),
            staging=Staging(path=Path(folder) / "worker.db"),
            mailchimp=Mailchimp(base_url=base_url),
            outcomes=Outcomes(enabled=outcomes == "on"),
        )
    )


def create(app: App, accounts: Sequence[AccountId]) -> None:
    """Creates the topic, and accounts that are ready to be delivered."""
    admin = AdminClient({"bootstrap.servers": app.config.kafka.bootstrap_servers})
    topic = app.config.kafka.topic
    admin.create_topics([NewTopic(topic, PARTITIONS, 1)])[topic].result(30)
    with closing(app.open_database()) as db, closing(app.open_reader(db)) as reader:
        app.changelog.take_all_settings(reader.read_settings)
        take_ledger(app)
        for number, account_id in enumerate(accounts):
            asked: Any = {"secret": app.secret, "open_sender": app.open_client, "at": utc_now()}
            api_keys.connect(db, app.changelog, account_id, key_of(number), **asked)
            setters.enable(db, app.changelog, account_id)
            lists.refresh(db, app.changelog, account_id, **asked)
            setters.store(db, app.changelog, account_id, [list_of(account_id)])
            setters.choose_master(db, app.changelog, account_id, list_of(account_id))


def take_ledger(app: App) -> None:
    """Takes over all partitions of the ledger."""
    ledger = app.changelog.topics.ledger
    with closing(app.open_database()) as copy, closing(app.open_reader(copy)) as reader:
        for partition in range(ledger.partitions):
            app.changelog.take(ledger, partition, lambda partition=partition: reader.read_ledger(partition))  # type: ignore[misc]


def stage(app: App, accounts: Sequence[AccountId], numbers: range, name: str) -> None:
    """Stages an event of each customer of each account, as if read from Kafka."""
    with closing(app.open_database()) as db:
        for account_id in accounts:
            partition = partition_of(account_id, PARTITIONS)
            for start in range(0, len(numbers), 10_000):
                records = []
                for number in numbers[start : start + 10_000]:
                    customer = {"id": f"c{number}", "email": f"c{number}@example.com", "first_name": name}
                    kind = "com.billmywork.customer.updated"
                    event = {"id": f"{name}-{number}", "type": kind}
                    event["data"] = {"account_id": account_id, "customer": customer}  # type: ignore[assignment]
                    # An event that is staged later is newer, whatever its offset is.
                    records.append(Record(partition, time.monotonic_ns(), None, json.dumps(event).encode()))
                stage_batch(db, app.config.kafka.topic, "", records, as_text(utc_now()))


def flush(app: App) -> None:
    """Flushes once, until SIGTERM; prints the result as JSON."""
    stop = stop_on_signals()
    with closing(app.open_database()) as db, closing(app.open_reader(db)) as reader:
        app.changelog.take_all_settings(reader.read_settings)
    take_ledger(app)
    before, began = resource.getrusage(resource.RUSAGE_SELF), time.monotonic()
    run = app.flusher(stop).flush("command", lambda db: Everybody())
    seconds, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_SELF)
    result = {
        "seconds": seconds,
        "processor_seconds": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        "memory_mb": peak_mb(),
        "ended": run.ended,
        "settled": sum(one.settled for one in run.accounts),
        "messages": [one.message for one in run.accounts if one.message],
    }
    print(json.dumps(result), flush=True)


def start_flush(*where: str) -> subprocess.Popen[str]:
    """Starts a flush in a separate process, which prints its result."""
    return subprocess.Popen(
        [sys.executable, "-m", "benchmarks.worker", "flush", *where], stdout=subprocess.PIPE, text=True
    )


def ended(process: subprocess.Popen[str]) -> dict[str, Any]:
    """Waits for a flush, and returns its result."""
    out, _ = process.communicate(timeout=3600)
    assert process.returncode == 0, f"the flush ended with {process.returncode}"
    result: dict[str, Any] = json.loads(out)
    return result


def _serve(accounts: int) -> None:
    made = StandIn(utc_now)
    for number, account_id in enumerate(account_ids(accounts)):
        made.add_key(key_of(number), f"owner-{number}")
        made.create_list(f"owner-{number}", list_of(account_id), "Customers")
    with SandboxServer(made) as server:
        print(server.base_url, flush=True)
        server.join()


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        _serve(int(sys.argv[2]))
    else:
        flush(worker_app(*sys.argv[2:7]))
