"""A data centre of Mailchimp that answers nothing: hundreds of its accounts hold up nobody, for hours or at all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from tests.integration.flush.test_accounts import add_accounts, event_for, parts
from tests.integration.flush.world import Everybody, WatchedApp, World
from worker.clock import Stop
from worker.mailchimp.answers import Answer
from worker.mailchimp.calls import Call
from worker.mailchimp.data_centres import DataCentreSender
from worker.mailchimp.sender import RetryingSender
from worker.model import AccountId
from worker.sqlite.database import Database
from worker.store.runs import Run

AT_ONCE = 5
"""Accounts of one changed customer that are delivered at once where there is room for one large account."""
TIME_OUT = Answer(None, failure="timeout", seconds=120)


class DataCentre:
    """Where the calls of accounts named more-N go: time-outs that take no time, until it answers again."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.silent = True


@pytest.fixture
def centre(world: World, monkeypatch: pytest.MonkeyPatch) -> DataCentre:
    """Returns a silent data centre and connects twenty accounts that have a changed customer each."""
    made, answering = DataCentre(), WatchedApp.open_sender
    add_accounts(world, 20)
    with world.db.transaction():
        world.db.execute("UPDATE account SET key_hint = 'cdef-us9' WHERE account_id <> 'acct-1'")
    for number in range(20):
        event_for(world, f"more-{number}", "c", "c@example.com")
    world.event("ann", "ann@example.com")

    @contextmanager
    def open_sender(app: WatchedApp, db: Database, account_id: AccountId, stop: Stop) -> Iterator[RetryingSender]:
        with answering(app, db, account_id, stop) as retrying:
            inner, name = retrying.sender, "us1" if account_id == "acct-1" else "us9"

            class Sender:
                def send(self, call: Call) -> Answer:
                    if name == "us1":
                        return inner.send(call)
                    made.calls[account_id] += 1
                    return TIME_OUT if made.silent else inner.send(call)

            yield replace(retrying, sender=DataCentreSender(Sender(), app.data_centres, name))

    monkeypatch.setattr(WatchedApp, "open_sender", open_sender)
    return made


def flush(world: World) -> Run:
    """A daily flush with room for one large account."""
    world.clock.forward(seconds=1)
    return replace(world.app.flusher(world.stop), accounts_at_once=1).flush("daily", lambda db: Everybody())


def test_only_the_first_accounts_of_a_silent_data_centre_wait_for_time_outs(world: World, centre: DataCentre) -> None:
    """The others fail without a call and say why; an account of another data centre is delivered."""
    run = flush(world)
    assert parts(run) == {"acct-1": (1, "done")} | {f"more-{number}": (0, "failed") for number in range(20)}
    assert len(centre.calls) <= AT_ONCE + 2  # it is known once two of their calls have ended
    told = {one.message for one in run.accounts if one.account_id not in (*centre.calls, "acct-1")}
    assert told == {
        "Mailchimp's data centre us9 does not answer, so none of this account's calls was made. The worker tries it "
        "again by itself."
    }


def test_one_account_tries_whether_it_answers_again(world: World, centre: DataCentre) -> None:
    """While it is silent, later flushes cost the time-outs of one account; once it answers, all are delivered."""
    flush(world)
    watch = world.app.data_centres
    later = watch._clock() + 3600
    watch._clock = lambda: later
    centre.calls.clear()
    flush(world)
    assert len(centre.calls) == 1
    later += 3600
    centre.silent = False
    run = flush(world)
    assert parts(run) == {f"more-{number}": (1, "done") for number in range(20)}
