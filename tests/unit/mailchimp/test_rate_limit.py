import threading
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.mailchimp.build import Time
from worker.mailchimp import api_key, sender
from worker.mailchimp.answers import Answer
from worker.mailchimp.calls import Call
from worker.mailchimp.sender import (
    INITIAL_LIMIT,
    LONGEST_WAIT,
    Limiter,
    Limiters,
    ReservedConnection,
    RetryingSender,
    Window,
    should_retry,
    wait_after,
)

READ = Call("GET", "/ping")
WRITE = Call("PATCH", "/lists/a/members/b", body={"merge_fields": {}})
OK = Answer(200, {})
BUSY = Answer(429, {"title": "Too Many Requests"})
BARE_403 = Answer(403, None)
FORBIDDEN = Answer(403, {"title": "Forbidden"})
DOWN = Answer(503, None)


class _Scripted:
    """Answers call after call from a list, whose last answer stays."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.calls = []

    def send(self, call):
        self.calls.append(call)
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


def full_chance():
    """No jitter: the longest wait."""
    return 0.0


def _patient(sender, time, patience=60, most=8):
    return RetryingSender(sender, Limiter(most, time, full_chance), patience, time, time, full_chance)


def _send(limiter, client, stop):
    with ReservedConnection(limiter, client, stop) as connection:
        return connection.send(READ)


# --- the pace, a pure value


def _after(window, *answers, now=0.0):
    for answer in answers:
        window = window.after(answer, window.round, now, 0.0)
    return window


def test_pace_grows_by_one_a_round_of_good_answers_up_to_the_most():
    """From few calls in flight the pace grows by one for each round of good answers, and never over the most."""
    window = Window(8)
    assert window.allowed == INITIAL_LIMIT
    assert _after(window, OK, OK).allowed == INITIAL_LIMIT + 1
    assert _after(window, *[OK] * 100).allowed == 8
    assert _after(Window(1), *[OK] * 100).allowed == 1


@pytest.mark.parametrize("answer", [BUSY, BARE_403])
def test_pace_halves_when_mailchimp_wants_fewer_calls(answer):
    """A 429 or a 403 without JSON halves the calls in flight, and the next call waits."""
    window = _after(_after(Window(8), *[OK] * 100), answer, now=50.0)
    assert window.limit == 4
    assert window.not_before == 51.0
    assert _after(window, *[answer] * 9).limit == 1


def test_pace_lets_one_call_through_until_trouble_is_over():
    """After trouble one call at a time goes out; the first good answer brings the others back."""
    window = _after(Window(8), *[OK] * 100, BUSY)
    assert window.allowed == 1
    assert _after(window, OK).allowed == 4


def test_pace_recovers_to_the_most():
    """When Mailchimp is well again, the pace comes back to the most."""
    assert _after(_after(Window(8), *[BUSY] * 10), *[OK] * 100).allowed == 8


def test_a_wave_of_refusals_counts_once():
    """Refusals of calls that were in flight together step the pace down once, not once each."""
    begun = _after(Window(8), *[OK] * 100)
    window = begun
    for _ in range(8):
        window = window.after(BUSY, begun.round, 0.0, 0.0)
    assert window.limit == 4
    assert window.failures == 1


def test_a_late_good_answer_does_not_end_the_wait():
    """A good answer to a call begun before the trouble says nothing about now."""
    begun = Window(8)
    window = begun.after(BUSY, begun.round, 0.0, 0.0)
    assert window.after(OK, begun.round, 0.0, 0.0) == window


@pytest.mark.parametrize("answer", [DOWN, Answer(None, failure="timeout"), Answer(None, failure="connection")])
def test_failures_make_the_next_call_wait_but_do_not_halve(answer):
    """A 5xx, a timeout or a broken connection makes the next call wait, and says nothing about the number of calls."""
    window = _after(_after(Window(8), *[OK] * 100), answer)
    assert window.limit == 8
    assert window.not_before > 0


@pytest.mark.parametrize("answer", [FORBIDDEN, Answer(400, {}), Answer(404, {}), Answer(401, {})])
def test_refusals_of_what_was_asked_are_no_trouble(answer):
    """An answer that refuses what was asked shows that Mailchimp is well."""
    assert _after(Window(8), answer).failures == 0


def test_a_stopped_call_tells_nothing():
    """A call that was not sent because the worker stops leaves the pace as it is."""
    assert _after(Window(8), Answer(None, failure="stopped")) == Window(8)


@given(st.integers(1, 10_000), st.floats(0, 1))
def test_waits_grow_within_a_bound(failures, chance):
    """Each wait is at least half a second, at most the longest, and chance takes at most half of it away."""
    wait = wait_after(failures, chance)
    assert 0.5 <= wait <= LONGEST_WAIT
    assert wait_after(failures, 0.0) / 2 <= wait <= wait_after(failures + 1, 0.0)


@given(st.lists(st.sampled_from([OK, BUSY, BARE_403, DOWN, FORBIDDEN])), st.integers(1, 10))
def test_never_more_than_the_most_and_never_none(answers, most):
    """Whatever Mailchimp answers, at least one call and at most the operator's number may be in flight."""
    assert 1 <= _after(Window(most), *answers).allowed <= most


