"""A flush makes no call that its plan does not list, whatever happened before."""

from __future__ import annotations

import os
import random
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from tests.histories.history import CALM, History
from tests.histories.wire import Exchange
from worker.mailchimp.calls import Call

BLOCK = 5
FEW, MANY = 10, int(os.environ.get("HISTORIES", "2000"))
KEPT = {
    19: "a pending member that is unsubscribed because its customer moved to another list",
    80: "whether a list that is not stored any more exists",
}
"""Seeds in which an earlier worker made a call that no plan listed, and which."""


class PlannedHistory(History):
    """A history in which most flushes are planned first, and then carried out without faults and interference.

    The others are as the history's theme has them, so that calls without an answer and dead workers come before a plan.

    Attributes:
        unplanned: calls that no plan listed.
    """

    def __init__(self, folder: Path, seed: int, **options: bool) -> None:
        """Prepares it, as :class:`History` does."""
        super().__init__(folder, seed, **options)
        self.unplanned: list[str] = []
        self._plan_chance = random.Random(seed + 4)

    def run(self) -> list[str]:
        """Runs it and returns the calls that no plan listed."""
        with self.world:
            self.listen()
            self.actors.crowd(self._crowd)
            for _ in range(self.theme.days):
                self._day()
        return self.unplanned

    def flush(self, *, confirmed: bool = False) -> None:
        """Flushes, usually after a plan."""
        self.actors.say(f"FLUSH{' confirmed' if confirmed else ''}")
        if self._plan_chance.random() < 0.3:
            self.actors.in_flush = True
            self.world.flush(confirmed=confirmed)
        else:
            theme, self.theme, self._outage = self.theme, CALM, 0
            if self.upheavals is not None:
                self.upheavals.too_many = 0
            planned = self.world.planned_calls(confirmed=confirmed)
            self.actors.say(f"PLANNED {' '.join(map(str, planned))}")
            self.actors.in_flush = True
            self._exchanges.clear()
            self.world.flush(confirmed=confirmed, command=True)
            self.unplanned += unplanned((exchange.call for exchange in self._exchanges), planned)
            self.theme = theme
        self.actors.in_flush = False

    def _exchanged(self, exchange: Exchange) -> None:
        self.actors.say(f"CALL {exchange.call} {dict(exchange.call.body or {})} → {exchange.answer.status}")
        self._exchanges.append(exchange)


def unplanned(made: Iterable[Call], planned: Iterable[Call]) -> list[str]:
    """Returns the calls that were made though no planned one has their method, path, query and contacts."""
    listed = {part for call in planned for part in _parts(call)}
    return [part for call in made for part in _parts(call) if part not in listed]


def _parts(call: Call) -> Iterator[str]:
    # The time since when members are read is that of an answer.
    query = {name: value for name, value in call.query.items() if name != "since_last_changed"}
    contacts = (call.body or {}).get("members", [{}])
    return (f"{call.method} {call.path} {query} {contact.get('email_address', '')}" for contact in contacts)


def _unplanned(folder: Path, seed: int) -> list[str]:
    with tempfile.TemporaryDirectory(dir=folder) as own:
        history = PlannedHistory(Path(own), seed, tags=seed % 2 == 1, upheavals=seed % 3 == 2)
        return [f"seed {seed}: {call}" for call in history.run()]


@pytest.mark.parametrize("first", range(1, FEW, BLOCK))
def test_a_flush_makes_only_calls_that_its_plan_listed(tmp_path: Path, first: int) -> None:
    """If nobody acts between plan and flush, and nothing fails, each call made is one that the plan listed."""
    assert [call for seed in range(first, first + BLOCK) for call in _unplanned(tmp_path, seed)] == []


@pytest.mark.parametrize("seed", KEPT)
def test_a_history_with_an_unplanned_call_has_none_any_more(tmp_path: Path, seed: int) -> None:
    """Each call that an earlier plan did not list is listed."""
    assert _unplanned(tmp_path, seed) == []


@pytest.mark.soak
@pytest.mark.parametrize("first", range(10_001, 10_001 + MANY, BLOCK))
def test_no_flush_of_thousands_makes_a_call_that_its_plan_did_not_list(tmp_path: Path, first: int) -> None:
    """The same for thousands of other histories."""
    assert [call for seed in range(first, first + BLOCK) for call in _unplanned(tmp_path, seed)] == []
