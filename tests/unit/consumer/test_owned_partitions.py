"""What the flush may know and do by what the group gave to this worker."""

from __future__ import annotations

from worker.consumer.owned_partitions import NOTHING_SECONDS, OwnedPartitions


class Timer:
    """A monotonic clock that a test sets."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        """The seconds."""
        return self.now


def test_no_call_is_begun_for_what_was_not_given() -> None:
    """Only what this worker holds may be called for."""
    owned_partitions = OwnedPartitions(Timer())
    owned_partitions.session.polled()
    assert owned_partitions.held({0}) == frozenset()
    owned_partitions.assigned({0: (0, 5), 1: (0, 0)})
    assert owned_partitions.may_call(owned_partitions.held({0}))
    assert owned_partitions.may_call(owned_partitions.held({0, 1}))
    assert {partition for partition, _ in owned_partitions.held({0, 2})} == {0}


def test_no_call_is_begun_once_a_partition_is_taken() -> None:
    """The loss takes effect as soon as it is reported."""
    owned_partitions = OwnedPartitions(Timer())
    owned_partitions.session.polled()
    owned_partitions.assigned({0: (0, 0), 1: (0, 0)})
    first, second = owned_partitions.held({0}), owned_partitions.held({1})
    owned_partitions.removed([0])
    assert not owned_partitions.may_call(first)
    assert owned_partitions.may_call(second)
    assert owned_partitions.ready() == {1}


def test_no_call_is_begun_for_a_partition_that_was_taken_and_given_back() -> None:
    """Another worker may have had it meanwhile: what was planned before counts no more."""
    owned_partitions = OwnedPartitions(Timer())
    owned_partitions.session.polled()
    owned_partitions.assigned({0: (0, 0)})
    before = owned_partitions.held({0})
    owned_partitions.removed([0])
    owned_partitions.assigned({0: (0, 0)})
    assert not owned_partitions.may_call(before)
    assert owned_partitions.may_call(owned_partitions.held({0}))


def test_a_partition_is_not_ready_while_calls_of_its_former_owner_may_last() -> None:
    """Mailchimp takes the calls of both; so the new owner waits as long as one may take."""
    timer = Timer()
    owned_partitions = OwnedPartitions(timer)
    owned_partitions.assigned({0: (0, 0), 1: (0, 0)}, {1: 120.0})
    assert owned_partitions.ready() == {0}
    timer.now = 119
    assert not owned_partitions.wait_until_ready(0)
    timer.now = 120
    assert owned_partitions.ready() == {0, 1}
    assert owned_partitions.wait_until_ready(0)


def test_a_partition_is_not_ready_before_its_ledger_and_the_settings_are_known() -> None:
    """Consent depends on them, and another worker may have written there."""
    owned_partitions = OwnedPartitions(Timer(), follows=True)
    owned_partitions.assigned({0: (0, 0)})
    assert owned_partitions.ready() == set()
    ((partition, assignment),) = owned_partitions.wait_for_ledger(0).items()
    owned_partitions.ledger_read(partition, assignment)
    assert owned_partitions.ready() == set()
    owned_partitions.settings_read()
    assert owned_partitions.ready() == {0}
    assert owned_partitions.wait_for_ledger(0) == {}


def test_the_ledger_is_read_when_calls_of_the_former_owner_are_over() -> None:
    """What these did is written there until then."""
    timer = Timer()
    owned_partitions = OwnedPartitions(timer, follows=True)
    owned_partitions.assigned({0: (0, 0)}, {0: 120.0})
    timer.now = 119
    assert owned_partitions.wait_for_ledger(0) == {}
    timer.now = 120
    assert set(owned_partitions.wait_for_ledger(0)) == {0}


def test_a_ledger_read_under_an_earlier_assignment_does_not_count() -> None:
    """What another worker wrote since is not in it."""
    owned_partitions = OwnedPartitions(Timer(), follows=True)
    owned_partitions.settings_read()
    owned_partitions.assigned({0: (0, 0)})
    ((partition, assignment),) = owned_partitions.wait_for_ledger(0).items()
    owned_partitions.removed([0])
    owned_partitions.assigned({0: (0, 0)})
    assert not owned_partitions.awaits_ledger(partition, assignment)
    owned_partitions.ledger_read(partition, assignment)
    assert owned_partitions.ready() == set()


def test_no_call_is_begun_for_a_partition_whose_ledger_was_lost() -> None:
    """Nothing could be written down of it: the ledger is taken and read again first."""
    owned_partitions = OwnedPartitions(Timer(), follows=True)
    owned_partitions.session.polled()
    owned_partitions.settings_read()
    owned_partitions.assigned({0: (0, 0), 1: (0, 0)})
    for partition, assignment in owned_partitions.wait_for_ledger(0).items():
        owned_partitions.ledger_read(partition, assignment)
    first, second = owned_partitions.held({0}), owned_partitions.held({1})
    owned_partitions.ledger_lost(0, fenced=False)
    owned_partitions.ledger_lost(7, fenced=True)  # not this worker's any more
    assert not owned_partitions.may_call(first)
    assert owned_partitions.may_call(second)
    assert owned_partitions.ready() == {1}
    ((partition, assignment),) = owned_partitions.wait_for_ledger(0).items()
    owned_partitions.ledger_read(partition, assignment)
    assert owned_partitions.ready() == {0, 1}
    assert not owned_partitions.may_call(first)


def test_a_ledger_that_somebody_else_took_is_left_to_them_for_a_session() -> None:
    """The partition may be another worker's now, whose flush would end; within that time the group says so."""
    timer = Timer()
    owned_partitions = OwnedPartitions(timer, session_seconds=45, follows=True)
    owned_partitions.assigned({0: (0, 0)})
    owned_partitions.ledger_lost(0, fenced=True)
    timer.now = 44
    assert owned_partitions.wait_for_ledger(0) == {}
    timer.now = 45
    assert set(owned_partitions.wait_for_ledger(0)) == {0}


