"""What commands say at a worker that does not have the account."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from confluent_kafka import ConsumerGroupState

from worker.kafka.group import Member, member, others_in
from worker.kafka.partitioner import partition_of
from worker.model import AccountId
from worker.status.other_workers import in_words

ACCOUNT = AccountId("acct-1")
PARTITION = partition_of(ACCOUNT, 4)
TOPIC_PARTITIONS = (("customers", 3), ("other", 2), ("customers", 1))
REST = sorted({0, 1, 2, 3} - {PARTITION})


@pytest.mark.parametrize("own", [[0, 1, 2, 3], [PARTITION]])
def test_nothing_is_told_where_this_worker_has_the_account(own: list[int]) -> None:
    """Nor is anybody asked."""
    assert in_words(ACCOUNT, 4, own, lambda: pytest.fail("asked")) is None


@pytest.mark.parametrize(
    ("owner", "told"),
    [
        ("worker-7 on 10.0.0.7", "Another worker, worker-7 on 10.0.0.7, has account acct-1 now"),
        (None, "Another worker has account acct-1 now"),
    ],
)
def test_another_worker_is_reported_and_named_where_kafka_says_which(owner: str | None, told: str) -> None:
    """Also by a worker that has no partition at all."""
    for own in (REST, []):
        words = in_words(ACCOUNT, 4, own, lambda: [Member(owner, (PARTITION,))] if owner else [])
        assert words is not None
        assert words.startswith(told)
        assert f"(partition {PARTITION})" in words


def test_without_an_account_it_says_how_much_this_worker_has() -> None:
    """An address alone does not say which worker to ask."""
    assert in_words(None, 4, [0, 1, 2, 3], list) is None
    assert str(in_words(None, 4, [1], list)).startswith("This worker has 1 of 4 partitions now")


def test_a_member_is_named_by_its_client_id_and_its_host() -> None:
    """As Kafka describes the group; partitions of other topics are left out."""
    assigned = [SimpleNamespace(topic=topic, partition=number) for topic, number in TOPIC_PARTITIONS]
    described = SimpleNamespace(
        client_id="worker-2", host="/10.0.0.2", assignment=SimpleNamespace(topic_partitions=assigned)
    )
    assert member(described, "customers") == Member("worker-2 on 10.0.0.2", (1, 3))


def test_only_other_workers_of_a_stable_group_own_partitions() -> None:
    """A session that this worker's former process left is nobody else; during a rebalance nothing is certain."""

    def described(client_id: str, partition: int) -> SimpleNamespace:
        assigned = SimpleNamespace(topic_partitions=[SimpleNamespace(topic="customers", partition=partition)])
        return SimpleNamespace(client_id=client_id, host="/10.0.0.2", assignment=assigned)

    members = [described("worker-1", 0), described("worker-2", 1)]
    group = SimpleNamespace(state=ConsumerGroupState.STABLE, members=members)
    assert others_in(group, "customers", "worker-1") == {1: "worker-2 on 10.0.0.2"}
    group.state = ConsumerGroupState.PREPARING_REBALANCING
    assert others_in(group, "customers", "worker-1") == {}
