"""What is told at a worker that does not have an account."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from worker.kafka.group import member_with
from worker.kafka.partitioner import partition_of
from worker.model import AccountId
from worker.status.other_workers import in_words

ACCOUNT = AccountId("acct-1")
PARTITION = partition_of(ACCOUNT, 4)
REST = sorted({0, 1, 2, 3} - {PARTITION})


@pytest.mark.parametrize("own", [[0, 1, 2, 3], [PARTITION]])
def test_nothing_is_told_where_this_worker_has_the_account(own: list[int]) -> None:
    """Nor is anybody asked."""
    assert in_words(ACCOUNT, 4, own, lambda _: pytest.fail("asked")) is None


@pytest.mark.parametrize(
    ("owner", "told"),
    [
        ("worker-7 on 10.0.0.7", "Another worker, worker-7 on 10.0.0.7, has account acct-1 now"),
        (None, "Another worker has account acct-1 now"),
    ],
)
def test_another_worker_is_told_and_named_where_kafka_says_which(owner: str | None, told: str) -> None:
    """Also by a worker that has no partition at all."""
    for own in (REST, []):
        words = in_words(ACCOUNT, 4, own, {PARTITION: owner}.get)
        assert words is not None
        assert words.startswith(told)
        assert f"(partition {PARTITION})" in words


def test_without_an_account_it_says_how_much_this_worker_has() -> None:
    """An address alone does not say which worker to ask."""
    assert in_words(None, 4, [0, 1, 2, 3], {}.get) is None
    assert str(in_words(None, 4, [1], {}.get)).startswith("This worker has 1 of 4 partitions now")


def test_the_member_with_a_partition_is_named_by_its_host() -> None:
    """As Kafka describes the group; of another topic's partition it does not count."""
    members = [
        SimpleNamespace(
            client_id=f"worker-{number}",
            host=f"/10.0.0.{number}",
            assignment=SimpleNamespace(topic_partitions=[SimpleNamespace(topic=topic, partition=number)]),
        )
        for number, topic in ((1, "customers"), (2, "customers"), (3, "other"))
    ]
    assert member_with(members, "customers", 2) == "worker-2 on 10.0.0.2"
    assert member_with(members, "customers", 3) is None
