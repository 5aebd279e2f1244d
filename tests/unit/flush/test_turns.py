"""Whose turn it is: operators first, then accounts in turns, small ones first, within a number of threads."""

from __future__ import annotations

import threading

import pytest

from worker.flush.turns import SUSPENDED, Capacity, QueuedAccount, Turns, next_account, start_delay
from worker.model import AccountId

NOW = 1000.0
ROOM = Capacity(accounts=2, connections=4)


def queued(
    name: str, size: int = 100, *, number: int = 0, asked: bool = False, turns: int = 0, run: int = 1
) -> QueuedAccount:
    """An account in the queue."""
    return QueuedAccount(AccountId(name), run, asked, size, number, turns=turns)


def order(*waiting: QueuedAccount) -> list[str]:
    """The order in which accounts get their turn, one at a time."""
    left, found = list(waiting), []
    while left:
        chosen = next_account(left, (), ROOM, NOW)
        assert chosen is not None
        left.remove(chosen)
        found.append(str(chosen.account_id))
    return found


def test_operators_come_first_then_who_had_fewer_turns_then_small_accounts() -> None:
    """An account without a change, of which only its lists are read, comes last among those with as many turns."""
    waiting = (
        queued("large", 5000),
        queued("unchanged", 0),
        queued("small", 3),
        queued("begun", 1, turns=1),
        queued("asked", 9000, asked=True),
    )
    assert order(*waiting) == ["asked", "small", "large", "unchanged", "begun"]


def test_large_accounts_fill_the_room_and_an_operators_request_finds_its_own() -> None:
    """As many large accounts as are configured; small ones need fewer threads, so more of them fit."""
    two = (queued("a", number=1), queued("b", number=2))
    assert next_account([queued("c", number=3)], two, ROOM, NOW) is None
    small = [queued(f"s{n}", 1, number=n) for n in range(5)]
    assert next_account([queued("s", 1, number=9)], small[:4], ROOM, NOW) is not None
    assert next_account([queued("s", 1, number=9)], small, ROOM, NOW) is None
    assert next_account([queued("asked", asked=True, number=4)], two, ROOM, NOW) is not None


def test_an_account_is_never_flushed_twice_at_the_same_time() -> None:
    """A request for an account that is under way waits for the end of that, also between two turns of it."""
    daily, asked = queued("a", number=1, turns=1), queued("a", number=2, asked=True, run=2)
    assert next_account([asked], [daily], ROOM, NOW) is None
    assert next_account([asked, daily], (), ROOM, NOW) == daily
    assert next_account([asked], (), ROOM, NOW) == asked


def test_no_more_large_accounts_begin_than_can_keep_their_place() -> None:
    """Each account that has begun keeps a thread and connections; small ones, which end soon, begin all the same."""
    begun = [queued(f"a{n}", number=n, turns=1) for n in range(SUSPENDED * ROOM.accounts)]
    new, small = queued("new", number=99), queued("small", ROOM.connections, number=98)
    assert next_account([*begun, new], (), ROOM, NOW) == begun[0]
    assert next_account([*begun, new, small], (), ROOM, NOW) == small


def test_a_small_account_that_has_long_to_read_adds_none_to_those_who_wait() -> None:
    """Where as many wait as may, it keeps its turn, though others had fewer; else it goes behind them."""
    for waiting, keeps in ((SUSPENDED - 1, False), (SUSPENDED, True)):
        stop = threading.Event()
        turns, began = Turns(Capacity(1, 4), stop), list[QueuedAccount]()
        turns.put(queued("small", 2), began.append)
        turns.start_turns()
        for number in range(waiting):
            turns._waiting[queued(f"a{number}", number=number + 9, turns=9)] = began.append
        turns._waiting[queued("new", 1, number=99)] = began.append
        stop.set()
        assert turns.next_turn(began[0]).turns == 1
        assert (began[0] not in turns._active and AccountId("small") in turns.accounts()) is True
        assert any(one.account_id == "small" for one in turns._active) is keeps


def test_accounts_of_a_daily_flush_begin_at_seconds_of_their_own() -> None:
    """Always the same for an account, within the spread, and different for most."""
    found = {start_delay(AccountId(f"acct-{n}"), 60) for n in range(200)}
    assert len(found) == 200
    assert all(0 <= one < 60 for one in found)
    assert start_delay(AccountId("acct-1"), 60) == start_delay(AccountId("acct-1"), 60)
    early = QueuedAccount(AccountId("a"), 1, False, 5, 1, not_before=NOW + 1)
    assert next_account([early], (), ROOM, NOW) is None
    assert next_account([early], (), ROOM, NOW + 1) == early


@pytest.mark.timeout(20)
def test_accounts_take_turns_by_chunk() -> None:
    """Where there is room for one, two accounts with three chunks each go on in turn."""
    turns, ended, seen = Turns(Capacity(1, 1), threading.Event()), threading.Semaphore(0), []

    def begin(given: QueuedAccount) -> None:
        def deliver() -> None:
            here = given
            for chunk in range(3):
                seen.append((str(here.account_id), chunk))
                here = turns.next_turn(here) if chunk < 2 else here
            turns.end(here)
            ended.release()

        threading.Thread(target=deliver).start()

    for name in ("a", "b"):
        turns.put(queued(name, 10), begin)
    turns.start_turns()
    for _ in range(2):
        ended.acquire()
    assert seen == [("a", 0), ("b", 0), ("a", 1), ("b", 1), ("a", 2), ("b", 2)]
    assert turns.accounts() == frozenset()


def test_accounts_of_a_silent_data_centre_begin_one_after_the_other() -> None:
    """What the first finds counts for the next. Other accounts, and one that was asked for, do not wait."""
    began: list[QueuedAccount] = []
    turns = Turns(Capacity(8, 4), threading.Event(), lambda: {"us9"})
    for name, data_centre, asked in (("a", "us9", False), ("b", "us9", False), ("c", "us1", False), ("d", "us9", True)):
        turns.put(QueuedAccount(AccountId(name), 1, asked, 1, data_centre=data_centre), began.append)
    turns.start_turns()
    assert [one.account_id for one in began] == ["d", "c"]
    turns.end(began[0])
    assert [one.account_id for one in began] == ["d", "c", "a"]
    turns.end(began[2])
    assert [one.account_id for one in began] == ["d", "c", "a", "b"]
