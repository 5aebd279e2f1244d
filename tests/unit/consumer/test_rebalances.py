"""Rebalances within any call of the library, losses, crashes and fencing: no record is passed that was not staged."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack
from unittest.mock import patch

import pytest
from confluent_kafka import KafkaError as LibraryError
from confluent_kafka import KafkaException
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.unit.consumer.fake_kafka import TOPIC, FakeBroker, FakeConsumer, FakeMessage, fenced_error
from worker.clock import utc_now
from worker.config import Kafka
from worker.consumer import consumer as module
from worker.consumer import partition_turns
from worker.consumer.assignment import Assignment, AssignmentOver, EventsTopic
from worker.consumer.consumer import Consumer
from worker.consumer.group_session import MemberState
from worker.consumer.messages import of_same_assignment
from worker.consumer.owned_partitions import OwnedPartitions
from worker.errors import ConsumerStopped
from worker.kafka import admin
from worker.kafka.client import Problems, is_fatal
from worker.sqlite.database import open_database
from worker.store import offsets

PARTITIONS = 3
SOME = st.sets(st.integers(0, PARTITIONS - 1), min_size=1)
WHEN = st.integers(0, 12)


class World:
    """A worker on a fake broker; it may crash, and begin again with the same database."""

    def __init__(self) -> None:
        self.broker = FakeBroker(PARTITIONS)
        self.db = open_database(":memory:")
        self.library: FakeConsumer | None = None
        self.patches = ExitStack()
        self.patches.enter_context(patch.object(module, "LibraryConsumer", self._open))
        self.patches.enter_context(patch.object(admin, "AdminClient", self.broker.admin))
        self.patches.enter_context(patch.object(partition_turns, "READ_TOGETHER", 3))
        self.start()

    def _open(self, config: dict[str, object]) -> FakeConsumer:
        self.library = FakeConsumer(self.broker, config)
        return self.library

    def start(self) -> None:
        """Starts the worker."""
        self.owned_partitions = OwnedPartitions()
        self.consumer = Consumer(Kafka(topic=TOPIC), self.db, self.owned_partitions, utc_now)
        self.consumer.join()

    def crash(self) -> None:
        """Ends it without a word: the group gives its partitions out again."""
        self.broker.changes.clear()
        self.start()

    def read(self) -> None:
        """Lets it read once."""
        self.consumer.read_some(threading.Event())

    def settle(self) -> None:
        """Gives it everything, and lets it read until nothing comes."""
        self.broker.changes.append((0, "assign", set(range(PARTITIONS))))
        for _ in range(400):
            self.read()
            if not self.broker.changes and all(self.next_of(p) >= self.broker.ends.get(p, 0) for p in range(3)):
                return
        raise AssertionError(f"not read to the end: {[self.next_of(p) for p in range(3)]} of {self.broker.ends}")

    def next_of(self, partition: int) -> int:
        """Where reading goes on."""
        return offsets.next_of(self.db, TOPIC, "", partition) or 0

    def passed_unstaged(self) -> list[str]:
        """The records before next_offset that are not staged."""
        staged = {row[0] for row in self.db.execute("SELECT customer_id FROM customer")}
        return [
            f"cus-{partition}-{offset}"
            for partition, log in self.broker.logs.items()
            for offset in log
            if offset < self.next_of(partition) and f"cus-{partition}-{offset}" not in staged
        ]

    def end(self) -> None:
        """Closes everything."""
        self.patches.close()
        self.db.close()


@pytest.fixture
def world() -> Iterator[World]:
    """With everything assigned at the first poll."""
    made = World()
    made.broker.changes.append((0, "assign", set(range(PARTITIONS))))
    yield made
    made.end()


class Rebalances(RuleBasedStateMachine):
    """Publishes, takes and gives partitions at any moment, crashes, and looks at what is staged."""

    @initialize()
    def begin(self) -> None:
        """A worker that was given nothing yet."""
        self.world = World()

    def teardown(self) -> None:
        """Everything is staged once it is quiet."""
        if hasattr(self, "world"):
            self.world.settle()
            assert self.world.passed_unstaged() == []
            self.world.end()

    @rule(partition=st.integers(0, PARTITIONS - 1), count=st.integers(1, 6), hole=st.integers(0, 1))
    def publish(self, partition: int, count: int, hole: int) -> None:
        """Some records; compaction may have left a hole before each."""
        for _ in range(count):
            self.world.broker.publish(partition, hole=hole)

    @rule(partitions=SOME, when=WHEN)
    def assign(self, partitions: set[int], when: int) -> None:
        """The group gives partitions, after some moments."""
        self.world.broker.changes.append((when, "assign", partitions))

    @rule(partitions=SOME, when=WHEN)
    def revoke(self, partitions: set[int], when: int) -> None:
        """The group asks for partitions back, after some moments."""
        self.world.broker.changes.append((when, "revoke", partitions))

    @rule(partitions=SOME, when=WHEN)
    def revoke_and_give_back(self, partitions: set[int], when: int) -> None:
        """A worker joins, and leaves at once."""
        self.world.broker.changes.append((when, "revoke", partitions))
        self.world.broker.changes.append((0, "assign", partitions))

    @rule(when=WHEN, again=st.booleans())
    def lose(self, when: int, again: bool) -> None:
        """The session has timed out; the group may give everything back."""
        self.world.broker.changes.append((when, "lose", set()))
        if again:
            self.world.broker.changes.append((0, "assign", set(range(PARTITIONS))))

    @rule(partitions=SOME)
    def reset(self, partitions: set[int]) -> None:
        """The log of a partition was cut, as the broker says: all are started again, outside of a rebalance."""
        self.world.broker.resets |= partitions

    @rule(times=st.integers(1, 4))
    def read(self, times: int) -> None:
        """The worker reads."""
        for _ in range(times):
            self.world.read()

    @precondition(lambda self: self.world.library is not None)
    @rule()
    def crash(self) -> None:
        """The worker is killed, and started again."""
        self.world.crash()

    @invariant()
    def nothing_is_passed(self) -> None:
        """No offset is passed whose record is not staged."""
        if hasattr(self, "world"):
            assert self.world.passed_unstaged() == []

    @invariant()
    def what_is_owned_is_read(self) -> None:
        """What the flush takes for this worker's is what the library reads."""
        if hasattr(self, "world") and self.world.library is not None:
            read = {one.partition for one in self.world.library.assignment()}
            assert self.world.owned_partitions.owned() == read


