"""The product as its users have it, under whatever can go wrong."""

from tests.e2e.conftest import cli, sandbox, standin, until
from tests.integration.conftest import kafka, new_topic, own_kafka, topic, whole_kafka

__all__ = ["cli", "kafka", "new_topic", "own_kafka", "sandbox", "standin", "topic", "until", "whole_kafka"]
