"""When it is said that the brokers are away, and that they are back."""

from __future__ import annotations

from worker.kafka.outage import Outage


def test_an_outage_is_said_once_then_each_minute_and_when_it_is_over() -> None:
    """However often librdkafka reports it."""
    outage, told = Outage(), []
    for now in range(300):
        down = 100 <= now < 250
        if down:
            outage.report("3/3 brokers are down", now)
        if (one := outage.update(99 if down else now, now)) is not None:
            told.append((now, *one))
    assert told == [(100, True, 0), (160, True, 60), (220, True, 120), (251, False, 151)]


def test_records_at_hand_are_no_sign_that_the_brokers_are_back() -> None:
    """What is read in the moment of the report had been fetched before."""
    outage = Outage()
    outage.report("down", 10.0)
    assert outage.update(10.5, 10.5) == (True, 0.5)
    assert outage.update(11.5, 11.5) is None
    assert outage.update(13.0, 13.0) == (False, 3.0)


def test_silence_for_a_minute_is_an_outage_though_nothing_is_reported() -> None:
    """A network that swallows everything closes no connection."""
    outage = Outage()
    assert outage.update(0.0, 59.0) is None
    assert outage.update(0.0, 61.0) == (True, 61.0)
    assert outage.update(70.0, 70.0) == (False, 70.0)