TestRebalances = Rebalances.TestCase
TestRebalances.__doc__ = "No offset is ever passed whose record was not staged, whenever the group takes and gives."
TestRebalances.settings = settings(
    max_examples=60, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)


@pytest.mark.parametrize("when", range(6))
def test_a_record_taken_before_a_rebalance_within_the_same_call_moves_nothing(world: World, when: int) -> None:
    """It was polled under the assignment before, with others that wait to be staged."""
    for _ in range(12):
        world.broker.publish(0)
    world.read()
    world.read()
    world.broker.changes.extend([(when, "revoke", {0}), (0, "assign", {0})])
    world.read()
    world.consumer.leave()
    assert world.passed_unstaged() == []
    world.crash()
    world.settle()
    assert world.next_of(0) == 12


def test_a_partition_that_waits_for_its_turn_is_read_after_it_was_revoked_and_given_back(world: World) -> None:
    """The library keeps it paused until it is resumed."""
    for partition in (0, 1):
        for _ in range(20):
            world.broker.publish(partition)
    world.read()
    assert (world.next_of(0), world.next_of(1)) == (0, 0)
    world.broker.changes.extend([(0, "revoke", {0, 1}), (0, "assign", {1})])
    for _ in range(30):
        world.read()
    assert (world.next_of(0), world.next_of(1)) == (4, 20)
    world.settle()
    assert world.passed_unstaged() == []


def test_a_partition_that_stays_keeps_its_assignment_through_a_join(world: World) -> None:
    """So the flush of its accounts goes on; only that of what was taken ends."""
    world.settle()
    stays, goes = world.owned_partitions.held({0}), world.owned_partitions.held({1})
    world.broker.changes.append((0, "revoke", {1}))
    world.read()
    world.broker.changes.append((0, "assign", set()))
    world.read()
    assert world.owned_partitions.may_call(stays)
    assert not world.owned_partitions.may_call(goes)
    assert world.owned_partitions.wait_until_ready(0)
    world.broker.changes.append((0, "assign", {1}))
    world.read()
    assert world.owned_partitions.may_call(stays)
    assert not world.owned_partitions.may_call(goes)


def test_a_fenced_member_owns_nothing_and_ends(world: World) -> None:
    """By an error that does not call itself fatal: no call is begun any more, whatever the group says later."""
    world.settle()
    held = world.owned_partitions.held({0, 1, 2})
    world.broker.publish(0)
    world.broker.changes.append((0, "fence", set()))
    with pytest.raises(ConsumerStopped, match="ended this worker's membership"):
        world.consumer.read(threading.Event())
    assert not world.owned_partitions.may_call(held)
    assert world.owned_partitions.owned() == frozenset()
    world.owned_partitions.assigned({0: (0, 0)})
    assert world.owned_partitions.ready() == frozenset()
    assert world.library is not None
    assert world.library.closed


