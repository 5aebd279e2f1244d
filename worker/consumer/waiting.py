"""What a worker waits for before it can flush, in words for the operator."""

from __future__ import annotations

import math

from worker.consumer.owned_partitions import OwnedPartitions


def why_waiting(owned_partitions: OwnedPartitions) -> str | None:
    """Returns what a flush must wait for now; None if it may start."""
    if owned_partitions.wait_until_ready(0):
        return None
    if owned_partitions.away_since is not None:
        return "Kafka does not answer."
    if (fault := owned_partitions.faults.topic) is not None:
        return fault
    if (why := owned_partitions.why_no_member(math.inf)) is not None:
        return why
    if not owned_partitions.owned():
        return "The group has given this worker no partition yet."
    if owned_partitions.waiting_seconds() > 0:
        return "Calls of another worker that had a partition before may still be under way (mailchimp.timeout)."
    if (why := owned_partitions.why_changelog_unread()) is not None:
        return why
    return "Its partitions are not read to their end yet."
