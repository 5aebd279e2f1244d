"""Calls that depend on each other: a write goes out at once after the reads that it depends on, or not at all."""

from collections.abc import Callable

import pytest

from tests.unit.mailchimp.build import Time
from worker.mailchimp.answers import Answer
from worker.mailchimp.calls import FRESH_SECONDS, Call
from worker.mailchimp.sender import Limiter, ReservedConnection

READ = Call("GET", "/lists/a/members/b")
WRITE = Call("PATCH", "/lists/a/members/b", body={"merge_fields": {}})
OK, BUSY = Answer(200, {}), Answer(429, {"title": "Too Many Requests"})
STALE, STOPPED = Answer(None, failure="stale"), Answer(None, failure="stopped")
A_MOMENT = 0.001


class _Sender:
    """Answers each call well after a while, and notes which came."""

    def __init__(self, time: Time, seconds: float = 0.0) -> None:
        self.time, self.seconds = time, seconds
        self.calls: list[Call] = []

    def send(self, call: Call) -> Answer:
        self.calls.append(call)
        self.time.now += self.seconds
        return OK


def _limiter(time: Time) -> Limiter:
    return Limiter(8, time, lambda: 0.0, watch=time)


@pytest.mark.parametrize(("seconds", "expected"), [(FRESH_SECONDS, OK), (FRESH_SECONDS + A_MOMENT, STALE)])
def test_a_write_that_was_held_up_after_its_read_is_not_sent(seconds: float, expected: Answer):
    """Whatever held it up: two seconds after the read somebody may have acted."""
    time = Time()
    sender = _Sender(time)
    with ReservedConnection(_limiter(time), sender, time) as turn:
        turn.send(READ)
        time.now += seconds
        assert turn.send(WRITE) == expected
    assert sender.calls == [READ, WRITE][: 1 + (expected == OK)]


def test_holdups_between_several_calls_add_up():
    """Two reads and a write: what passed between the first two counts too."""
    time = Time()
    sender = _Sender(time)
    with ReservedConnection(_limiter(time), sender, time) as turn:
        turn.send(READ)
        time.now += 1.5
        assert turn.send(READ) == OK
        time.now += 1.5
        assert turn.send(WRITE) == STALE
    assert sender.calls == [READ, READ]


def test_how_long_the_calls_themselves_take_does_not_count():
    """A slow Mailchimp holds nobody's write back for good."""
    time = Time()
    with ReservedConnection(_limiter(time), _Sender(time, seconds=60), time) as turn:
        assert [turn.send(one) for one in (READ, READ, WRITE)] == [OK, OK, OK]


@pytest.mark.parametrize("call", [READ, WRITE])
def test_the_first_call_of_a_turn_hangs_on_nothing(call: Call):
    """It is sent after any wait: of fields alone, or as the read itself."""
    time = Time()
    sender = _Sender(time)
    with ReservedConnection(_limiter(time), sender, time) as turn:
        time.now += 100
        assert turn.send(call) == OK


def test_a_read_is_sent_after_any_wait():
    """What was read a moment ago is only read again."""
    time = Time()
    with ReservedConnection(_limiter(time), _Sender(time), time) as turn:
        turn.send(READ)
        time.now += 100
        assert turn.send(READ) == OK


def _troubled(limiter: Limiter, times: int) -> None:
    for _ in range(times):
        limiter.learn(BUSY, limiter.window.round)


@pytest.mark.parametrize(("failures", "expected"), [(1, OK), (3, STALE)])
def test_a_write_that_must_wait_for_trouble_of_its_key_is_not_kept_waiting(failures: int, expected: Answer):
    """Trouble of another call of the key: one second is waited out, four are not even begun."""
    time = Time()
    limiter = _limiter(time)
    sender = _Sender(time)
    with ReservedConnection(limiter, sender, time) as turn:
        turn.send(READ)
        _troubled(limiter, failures)
        assert turn.send(WRITE) == expected
    assert time.now == (1.0 if expected == OK else 0.0)


def test_a_write_whose_wait_grows_while_it_waits_is_not_sent():
    """Waiting for a second, it learns of more trouble: what it waited in all decides, once it may go."""
    time = Time()
    limiter = _limiter(time)
    sender = _Sender(time)
    wait: Callable[[float], bool] = time.wait
    grown: list[float] = []

    def worse(timeout: float) -> bool:
        if not grown:
            grown.append(timeout)
            _troubled(limiter, 2)
        return wait(timeout)

    time.wait = worse  # type: ignore[method-assign]
    with ReservedConnection(limiter, sender, time) as turn:
        turn.send(READ)
        _troubled(limiter, 1)
        assert turn.send(WRITE) == STALE
    assert sender.calls == [READ]
    assert time.now > FRESH_SECONDS


def test_a_stale_write_tells_the_pace_nothing():
    """It was not sent, so it neither slows the key down nor speeds it up."""
    time = Time()
    limiter = _limiter(time)
    with ReservedConnection(limiter, _Sender(time), time) as turn:
        turn.send(READ)
        before = limiter.window
        time.now += 100
        assert turn.send(WRITE) == STALE
    assert limiter.window == before


def test_nothing_is_sent_once_it_is_time_to_stop():
    """Neither before a call nor while one waits."""
    time = Time()
    limiter = _limiter(time)
    sender = _Sender(time)
    with ReservedConnection(limiter, sender, time) as turn:
        turn.send(READ)
        _troubled(limiter, 1)
        time.stop_at = 0.5
        assert turn.send(READ) == STOPPED
        assert turn.send(READ) == STOPPED
    with ReservedConnection(limiter, sender, time) as late:
        assert not late.reserved
        assert late.send(READ) == STOPPED
    assert sender.calls == [READ]


def test_the_connection_is_given_back():
    """Also where the calls broke: the next turn of the key gets it."""
    time = Time()
    limiter = Limiter(1, time, lambda: 0.0, watch=time)
    with pytest.raises(RuntimeError), ReservedConnection(limiter, _Sender(time), time):
        raise RuntimeError
    with ReservedConnection(limiter, _Sender(time), time) as turn:
        assert turn.reserved
