"""What a worker waits for before it can flush, in words."""

from __future__ import annotations

import pytest

from worker.cli.progress import QUIET_SECONDS, Waiting
from worker.consumer.owned_partitions import NOTHING_SECONDS, OwnedPartitions
from worker.consumer.waiting import why_no_member, why_waiting


def owned(*, follows: bool = False) -> OwnedPartitions:
    """Of a worker whose clock always shows the same."""
    return OwnedPartitions(lambda: 100.0, follows=follows)


def test_a_missing_topic_is_the_reason_until_its_partitions_are_assigned() -> None:
    """Also for readiness: the group cannot assign what is not there."""
    worker = owned()
    assert why_waiting(worker) == "The group has not assigned partitions to this worker yet."
    worker.session.topic_is_missing("Kafka has no topic t.")
    assert why_waiting(worker) == why_no_member(worker, 1.0) == "Kafka has no topic t."
    worker.assigned({0: (0, 0)})
    assert why_waiting(worker) is None
    assert worker.session.missing_topic is None


def test_an_outage_is_named_before_everything_else() -> None:
    """What the broker said before it went away may be out of date."""
    worker = owned()
    worker.session.topic_is_missing("Kafka has no topic t.")
    worker.session.away_since = 1.0
    assert why_waiting(worker) == "Kafka does not answer."


def test_an_unread_ledger_is_named_with_why_it_cannot_be_read() -> None:
    """The same reason of two threads is said once."""
    worker = owned(follows=True)
    worker.settings_read()
    worker.assigned({0: (0, 0)})
    worker.changelog_faults = {"settings": "Kafka has no topic t.ledger.", "ledger": "Kafka has no topic t.ledger."}
    assert why_waiting(worker) == "The ledger of these partitions is not read yet: 0. Kafka has no topic t.ledger."


def test_a_former_owner_and_unread_records_are_reasons_too() -> None:
    """The former owner first: the ledger is not read before its calls have ended."""
    worker = owned(follows=True)
    worker.settings_read()
    worker.assigned({0: (0, 5)}, {0: 10.0})
    assert "another worker that had a partition before" in str(why_waiting(worker))
    worker = owned()
    worker.assigned({0: (0, 5)})
    assert why_waiting(worker) == "Its partitions are not read to their end yet."


def test_a_new_member_without_partitions_waits_for_some_at_first() -> None:
    """Others may have to give them back."""
    now = [100.0]
    worker = OwnedPartitions(lambda: now[0])
    worker.assigned({})
    assert why_waiting(worker) == "The group has given this worker no partition yet."
    now[0] += NOTHING_SECONDS
    assert why_waiting(worker) is None


def test_a_command_says_once_what_it_waits_for_if_that_lasts(capsys: pytest.CaptureFixture[str]) -> None:
    """Another reason is said too; nothing that is over within seconds."""
    now = [0.0]
    waiting = Waiting(lambda: now[0])
    for reason, seconds in (("A.", 1.0), (None, 10.0), ("B.", QUIET_SECONDS), ("B.", 1.0), ("B.", 1.0), ("C.", 9.0)):
        waiting.update(reason)
        now[0] += seconds
    waiting.update("C.")
    assert capsys.readouterr().err.splitlines() == ["Waiting: B.", "Waiting: C."]
