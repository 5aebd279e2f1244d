"""What is seldom in the middle of a flush does no harm, and the oracle notices a worker that it does harm to."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.histories.history import History
from tests.histories.surprises import Surprises
from worker.flush.call_permission import CallPermission
from worker.mailchimp.calls import Call

INTERRUPTIONS = (Surprises.erase, Surprises.lose_partition, Surprises.lose_broker)


def broken_by(folder: Path, act: Callable[[Surprises], None]) -> list[str]:
    """Returns what broke in a calm history of three customers, of whose first flush each call is interrupted once."""
    broken = list[str]()
    for number in range(1, 12):
        own = folder / str(number)
        own.mkdir()
        history = History(own, 3, calm=True, surprises=True)
        surprises = history.surprises
        assert surprises is not None
        surprises.quiet()

        def before(
            call: Call, history: History = history, surprises: Surprises = surprises, number: int = number
        ) -> None:
            if history.actors.in_flush and history.world.wire.count == number and not surprises.cut_short:
                act(surprises)

        with history.world:
            history.listen()
            history.world.wire.before = before
            history.actors.crowd(3)
            history.flush()
            surprises.cut_short = False
            history.world.wire.before = lambda call: None
            history.quiet()
        broken += history.oracle.broken
    return broken


@pytest.mark.parametrize("act", INTERRUPTIONS)
def test_an_interruption_does_no_harm(tmp_path: Path, act: Callable[[Surprises], None]) -> None:
    """At whichever call it comes: no further call is made, and the next flush delivers the rest."""
    assert broken_by(tmp_path, act) == []


@pytest.mark.parametrize(
    ("act", "watcher", "method"),
    [(Surprises.erase, CallPermission, "unchanged"), (Surprises.lose_partition, CallPermission, "ours")],
)
def test_the_oracle_notices_a_worker_that_goes_on_after_an_interruption(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, act: Callable[[Surprises], None], watcher: type, method: str
) -> None:
    """Such a worker makes calls for an account from which somebody was erased, or that is another worker's."""
    monkeypatch.setattr(watcher, method, lambda *arguments: True)
    assert "a call after" in " ".join(broken_by(tmp_path, act))
