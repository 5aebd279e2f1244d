import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.mailchimp.build import Time
from worker.mailchimp.answers import Answer
from worker.mailchimp.calls import Call
from worker.mailchimp.sender import Limiter, RetryingSender, should_retry

READ, WRITE = Call("GET", "/ping"), Call("POST", "/lists/a1", body={})
LATER_ANSWERS = [Answer(429, {}), Answer(403), Answer(500, {}), Answer(503), Answer(None, failure="unconnected")]
DOUBTFUL = [Answer(None, failure="timeout"), Answer(None, failure="connection"), Answer(504)]
FINAL = [Answer(200, {}), Answer(400, {}), Answer(401, {}), Answer(403, {}), Answer(404, {}), Answer(302)]


class _Endless:
    """Answers from a list over and over; each call takes a while."""

    def __init__(self, time, *answers, seconds=0.0):
        self.time, self.answers, self.seconds = time, answers, seconds
        self.calls = 0

    def send(self, call):
        self.time.now += self.seconds
        self.calls += 1
        return self.answers[(self.calls - 1) % len(self.answers)]


def patient(sender, time, patience, chance=lambda: 0.0):
    """A sender of that patience whose waits are those of the clock."""
    return RetryingSender(sender, Limiter(8, time, chance), patience, time, time, chance)


@given(st.lists(st.sampled_from(LATER_ANSWERS + DOUBTFUL), max_size=4), st.sampled_from(FINAL), st.booleans())
def test_a_call_is_sent_until_an_answer_is_not_worth_another(before, final, reads):
    """Whatever comes first, the answer that comes back is the first one that ends the trying."""
    time, call = Time(), READ if reads else WRITE
    script = [*before, final]
    expected = next(one for one in script if not should_retry(call, one))
    sender = _Endless(time, *script)
    assert patient(sender, time, 1000).send(call) == expected
    assert sender.calls == script.index(expected) + 1


@pytest.mark.parametrize("answer", DOUBTFUL)
def test_a_write_in_doubt_is_never_sent_twice(answer):
    """After a timeout or a broken connection a write comes back at once, as it may have been done."""
    time = Time()
    sender = _Endless(time, answer)
    assert patient(sender, time, 1000).send(WRITE) == answer
    assert (sender.calls, time.waits) == (1, [])


@pytest.mark.parametrize("answer", [*DOUBTFUL, *LATER_ANSWERS])
@pytest.mark.parametrize("seconds", [0.0, 25.0])
def test_no_call_is_begun_when_patience_is_over(answer, seconds):
    """Patience counts from the first answer: no later try begins after it, however long each takes."""
    time, begun = Time(), []

    class _Noting(_Endless):
        def send(self, call):
            begun.append(time.now)
            return super().send(call)

    assert patient(_Noting(time, answer, seconds=seconds), time, 60).send(READ) == answer
    assert len(begun) > 1
    assert all(moment <= seconds + 60 for moment in begun)


@given(st.floats(0, 1), st.floats(0, 300))
def test_waits_fit_into_the_patience(chance, patience):
    """All waits of one call together take no longer than the patience, whatever chance takes away."""
    time = Time()
    sender = _Endless(time, Answer(503))
    patient(sender, time, patience, lambda: chance).send(WRITE)
    assert sum(time.waits) <= patience
    assert sender.calls >= 1


def test_a_stop_while_a_later_try_waits_gives_the_answer_before():
    """When the worker stops as a second try waits for its turn, the first try's answer comes back: it was sent."""
    time = Time()
    limiter = Limiter(8, time, lambda: 0.0)

    class _Stop(Time):
        def is_set(self):
            return bool(self.waits)

        def wait(self, timeout):
            super().wait(timeout)
            return False

    answer = Answer(503)
    sender = _Endless(time, answer)
    assert RetryingSender(sender, limiter, 60, _Stop(), time, lambda: 0.0).send(READ) == answer
    assert sender.calls == 1