def test_no_call_is_begun_while_polling_hangs() -> None:
    """A worker that does not poll may have lost its partitions without knowing."""
    timer = Timer()
    owned_partitions = OwnedPartitions(timer, session_seconds=48)
    owned_partitions.assigned({0: (0, 0)})
    assert not owned_partitions.may_call(owned_partitions.held({0}))
    owned_partitions.session.polled()
    timer.now = 31
    assert owned_partitions.may_call(owned_partitions.held({0}))
    timer.now = 32
    assert not owned_partitions.may_call(owned_partitions.held({0}))
    assert owned_partitions.session.seconds_since_poll() == 32


def test_no_call_is_begun_after_a_long_silence_before_the_group_confirms_the_worker() -> None:
    """The partitions may have been lost meanwhile, however long the group takes to say so."""
    timer = Timer()
    owned_partitions = OwnedPartitions(timer, session_seconds=48)
    owned_partitions.assigned({0: (0, 0)})
    owned_partitions.session.polled()
    timer.now = 50
    owned_partitions.session.polled()
    first = owned_partitions.session.doubted_at
    assert first is not None
    for timer.now in (50, 60, 70):
        owned_partitions.session.polled()
        assert not owned_partitions.may_call(owned_partitions.held({0}))
    timer.now = 120
    owned_partitions.session.polled()
    owned_partitions.session.confirmed(first)
    assert not owned_partitions.may_call(owned_partitions.held({0}))
    assert owned_partitions.session.doubted_at is not None
    owned_partitions.session.confirmed(owned_partitions.session.doubted_at)
    assert owned_partitions.may_call(owned_partitions.held({0}))


def test_no_call_is_begun_while_the_poll_that_ends_a_long_silence_is_recorded() -> None:
    """Another thread asks in that very moment: the poll is recent then, and the group has confirmed nothing."""
    timer = Timer()
    owned_partitions = OwnedPartitions(timer, session_seconds=48)
    owned_partitions.session.polled()
    owned_partitions.assigned({0: (0, 0)})
    held, timer.now = owned_partitions.held({0}), 50

    def polled_meanwhile() -> float:
        owned_partitions.session.clock = timer
        owned_partitions.session.polled()
        return timer.now

    owned_partitions.session.clock = polled_meanwhile
    assert not owned_partitions.may_call(held)


def test_a_worker_that_may_have_lost_its_partitions_takes_no_ledger() -> None:
    """It would end the flush of the worker that has the partition now."""
    timer = Timer()
    owned_partitions = OwnedPartitions(timer, session_seconds=48, follows=True)
    owned_partitions.session.polled()
    owned_partitions.assigned({0: (0, 0)})
    ((_, assignment),) = owned_partitions.wait_for_ledger(0).items()
    timer.now = 50
    owned_partitions.session.polled()
    assert owned_partitions.wait_for_ledger(0) == {}
    assert not owned_partitions.awaits_ledger(0, assignment)
    owned_partitions.session.confirmed(owned_partitions.session.doubted_at or 0.0)
    assert owned_partitions.wait_for_ledger(0) == {0: assignment}