def test_fencing_that_comes_with_a_call_ends_the_worker_too(world: World) -> None:
    """Asked for committed offsets, the library raises it instead."""

    def fenced(*_: object, **__: object) -> None:
        raise KafkaException(fenced_error())

    assert world.library is not None
    with patch.object(world.library, "committed", fenced), pytest.raises(ConsumerStopped, match="membership"):
        world.consumer.read(threading.Event())
    world.owned_partitions.assigned({0: (0, 0)})
    assert world.owned_partitions.owned() == frozenset()


def test_what_consume_returns_counts_under_the_assignment_before_and_after_it_only() -> None:
    """Of a partition that changed within it nothing counts; where it is held still, it is read again."""
    first, others = FakeMessage(0, 7, b""), [FakeMessage(0, 8, b""), FakeMessage(1, 3, b""), FakeMessage(2, 4, b"")]
    lost = FakeMessage(-1, -1, problem=fenced_error())
    before = {0: 1, 1: 1, 2: 1}
    assert of_same_assignment(first, others, before, before) == ([first, *others], set())
    assert of_same_assignment(first, [*others, lost], before, {0: 2, 1: 1}) == ([others[1], lost], {0, 2})
    assert of_same_assignment(first, [], before, {0: 2, 1: 1, 2: 1}) == ([], set())
    assert of_same_assignment(first, others[:1], {0: 1}, {0: 1, 5: 2}) == ([first, others[0]], set())


def test_fatal_is_what_the_code_says() -> None:
    """Its own word is not enough: fatal() of a fenced member's error is False."""
    error = fenced_error()
    assert not error.fatal()
    assert is_fatal(error)
    assert is_fatal(LibraryError(LibraryError.FENCED_INSTANCE_ID))
    assert not is_fatal(LibraryError(LibraryError._ALL_BROKERS_DOWN))
    problems = Problems()
    problems(error)
    assert problems.fatal is error


def assigned(starts: dict[int, int]) -> Assignment:
    """An assignment whose partitions are read from these offsets."""
    assignment = Assignment(EventsTopic(TOPIC, PARTITIONS))
    for reading in assignment.begin(starts):
        reading.find_start(starts[reading.partition], 100)
        reading.start(0.0)
    return assignment


def test_only_records_that_follow_what_is_staged_are_staged() -> None:
    """Not those after others that were dropped, nor those of an assignment that is over."""
    assignment = assigned({0: 5})
    reading = assignment.current()[0]
    with pytest.raises(AssignmentOver, match="from offset 5 to 8 were dropped"):
        assignment.check(reading, 8)
    reading.next_offset = 8
    assignment.check(reading, 8)
    assignment.drop([0])
    for again in assignment.begin([0]):
        again.find_start(8, 100)
        again.start(0.0)
    with pytest.raises(AssignmentOver):
        assignment.check(reading, 8)
    assert not assignment.holds(reading)
    assert assignment.resume() == {}


def test_a_partition_that_is_lost_before_its_reading_starts_is_not_started() -> None:
    """Nor the former of two readings that are begun: it may have been given again meanwhile."""
    assignment = Assignment(EventsTopic(TOPIC, PARTITIONS))
    lost, former = assignment.begin([0, 1])
    assignment.drop([0, 1])
    (later,) = assignment.begin([1])
    assert [assignment.holds(reading) for reading in (lost, former, later)] == [False, False, True]
    assert (assignment.partitions, assignment.current()) == (frozenset(), {})


def test_no_state_follows_fencing() -> None:
    """A fenced worker takes nothing any more."""
    owned = OwnedPartitions()
    assert owned.state is MemberState.JOINING
    owned.assigned({0: (0, 0)})
    assert owned.state is MemberState.ASSIGNED
    owned.removed([0])
    assert owned.state is MemberState.REVOKED
    owned.assigned({})
    assert owned.state is MemberState.ASSIGNED
    owned.fenced()
    owned.removed([0])
    owned.assigned({0: (0, 0)})
    assert (owned.state, owned.owned()) == (MemberState.FENCED, frozenset())


def test_what_is_read_while_reading_is_interrupted_counts_for_nothing() -> None:
    """It is read again, from where nothing is staged."""
    assignment = assigned({0: 3, 1: 4})
    before = assignment.current()
    before[0].position = 7
    assignment.interrupt([0])
    assert assignment.current() == {1: before[1]}
    assert assignment.partitions == {0, 1}
    assert assignment.resume() == {0: 3}
    assert assignment.current()[0].position == 3
    assert not assignment.holds(before[0])
    assert assignment.holds(before[1])
