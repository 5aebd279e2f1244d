"""Records that nobody should publish: none stops the worker, and each is staged, skipped or a dead letter."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.connected import connected
from tests.integration.topic import Topic, event
from tests.reliability.commands import Commands
from tests.reliability.mutations import mutated
from tests.staged import stage_batch
from worker.consumer.decode import Event, Record, Skipped, Undecodable, decode
from worker.kafka.partitioner import partition_of
from worker.model import AccountId
from worker.sandbox.server import SandboxServer
from worker.sandbox.server_state import StandIn
from worker.sqlite.database import open_database
from worker.store import accounts, counts, customers, dead_letters, offsets

RECORDS = 20_000
SOAK_RECORDS = int(os.environ.get("RECORDS", "1000000"))
ACCOUNT = AccountId("acct-1")
VALID_EVERY = 100
AT = "2026-11-22T10:00:00.000Z"


def valid(number: int) -> Record:
    """A record about a customer that no other is about."""
    told = event(f"valid-{number}", ACCOUNT, version=1, email=f"valid-{number}@example.com")
    return Record(0, 0, f"{ACCOUNT}/valid-{number}".encode(), json.dumps(told).encode())


def with_valid_ones(count: int, seed: int) -> Iterator[Record]:
    """Gives so many mutated records, a valid one after each hundred."""
    for number, one in enumerate(mutated(count, seed), 1):
        yield one
        if number % VALID_EVERY == 0:
            yield valid(number)


@pytest.mark.kafka
def test_twenty_thousand_mutated_records_stop_nothing(
    tmp_path: Path, topic: Topic, sandbox: SandboxServer, standin: StandIn
) -> None:
    """Over Kafka into staging and on to Mailchimp: every record is accounted for, every valid one is delivered."""
    commands = Commands(tmp_path, topic, sandbox.base_url)
    commands.make_accounts({ACCOUNT: ("master", "other")})
    records = list(with_valid_ones(RECORDS, seed=1))
    for one in records:
        topic.produce(one.value, one.key, partition_of(ACCOUNT, topic.partitions), list(one.headers))
    topic.flush()
    told = commands("run", "--once")
    decoded = [decode(one) for one in records]
    kinds = {kind: sum(isinstance(one, kind) for one in decoded) for kind in (Event, Skipped, Undecodable)}
    assert sum(kinds.values()) == len(records)
    assert min(kinds.values()) > RECORDS / 20, kinds
    with closing(commands.database()) as db:
        counted = counts.totals(db, topic.name)
        assert counted["skipped"] == kinds[Skipped]
        assert dead_letters.count(db) == kinds[Undecodable]
        assert {one.next_offset for one in offsets.of_topic(db, topic.name)} == {0, len(records)}
        people = {(one.account_id, one.customer_id) for one in decoded if isinstance(one, Event)}
        assert customers.total_count(db) == len(people)
        assert all(one.reason for one in dead_letters.all_letters(db))
        settings = accounts.find(db, ACCOUNT)
        assert settings is not None
        assert settings.pause is None, told
    on = {one.email for one in standin.members("master") if one.status == "subscribed"}
    assert on >= {f"valid-{number}@example.com" for number in range(VALID_EVERY, RECORDS + 1, VALID_EVERY)}, told
    assert commands.intact()


@pytest.mark.soak
@pytest.mark.timeout(0)
@pytest.mark.parametrize("seed", range(2, 6))
def test_a_million_mutated_records_stop_nothing(seed: int) -> None:
    """Straight into staging: each is staged, skipped or a dead letter, and what is staged can be read."""
    with closing(connected(open_database(":memory:"), ACCOUNT)) as db:
        batch: list[Record] = []
        for offset, one in enumerate(with_valid_ones(SOAK_RECORDS // 4, seed)):
            batch.append(Record(0, offset, one.key, one.value, one.headers))
            if len(batch) == 1000:
                stage_batch(db, "t", "id", batch, AT)
                batch = []
        assert len(customers.changed(db, ACCOUNT, None, 10**9)) > SOAK_RECORDS // 4 // VALID_EVERY - 1000
        assert dead_letters.all_letters(db)
