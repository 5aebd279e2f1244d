"""How an account's part of a run ends when Kafka or the database refuses what it did."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from worker.clock import utc_now
from worker.errors import KafkaError, PartitionGivenUp, WriterFenced
from worker.flush.recorder import Recorder
from worker.flush.step_result import Halted
from worker.metrics import Metrics
from worker.model import AccountId
from worker.sqlite.database import Database, open_database
from worker.store.accounts import AccountSettings


def recorder_of(db: Database, *, ours: bool) -> Recorder:
    """A recorder of an account.

    Args:
        ours: whether the group leaves the partition to this worker.
    """
    request: Any = SimpleNamespace(
        config=SimpleNamespace(clock=utc_now, metrics=Metrics(), connections=3),
        permission=SimpleNamespace(ours=lambda: ours),
        queue=None,
        run=1,
        delivers=True,
    )
    return Recorder(db, request, AccountSettings(AccountId("acct-1")))


FENCED = WriterFenced("Another worker or command took over partition 1.", "Check that no two consumer groups use it.")
GIVEN_UP = PartitionGivenUp("Partition 1 is not this worker's any more.", "Try again.")
REFUSED = KafkaError("Kafka rejected a write.", "Try again.")


@pytest.mark.parametrize(
    ("error", "ours", "words"),
    [
        (FENCED, True, "A command took over the account's ledger"),
        (GIVEN_UP, True, "A command took over the account's ledger"),
        (FENCED, False, "Another worker or command took over"),
        (REFUSED, True, "Kafka rejected a write."),
    ],
)
def test_a_command_that_takes_the_ledger_is_no_alarm(error: KafkaError, ours: bool, words: str) -> None:
    """The rest is delivered by itself; two groups are suspected only if no command ran."""
    db = open_database(":memory:")
    recorder = recorder_of(db, ours=ours)
    raised = recorder.not_committed(error)
    ended = recorder.ended or ""
    assert ended.startswith(words)
    assert ("The rest is delivered by itself" in ended) == ended.startswith("A command")
    assert str(raised) in ended
    db.close()


def test_a_partition_that_the_group_gave_away_ends_the_part_without_a_reason() -> None:
    """Its next owner delivers the rest."""
    db = open_database(":memory:")
    recorder = recorder_of(db, ours=False)
    assert isinstance(recorder.not_committed(GIVEN_UP), Halted)
    assert recorder.ended is None
    db.close()
