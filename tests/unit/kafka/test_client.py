"""What of librdkafka the operator may set, and what is said when it cannot be used."""

from __future__ import annotations

import pytest
from confluent_kafka import KafkaError as LibraryError
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from worker.config import Kafka
from worker.consumer.membership import properties
from worker.errors import ConfigError, KafkaError
from worker.kafka import client as module
from worker.kafka.client import Problems, bounds, client, fetching, session_seconds, unreachable


def test_the_operators_properties_stand_between_defaults_and_what_the_worker_relies_on():
    """A default gives way to the operator; brokers come from their own setting."""
    settings = Kafka(bootstrap_servers="b:9092", client={"log_level": 7, "security.protocol": "ssl"})
    made = client(dict, settings, {"group.id": "g"})
    assert made.pop("logger").name == "worker.consumer"
    assert made == {
        "socket.connection.setup.timeout.ms": 10_000,
        "log_level": 7,
        "security.protocol": "ssl",
        "bootstrap.servers": "b:9092",
        "group.id": "g",
    }


def test_what_the_worker_relies_on_cannot_be_set():
    """A property that would break a promise is refused, and not passed over in silence."""
    settings = Kafka(client={"enable.auto.commit": True, "auto.offset.reset": "latest", "acks": 1})
    with pytest.raises(ConfigError) as caught:
        client(dict, settings, {"enable.auto.commit": False, "auto.offset.reset": "error"})
    assert "cannot set auto.offset.reset, enable.auto.commit: the worker relies on its own" in caught.value.message


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("nonsense", "1", 'cannot be used: No such configuration property: "nonsense".'),
        ("socket.timeout.ms", 1, "is outside allowed range 10..300000."),
        ("stats_cb", "x", "expected stats_cb property as a callable function."),
        ("security.protocol", "sasl_plaintext", "cannot be used: "),
    ],
)
def test_properties_that_cannot_be_used_are_reported(name, value, told):
    """What the library says of a property comes as one message with what to correct."""
    with pytest.raises(ConfigError) as caught:
        client(AdminClient, Kafka(bootstrap_servers="127.0.0.1:1", client={name: value}), {})
    assert told in caught.value.message
    assert "WORKER_KAFKA__CLIENT" in caught.value.advice


def test_the_session_lasts_as_the_operator_chose():
    """The time after which the group takes partitions away is a number of milliseconds, 45 seconds by default."""
    assert session_seconds(Kafka()) == 45
    assert session_seconds(Kafka(client={"session.timeout.ms": "6000"})) == 6
    with pytest.raises(ConfigError, match="must be a number of milliseconds"):
        session_seconds(Kafka(client={"session.timeout.ms": "long"}))


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        ({}, 3000),
        ({"session.timeout.ms": 3000}, 1000),
        ({"session.timeout.ms": "6000"}, 2000),
        ({"session.timeout.ms": 6000, "heartbeat.interval.ms": 300}, None),
    ],
)
def test_a_session_has_room_for_late_heartbeats(chosen, expected):
    """Three of them at least, unless the operator chose: else a busy machine fences its own worker."""
    assert properties(Kafka(client=chosen), "worker-1").get("heartbeat.interval.ms") == expected


@pytest.mark.parametrize(
    ("chosen", "told"),
    [
        ({"session.timeout.ms": 3000, "heartbeat.interval.ms": 3000}, "more than half of session.timeout.ms"),
        ({"heartbeat.interval.ms": "often"}, "must be a number of milliseconds"),
    ],
)
def test_heartbeats_that_cannot_keep_a_session_are_refused(chosen, told):
    """At the start, with what to set."""
    with pytest.raises(ConfigError, match=told) as caught:
        properties(Kafka(client=chosen), "worker-1")
    assert "WORKER_KAFKA__CLIENT" in caught.value.advice


def test_the_broker_sets_the_heartbeat_of_the_newer_protocol():
    """There librdkafka refuses the property."""
    assert "heartbeat.interval.ms" not in properties(Kafka(group_protocol="consumer"), "worker-1")


