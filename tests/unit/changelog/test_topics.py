"""What the topics of ledger and settings must be, so that nothing is lost and what was erased goes."""

from __future__ import annotations

import pytest

from worker.changelog.topics import new_topic, unbounded

DAY = "86400000"


def test_a_topic_that_the_worker_makes_drops_within_a_day_what_was_erased() -> None:
    """Compacted after a day at most, and its segments are closed as soon, since open ones are not compacted."""
    config = new_topic("customers.ledger", 12, 3).config
    assert {"max.compaction.lag.ms": DAY, "segment.ms": DAY, "cleanup.policy": "compact"}.items() <= config.items()
    assert unbounded("customers.ledger", config) is None


@pytest.mark.parametrize("lag", [str(2**63 - 1), "86400001"])
def test_a_topic_without_that_bound_is_reported_with_the_command_that_sets_it(lag: str) -> None:
    """As topics are that an earlier release or an operator made: who was erased may stay in them forever."""
    told = unbounded("customers.ledger", {"max.compaction.lag.ms": lag, "segment.ms": "604800000"})
    assert told is not None
    assert f"--topic customers.ledger --add-config max.compaction.lag.ms={DAY},segment.ms={DAY}" in told


def test_a_shorter_bound_and_a_broker_that_reports_none_are_right() -> None:
    """A longer segment time does not matter, since the bound closes segments too."""
    assert unbounded("x", {"max.compaction.lag.ms": "1000", "segment.ms": "604800000"}) is None
    assert unbounded("x", {}) is None
