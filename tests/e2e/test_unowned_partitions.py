"""What a worker drops of partitions that are another worker's, and reads again when they come back.

Judged by what Mailchimp holds and by the calls that it got, and by what is left in the database's file.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from tests.e2e.test_main_job import members
from tests.integration.topic import Topic, event
from tests.reliability.commands import Commands
from worker.app import App
from worker.clock import as_text, utc_now
from worker.config import Config, Kafka, Staging
from worker.consumer.owned_partitions import OwnedPartitions
from worker.jobs.retention import drop_unowned
from worker.kafka.partitioner import partition_of
from worker.sandbox.server import SandboxServer
from worker.sandbox.server_state import StandIn
from worker.sqlite.database import Database, open_database
from worker.store import unowned
from worker.store.unowned import PartitionBack

pytestmark = [pytest.mark.kafka, pytest.mark.usefixtures("whole_kafka")]
TABLES = ("customer", "ledger", "standing", "receipt", "account_partition", "forgotten", "dead_letter")


@pytest.fixture
def cli(tmp_path: Path, topic: Topic, sandbox: SandboxServer) -> Commands:
    """Commands with two accounts, whose partitions are different ones."""
    made = Commands(tmp_path, topic, sandbox.base_url, **{"session.timeout.ms": 5000})
    made.make_accounts({"acct-1": ("master",), "acct-2": ("other",)})
    return made


@pytest.fixture
def db(cli: Commands) -> Iterator[Database]:
    """The worker's database, in which both accounts were delivered, and ann has left."""
    publish(cli.topic, "acct-1", 1, "ann", "bob", "dee")
    publish(cli.topic, "acct-2", 1, "eve")
    cli("run", "--once")
    with closing(open_database(cli.path)) as made:
        yield made


def publish(topic: Topic, account: str, version: int, *customers: str, **members: str) -> None:
    """Publishes a state of customers."""
    topic.publish(event(one, account, version=version, email=f"{one}@example.com", **members) for one in customers)


def left(db: Database) -> dict[str, set[str]]:
    """Of which accounts the tables have rows."""
    return {
        table: {row["account_id"] for row in db.execute(f"SELECT account_id FROM {table}")}
        for table in TABLES
        if db.execute(f"SELECT 1 FROM {table} LIMIT 1").fetchone()
    }


def drop(cli: Commands, db: Database, *owned: int, hours: float = 0) -> int:
    """Looks for partitions to drop as a worker does that has some, so many hours from now."""
    secret = Path(cli.environment.get("WORKER_SECRET_KEY_FILE") or cli.folder / "worker.db.key")
    kafka = Kafka(bootstrap_servers=cli.topic.broker.bootstrap_servers, topic=cli.topic.name)
    config = Config(kafka=kafka, staging=Staging(path=cli.path), secret_key_file=secret)
    app = App(config, lambda: utc_now() + timedelta(hours=hours))
    partitions = OwnedPartitions()
    partitions.assigned(dict.fromkeys(owned, (0, 0)))
    return drop_unowned(app, db, partitions)


def partition(cli: Commands, account: str) -> int:
    """The account's partition."""
    return partition_of(account, cli.topic.partitions)


def test_what_is_another_workers_for_a_day_is_dropped(cli: Commands, db: Database) -> None:
    """Not before; customers, receipts, ledger and statuses go, also from the file; the other account's stay."""
    mine, others = partition(cli, "acct-2"), partition(cli, "acct-1")
    assert mine != others
    assert drop(cli, db, mine) == 0
    assert drop(cli, db, mine, hours=23) == 0
    assert drop(cli, db, mine, others, hours=23.5) == 0  # it came back: a day counts from the start again
    assert drop(cli, db, mine, hours=24.5) == 0
    assert left(db)["customer"] == {"acct-1", "acct-2"}
    assert drop(cli, db, mine, hours=49) == 1
    assert set().union(*left(db).values()) == {"acct-2"}
    assert drop(cli, db, mine, hours=80) == 0
    db.empty_log()
    for file in cli.folder.glob("worker.db*"):
        assert b"ann@example.com" not in file.read_bytes(), file


def test_what_comes_back_is_read_again(cli: Commands, db: Database, standin: StandIn) -> None:
    """It costs no call, nobody who left is put back, and a later change is delivered as one."""
    standin.by_hand("master", "ann@example.com", "unsubscribe")
    publish(cli.topic, "acct-1", 2, "ann", first_name="Ann")
    cli("run", "--once")
    drop(cli, db)
    assert drop(cli, db, hours=25) == cli.topic.partitions
    assert left(db) == {}
    standin.audit.clear_calls()
    cli("run", "--once")
    assert [call for call in standin.audit.calls if not call.call.reads_only] == []
    assert left(db)["customer"] == {"acct-1", "acct-2"}
    publish(cli.topic, "acct-1", 3, "bob", first_name="Bob")
    publish(cli.topic, "acct-1", 3, "ann", first_name="Anna")
    cli("run", "--once")
    found = members(standin)
    assert found["ann@example.com"] == "unsubscribed"
    assert found["bob@example.com"] == "subscribed"


@pytest.mark.parametrize("steps", [0, 1, 2, 3])
def test_what_comes_back_while_it_is_dropped_is_read_again(
    cli: Commands, db: Database, standin: StandIn, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    """Wherever the dropping was: it ends at once, and what is gone already is read from the beginning."""
    standin.by_hand("master", "ann@example.com", "unsubscribe")
    publish(cli.topic, "acct-1", 2, "ann", first_name="Ann")
    cli("run", "--once")
    drop(cli, db)
    with monkeypatch.context() as broken:
        done: list[str] = []
        really = unowned._drop

        def until_back(db: Database, number: int, table: str, *rest: object) -> int:
            if len(done) == steps and not done.count("back"):
                done.append("back")
                with closing(open_database(cli.path)) as own:
                    unowned.events_back(own, number, as_text(utc_now()))
            done.append(table)
            return really(db, number, table, *rest)  # type: ignore[arg-type]

        broken.setattr(unowned, "_drop", until_back)
        drop(cli, db, hours=25)
    standin.audit.clear_calls()
    cli("run", "--once")
    assert [call for call in standin.audit.calls if not call.call.reads_only] == []
    assert left(db)["customer"] == {"acct-1", "acct-2"}
    assert left(db)["ledger"] == {"acct-1", "acct-2"}
    publish(cli.topic, "acct-1", 3, "ann", first_name="Anna")
    cli("run", "--once")
    assert members(standin)["ann@example.com"] == "unsubscribed"
    assert db.execute("SELECT count(*) FROM unowned_partition").fetchone()[0] == 0


def test_a_command_that_reads_the_ledger_keeps_it_for_another_day(cli: Commands, db: Database) -> None:
    """Forget reads all partitions: what it read is dropped a day later, and none of it while it may be used."""
    mine = partition(cli, "acct-2")
    drop(cli, db, mine)
    cli("forget", "bob@example.com", "--keep-members", "--yes")
    assert drop(cli, db, mine, hours=23) == 0
    assert drop(cli, db, mine, hours=25) == 1
    with db.transaction(), pytest.raises(PartitionBack):
        unowned._check(db, partition(cli, "acct-1"))