class Leaderless:
    """A consumer whose partition has no leader so many times, or fails otherwise."""

    def __init__(self, times, code=LibraryError.NOT_LEADER_FOR_PARTITION):
        self.left = times
        self.code = code

    def get_watermark_offsets(self, partition, timeout):
        """Answers once the failures are used up."""
        self.left -= 1
        if self.left >= 0:
            raise KafkaException(LibraryError(self.code))
        return 3, 17


def test_an_election_is_waited_for(monkeypatch):
    """A partition without a leader is asked again until it has one."""
    waited = []
    monkeypatch.setattr(module.time, "sleep", waited.append)
    assert bounds(Leaderless(3), Kafka(), 1, Problems()) == (3, 17)
    assert waited == [module.ELECTION_SECONDS] * 3


def test_a_partition_that_stays_without_a_leader_is_named(monkeypatch):
    """After a while the wait ends, and the message names the partition."""
    monkeypatch.setattr(module, "ANSWER_SECONDS", 0.0)
    with pytest.raises(KafkaError, match=r"Partition 4 of the topic billmywork.customers has no leader"):
        bounds(Leaderless(1000), Kafka(), 4, Problems())


def test_other_failures_are_not_waited_out():
    """A broker that does not answer is reported at once."""
    with pytest.raises(KafkaError, match="No Kafka broker answers"):
        bounds(Leaderless(1, LibraryError._ALL_BROKERS_DOWN), Kafka(), 0, Problems())


class Restarting(Leaderless):
    """A consumer whose broker is away so many times."""

    def list_topics(self, topic, timeout):
        """Fails as the other calls do."""
        raise KafkaException(LibraryError(self.code))


@pytest.mark.parametrize("code", [LibraryError._TRANSPORT, LibraryError._DESTROY_BROKER, LibraryError._TIMED_OUT])
def test_a_restart_of_a_broker_that_had_answered_is_waited_for(monkeypatch, code):
    """The call is made again until the broker is back, whatever the library says of the call that it broke off."""
    monkeypatch.setattr(module.time, "sleep", lambda _: None)
    problems = Problems()
    problems.connected = True
    assert bounds(Restarting(3, code), Kafka(), 0, problems) == (3, 17)


def test_a_broker_that_stays_away_is_reported_after_a_while(monkeypatch):
    """The wait for a restart ends."""
    monkeypatch.setattr(module, "RESTART_SECONDS", 0.0)
    problems = Problems()
    problems.connected = True
    with pytest.raises(KafkaError, match="No Kafka broker answers"):
        bounds(Restarting(1000, LibraryError._DESTROY_BROKER), Kafka(), 0, problems)


@pytest.mark.parametrize(("chosen", "expected"), [({}, 100), ({"fetch.wait.max.ms": 500}, 500)])
def test_the_end_of_a_topic_is_known_soon_unless_the_operator_chose_another_wait(chosen, expected):
    """A member of the group waits 100 ms at the end of a partition, or as long as the operator says."""
    settings = Kafka(client=chosen)
    assert client(dict, settings, fetching(settings))["fetch.wait.max.ms"] == expected
    assert client(dict, settings, properties(settings, "worker-1"))["fetch.wait.max.ms"] == expected


@pytest.mark.parametrize(
    ("report", "reason"),
    [
        (
            "b:1/bootstrap: Connect to ipv4#127.0.0.1:1 failed: Connection refused (after 0ms in state CONNECT)",
            "Connect to ipv4#127.0.0.1:1 failed: Connection refused",
        ),
        ("1/1 brokers are down", "1/1 brokers are down"),
    ],
)
def test_a_failed_connection_is_explained_without_the_librarys_own_state(report, reason):
    """The broker is named once, and the sentence ends."""
    problem = LibraryError(LibraryError._TRANSPORT, report)
    for error in (
        unreachable(Kafka(), problem, KafkaException(problem)),
        unreachable(Kafka(), None, KafkaException(problem)),
    ):
        assert error.message == f"No Kafka broker answers at localhost:9092: {reason}."
