"""The product as its users have it, under whatever can go wrong."""

from tests.e2e.conftest import cli, sandbox, standin, until
from tests.integration.conftest import kafka, new_topic, own_kafka, topic, whole_kafka
from tests.reliability.shop import shop

__all__ = ["cli", "kafka", "new_topic", "own_kafka", "sandbox", "shop", "standin", "topic", "until", "whole_kafka"]
