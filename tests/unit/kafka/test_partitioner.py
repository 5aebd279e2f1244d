"""Which partition an account belongs in."""

from __future__ import annotations

from pathlib import Path

import yaml

from worker.kafka.partitioner import murmur2, partition_of

ASYNCAPI = yaml.safe_load((Path(__file__).parents[3] / "config" / "asyncapi.yaml").read_text())


def test_agrees_with_the_published_vectors() -> None:
    """Hash and partition are those of Kafka's own partitioner, as the contract lists them."""
    for vector in ASYNCAPI["channels"]["customers"]["x-partitioning"]["vectors"]:
        account_id = vector["account_id"]
        assert murmur2(account_id.encode()) == vector["murmur2"] % 2**32
        for partitions in (6, 12, 50):
            assert partition_of(account_id, partitions) == vector[f"partition_of_{partitions}"]
