"""What goes wrong on the way: keys, limits, faults, and how the client tells them."""

import threading
import time
from collections.abc import Callable

import pytest

from tests.contract.raw import PING
from tests.contract.world import KEY, LIST, USER, World, member
from tests.direct_sender import DirectSender
from worker.mailchimp.answers import Answer
from worker.mailchimp.api_key import parse
from worker.mailchimp.calls import Call
from worker.mailchimp.client import Client
from worker.sandbox.faults import Fault
from worker.sandbox.server_state import MOST_CONNECTIONS

PATCH = Call("PATCH", member("ann@example.com"), {}, {"merge_fields": {"FNAME": "Ann"}})


def with_key(world: World, key: str, call: Call, timeout: float = 30) -> Answer:
    """Sends a call with another key."""
    if world.base_url is None:
        return DirectSender(world.standin, key).send(call)
    with Client(parse(key), world.base_url, timeout) as client:
        return client.send(call)


def until(holds: Callable[[], bool]) -> None:
    """Waits until something holds, for ten seconds at most."""
    give_up_at = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < give_up_at
        time.sleep(0.005)


def first_name(world: World) -> str:
    """Returns Ann's first name, as kept."""
    return str(world.known("ann@example.com").merge_fields.get("FNAME", ""))


def test_keys_that_are_refused(world: World):
    """An unknown or revoked key answers 401, and one with another data centre at its end 403."""
    assert with_key(world, "unknown-us1", PING).title == "API Key Invalid"
    elsewhere = with_key(world, KEY.replace("-us1", "-us2"), PING)
    assert (elsewhere.status, elsewhere.title) == (403, "Wrong Datacenter")
    world.standin.revoke(KEY)
    assert world.sender.send(PING).status == 401
    world.standin.add_key(KEY, USER)
    assert world.sender.send(PING).status == 200


def test_keys_of_one_user_see_the_same_lists(world: World):
    """Two keys of a user read the same lists; another user's key does not."""
    world.standin.add_key("second-us1", USER)
    world.standin.add_key("other-us1", "another")
    call = Call("GET", f"/lists/{LIST}")
    assert (with_key(world, "second-us1", call).status, with_key(world, "other-us1", call).status) == (200, 404)


@pytest.mark.parametrize(
    ("fault", "status", "title", "throttled"),
    [
        (Fault("status", status=503, title="Service Unavailable"), 503, "Service Unavailable", False),
        (Fault("status", status=403, title="User Disabled"), 403, "User Disabled", False),
        (Fault("bare", status=403), 403, None, True),
        (Fault("page"), 200, None, False),
        (Fault("garbled"), 200, None, False),
        (Fault("lacking"), 200, None, False),
    ],
)
def test_answers_that_go_wrong(world: World, fault, status, title, throttled):
    """The client reports a fault's answer in the same way as the stand-in itself."""
    world.standin.faults = [fault]
    answer = world.unchecked.send(PING)
    assert (answer.status, answer.title, answer.throttled) == (status, title, throttled)
    assert answer.body == ({} if fault.kind == "lacking" else answer.body)
    assert (answer.body is None) == (fault.kind in ("bare", "page", "garbled"))


@pytest.mark.parametrize(
    ("kind", "failure", "done"),
    [("cut", "connection", True), ("timeout_before", "timeout", False), ("timeout_after", "timeout", True)],
)
def test_answers_that_never_come(world: World, kind, failure, done):
    """A cut or hanging connection is no answer, whether the call was carried out or not; the next call passes."""
    world.become("ann@example.com")
    world.standin.faults = [Fault(kind, times=1)]
    answer = with_key(world, KEY, PATCH, timeout=1 if failure == "timeout" else 30)
    assert (answer.status, answer.failure) == (None, failure)
    assert first_name(world) == ("Ann" if done else "")
    assert world.sender.send(PATCH).ok


def test_faults_choose_their_calls(world: World):
    """A fault meets the methods, paths and keys that it names, as often as it says."""
    world.become("ann@example.com")
    world.standin.faults = [Fault("status", method="PATCH|PUT", path="/members/", key="^0123", times=2)]
    assert world.sender.send(PING).ok
    assert [world.sender.send(PATCH).status for _ in range(3)] == [500, 500, 200]
    world.standin.faults = [Fault("status", key="^another")]
    assert world.sender.send(PATCH).ok


def test_an_eleventh_connection_is_refused(world: World):
    """Ten calls of a user may be in flight, over all its keys; one more answers 429, and does nothing."""
    world.become("ann@example.com")
    world.standin.add_key("second-us1", USER)
    held = [world.standin.in_flight("second-us1" if number % 2 else KEY) for number in range(MOST_CONNECTIONS)]
    for one in held:
        assert one.__enter__() is False
    answer = world.sender.send(PATCH)
    assert (answer.status, answer.title, answer.throttled) == (429, "Too Many Requests", True)
    assert first_name(world) == ""
    for one in held:
        one.__exit__(None, None, None)
    assert world.sender.send(PATCH).ok


def test_hung_calls_count_until_their_client_gives_up(served: World):
    """Calls that hang are in flight together, and no longer once their client has left."""
    served.standin.faults = [Fault("timeout_before", times=MOST_CONNECTIONS)]
    assert served.base_url is not None
    owner = served.standin.users[USER]
    with Client(parse(KEY), served.base_url, 1.0) as client:
        threads = [threading.Thread(target=client.send, args=(PING,)) for _ in range(MOST_CONNECTIONS)]
        for one in threads:
            one.start()
        until(lambda: owner.in_flight == MOST_CONNECTIONS)
        assert served.sender.send(PING).status == 429
        for one in threads:
            one.join()
    until(lambda: owner.in_flight == 0)
    assert served.sender.send(PING).status == 200
    assert served.standin.audit.most_at_once[USER] == MOST_CONNECTIONS + 1


def test_more_hung_calls_than_threads_block_nobody(served: World):
    """Calls that get no answer do not block other calls."""
    served.standin.add_key("hung-us1", "somebody else")
    served.standin.faults = [Fault("timeout_before", key="^hung")]
    assert served.base_url is not None
    with Client(parse("hung-us1"), served.base_url, 30) as client:
        for _ in range(60):
            threading.Thread(target=client.send, args=(PING,), daemon=True).start()
        assert all(served.sender.send(PING).ok for _ in range(20))