# --- the gate, with threads


def test_threads_never_exceed_what_is_allowed():
    """Twenty threads with one key never have more calls in flight than the pace allows, and all get through."""
    limiter = Limiters(most=3).limiter(api_key.parse("a-us1"))
    lock, seen, now = threading.Lock(), [], [0]

    class _Counting:
        def send(self, call):
            with lock:
                now[0] += 1
                seen.append((now[0], limiter.window.most))
            threading.Event().wait(0.002)
            with lock:
                now[0] -= 1
            return OK

    def work():
        for _ in range(5):
            assert _send(limiter, _Counting(), threading.Event()).ok

    threads = [threading.Thread(target=work) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 100
    assert max(count for count, _ in seen) <= 3
    assert limiter.in_flight == 0


def test_a_waiting_thread_is_released_by_stop():
    """A thread that waits for others' calls to end gives up at a stop, and its call was never sent."""
    limiter = Limiters(most=1).limiter(api_key.parse("a-us1"))
    begun, end, stop = threading.Event(), threading.Event(), threading.Event()

    class _Slow:
        def send(self, call):
            begun.set()
            end.wait(10)
            return OK

    holder = threading.Thread(target=_send, args=(limiter, _Slow(), threading.Event()))
    holder.start()
    assert begun.wait(10)
    answers, client = [], _Scripted(OK)
    waiter = threading.Thread(target=lambda: answers.append(_send(limiter, client, stop)))
    waiter.start()
    stop.set()
    waiter.join(10)
    assert [answer.failure for answer in answers] == ["stopped"]
    assert client.calls == []
    end.set()
    holder.join(10)


def test_each_free_connection_wakes_a_waiting_thread(monkeypatch):
    """Connections that are given back, and those that the limit gains, go to waiting threads at once, to one each."""
    monkeypatch.setattr(sender, "CHECK_SECONDS", 60.0)
    limiter, together = Limiter(4, lambda: 0.0, full_chance), threading.Barrier(4, timeout=30)
    begun, go = threading.Semaphore(0), threading.Event()

    def work():
        with ReservedConnection(limiter, _Scripted(OK), threading.Event()) as connection:
            begun.release()
            go.wait(30)
            while limiter.window.limit < 4 and connection.send(READ).ok:
                pass
            together.wait()

    threads = [threading.Thread(target=work) for _ in range(12)]
    for thread in threads:
        thread.start()
    go.wait(0.2)  # until the others wait
    go.set()
    for _ in threads:
        assert begun.acquire(timeout=30)
    for thread in threads:
        thread.join(30)
    assert limiter.in_flight == 0


def test_a_call_that_breaks_gives_its_place_back():
    """A sender that raises leaves no place taken."""
    limiter = Limiters(most=1).limiter(api_key.parse("a-us1"))

    class _Broken:
        def send(self, call):
            raise RuntimeError

    for _ in range(3):
        with pytest.raises(RuntimeError):
            _send(limiter, _Broken(), threading.Event())
    assert limiter.in_flight == 0


def test_accounts_that_share_a_key_share_its_limiter():
    """The gate belongs to the API key, not to the account."""
    limiters = Limiters(most=8)
    one = limiters.limiter(api_key.parse("a-us1"))
    assert limiters.limiter(api_key.parse(" a-us1 ")) is one
    assert limiters.limiter(api_key.parse("b-us1")) is not one


# --- patience


@pytest.mark.parametrize(
    ("call", "answer", "again"),
    [
        (READ, OK, False),
        (READ, BUSY, True),
        (WRITE, BUSY, True),
        (WRITE, BARE_403, True),
        (WRITE, FORBIDDEN, False),
        (WRITE, DOWN, True),
        (WRITE, Answer(500, {}), True),
        (WRITE, Answer(504, None), False),
        (READ, Answer(504, None), True),
        (READ, Answer(None, failure="timeout"), True),
        (WRITE, Answer(None, failure="timeout"), False),
        (READ, Answer(None, failure="connection"), True),
        (WRITE, Answer(None, failure="connection"), False),
        (WRITE, Answer(None, failure="unconnected"), True),
        (WRITE, Answer(None, failure="unknown_host"), True),
        (READ, Answer(None, failure="certificate"), False),
        (READ, Answer(None, failure="stopped"), False),
        (WRITE, Answer(400, {}), False),
        (WRITE, Answer(404, {}), False),
        (WRITE, Answer(401, {}), False),
    ],
)
def test_a_write_that_may_have_acted_is_not_repeated(call, answer, again):
    """Reads are repeated after any trouble; writes only when Mailchimp did not act or said that it failed."""
    assert should_retry(call, answer) is again


def test_patience_brings_a_call_through_trouble():
    """A call that meets two refusals and a failure gets through with waits that double."""
    time, sender = Time(), _Scripted(BUSY, DOWN, BUSY, OK)
    assert _patient(sender, time).send(WRITE).ok
    assert len(sender.calls) == 4
    assert time.waits == [1.0, 2.0, 4.0]


def test_patience_ends_and_gives_the_last_answer():
    """When Mailchimp stays down, the last answer comes back within the patience."""
    time, sender = Time(), _Scripted(BUSY, DOWN)
    assert _patient(sender, time, patience=60).send(WRITE) == DOWN
    assert time.now <= 60
    assert 4 <= len(sender.calls) <= 10


def test_no_patience_means_one_try():
    """With a patience of nothing each call is sent once."""
    time, sender = Time(), _Scripted(DOWN)
    assert _patient(sender, time, patience=0).send(READ) == DOWN
    assert len(sender.calls) == 1


def test_stop_ends_patience_with_the_last_answer():
    """A stop during a wait ends it at once, and the answer there was comes back."""
    time, sender = Time(stop_at=4.0), _Scripted(DOWN)
    assert _patient(sender, time).send(WRITE) == DOWN
    assert time.now == 4.0
    assert len(sender.calls) == 3


def test_stop_before_the_first_try_sends_nothing():
    """A stop before a call could begin gives an answer that says so, and nothing was sent."""
    time, sender = Time(stop_at=0.0), _Scripted(OK)
    answer = _patient(sender, time).send(WRITE)
    assert answer.failure == "stopped"
    assert answer.unsent
    assert sender.calls == []


def test_the_next_call_of_a_key_waits_for_its_trouble_to_pass():
    """After a refusal the key's next call, of whichever account, waits as well."""
    time = Time()
    limiter = Limiter(8, time, full_chance)
    _send(limiter, _Scripted(BUSY), time)
    _send(limiter, _Scripted(OK), time)
    assert time.now == 1.0


def test_a_reserved_connection_sends_once():
    """A write that depends on what was just read is sent one time, whatever comes back."""
    time, sender = Time(), _Scripted(DOWN)
    with _patient(sender, time).reserve() as connection:
        assert connection.send(WRITE) == DOWN
    assert len(sender.calls) == 1


def test_a_new_pace_of_a_smaller_most_stays_below_it():
    """A limit above the most, from a larger one before, is never allowed."""
    assert replace(Window(8, limit=8), most=2).allowed == 2
