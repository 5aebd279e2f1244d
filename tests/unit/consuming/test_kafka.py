"""What of librdkafka the operator may set, and what is said when it cannot be used."""

from __future__ import annotations

import pytest
from confluent_kafka.admin import AdminClient

from worker.config import Kafka
from worker.consuming.kafka import client, session_seconds
from worker.errors import ConfigError


def test_the_operators_properties_stand_between_defaults_and_what_the_worker_relies_on():
    """A default gives way to the operator; brokers come from their own setting."""
    settings = Kafka(bootstrap_servers="b:9092", client={"log_level": 7, "security.protocol": "ssl"})
    made = client(dict, settings, {"group.id": "g"})
    assert made.pop("logger").name == "worker.consuming"
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
    assert "cannot set auto.offset.reset, enable.auto.commit: the worker relies on its own" in caught.value.what


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("nonsense", "1", 'cannot be used: No such configuration property: "nonsense".'),
        ("socket.timeout.ms", 1, "is outside allowed range 10..300000."),
        ("stats_cb", "x", "expected stats_cb property as a callable function."),
        ("security.protocol", "sasl_plaintext", "cannot be used: "),
    ],
)
def test_properties_that_cannot_be_used_are_told(name, value, told):
    """What the library says of a property comes as one message with what to correct."""
    with pytest.raises(ConfigError) as caught:
        client(AdminClient, Kafka(bootstrap_servers="127.0.0.1:1", client={name: value}), {})
    assert told in caught.value.what
    assert "WORKER_KAFKA__CLIENT" in caught.value.advice


def test_the_session_lasts_as_the_operator_chose():
    """The time after which the group takes partitions away is a number of milliseconds, 45 seconds by default."""
    assert session_seconds(Kafka()) == 45
    assert session_seconds(Kafka(client={"session.timeout.ms": "6000"})) == 6
    with pytest.raises(ConfigError, match="must be a number of milliseconds"):
        session_seconds(Kafka(client={"session.timeout.ms": "long"}))
