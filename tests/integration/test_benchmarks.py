"""The benchmarks do what they measure: a tiny run of one, whose figures nobody reads."""

from __future__ import annotations

import pytest

from benchmarks.accounts import measure
from tests.integration.broker import Broker

pytestmark = pytest.mark.kafka


def test_accounts(whole_kafka: Broker) -> None:
    """Every customer of every account is added, then changed, and the stand-in has their last names."""
    rounds, wrong = measure(whole_kafka, accounts=2, customers=3, latency=0.001, delay=0)
    assert not wrong
    assert [one.what for one in rounds] == ["adds", "changes"]
    assert all(one.whole for one in rounds), [one.told for one in rounds]
    assert all(one.calls >= one.customers // 3 for one in rounds)