def test_a_partition_is_caught_up_at_the_end_that_it_had_when_assigned() -> None:
    """By the offset of that end, or where the broker says that the log ends: a transaction's marker is last."""
    owned_partitions = OwnedPartitions(Timer())
    owned_partitions.assigned({0: (3, 10), 1: (3, 10), 2: (4, 4)})
    assert owned_partitions.ready() == {2}
    owned_partitions.read_to(0, 9, at_end=False)
    owned_partitions.read_to(1, 9, at_end=True)
    assert owned_partitions.ready() == {1, 2}
    owned_partitions.read_to(0, 10, at_end=False)
    assert owned_partitions.ready() == {0, 1, 2}


def test_what_is_published_later_leaves_a_partition_ready() -> None:
    """The end that counts is the one at the assignment."""
    owned_partitions = OwnedPartitions(Timer())
    owned_partitions.assigned({0: (0, 1)})
    owned_partitions.read_to(0, 1, at_end=False)
    owned_partitions.read_to(0, 2, at_end=False)
    assert owned_partitions.ready() == {0}


def test_is_not_read_before_anything_was_assigned() -> None:
    """An empty assignment is enough once others had time to give partitions back: they have all of them."""
    timer = Timer()
    owned_partitions = OwnedPartitions(timer)
    assert not owned_partitions.wait_until_ready(0)
    owned_partitions.assigned({})
    assert not owned_partitions.wait_until_ready(0)
    timer.now += NOTHING_SECONDS
    assert owned_partitions.wait_until_ready(0)


def test_a_worker_without_partitions_waits_while_nobody_has_them() -> None:
    """Such as while a session of its former process lasts: a flush must not count them as another worker's."""
    timer = Timer()
    owned_partitions = OwnedPartitions(timer)
    owned_partitions.assigned({})
    owned_partitions.session.others_have_all = False
    timer.now += NOTHING_SECONDS
    assert not owned_partitions.wait_until_ready(0)
    owned_partitions.session.others_have_all = True
    assert owned_partitions.wait_until_ready(0)


def test_is_not_read_between_two_assignments() -> None:
    """A worker whose partitions were taken waits for the next assignment."""
    owned_partitions = OwnedPartitions(Timer())
    owned_partitions.assigned({0: (0, 10)})
    owned_partitions.removed([0])
    assert not owned_partitions.wait_until_ready(0)
    owned_partitions.assigned({0: (10, 10)})
    assert owned_partitions.wait_until_ready(0)


def test_the_backlog_is_what_was_there_at_the_assignment() -> None:
    """Progress never passes its end, whatever is published meanwhile."""
    owned_partitions = OwnedPartitions(Timer())
    owned_partitions.assigned({0: (5, 10), 1: (0, 0)})
    assert owned_partitions.backlog() == (0, 5)
    owned_partitions.read_to(0, 7, at_end=False)
    assert owned_partitions.backlog() == (2, 5)
    owned_partitions.read_to(0, 70, at_end=False)
    assert owned_partitions.backlog() == (5, 5)


def test_what_is_read_of_a_partition_that_was_taken_is_not_counted() -> None:
    """A record that was already on its way gives no partition back."""
    owned_partitions = OwnedPartitions(Timer())
    owned_partitions.read_to(0, 5, at_end=True)
    assert not owned_partitions.owned()


def test_what_is_read_again_is_not_delivered_before_that_is_done() -> None:
    """Though it was read to its end: who is gone from it is not known yet."""
    owned_partitions = OwnedPartitions(Timer())
    owned_partitions.assigned({0: (0, 5), 1: (7, 7)}, again={0})
    owned_partitions.read_to(0, 5, at_end=True)
    assert not owned_partitions.behind()
    assert owned_partitions.ready() == {1}
    assert owned_partitions.at_end() == {1: 7}
    owned_partitions.reread(0)
    assert owned_partitions.ready() == {0, 1}
    assert owned_partitions.at_end() == {0: 5, 1: 7}
