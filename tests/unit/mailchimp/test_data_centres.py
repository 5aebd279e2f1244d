"""Which data centres answer: a silent one costs its accounts two time-outs once, then one account tries."""

from __future__ import annotations

import pytest

from worker.mailchimp.answers import Answer
from worker.mailchimp.data_centres import PROBE_SECONDS, DataCentres

DC = "us21"
GOOD = Answer(200, {})


class Watch:
    """Seconds that pass when a call takes them."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.centres = DataCentres(lambda: self.now)

    def call(self, failure: str = "timeout", seconds: float = 120.0) -> None:
        """A call ends without an answer."""
        self.now += seconds
        self.centres.note(DC, Answer(None, failure=failure, seconds=seconds))  # type: ignore[arg-type]

    def may_call(self) -> bool:
        """Whether an account that begins now may call."""
        return self.centres.may_call(DC)


@pytest.fixture
def watch() -> Watch:
    """Returns data centres of which nothing is known yet."""
    return Watch()


def test_after_two_time_outs_the_next_accounts_make_no_call(watch: Watch) -> None:
    """Those of another data centre do."""
    assert watch.may_call()
    watch.call()
    assert watch.may_call()
    watch.call()
    assert not watch.may_call()
    assert watch.centres.silent() == {DC}
    assert watch.centres.may_call("us1")


def test_after_a_minute_it_is_tried_again(watch: Watch) -> None:
    """Each try that finds nothing makes the others wait a minute more; an answer ends it."""
    watch.call()
    watch.call()
    watch.now += PROBE_SECONDS
    assert watch.may_call()
    watch.call()
    assert not watch.may_call()
    watch.now += PROBE_SECONDS
    assert watch.may_call()
    watch.centres.note(DC, GOOD)
    assert watch.centres.silent() == frozenset()
    assert watch.may_call()


@pytest.mark.parametrize("answer", [GOOD, Answer(500, {}), Answer(429, {}), Answer(None, failure="garbled")])
def test_any_answer_shows_that_it_is_there(watch: Watch, answer: Answer) -> None:
    """Also one that says that Mailchimp failed."""
    watch.call()
    watch.call()
    watch.centres.note(DC, answer)
    assert watch.may_call()


def test_a_short_break_of_the_network_silences_nobody(watch: Watch) -> None:
    """Calls that cannot connect fail within a moment; only when that lasts a minute does nobody call any more."""
    for _ in range(20):
        watch.call("unconnected", 1.0)
    assert watch.may_call()
    for _ in range(60):
        watch.call("unconnected", 1.0)
    assert not watch.may_call()


def test_two_time_outs_far_apart_say_nothing(watch: Watch) -> None:
    """One of yesterday and one of today, with no call between."""
    watch.call()
    watch.now += 86_400
    watch.call()
    assert watch.may_call()


@pytest.mark.parametrize("failure", ["stopped", "stale", "certificate"])
def test_a_call_that_was_not_sent_says_nothing(watch: Watch, failure: str) -> None:
    """It was held back by this worker, or a certificate was refused at once: then each account says so."""
    for _ in range(5):
        watch.call(failure)
    assert watch.may_call()
