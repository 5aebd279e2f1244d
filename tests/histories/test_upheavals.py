"""What happens seldom in histories does no harm, and the oracle notices a worker that it does harm to."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.histories.history import History
from worker.changelog import table_rows
from worker.flush import account_flush
from worker.mailchimp import calls

TAKEN_OVER = (47044, 47063)
"""Seeds in which another worker takes over while a departure or a move depends on the ledger, and Mailchimp does not
show it."""


def require_a_field(history: History) -> None:
    """A list gets a field that must be filled."""
    assert history.upheavals is not None
    history.upheavals.require_a_field()


def too_many(history: History) -> None:
    """Mailchimp says "too many requests" for a while."""
    assert history.upheavals is not None
    history.upheavals.too_many = 10


def take_key_back(history: History) -> None:
    """Mailchimp does not know the API key for one flush."""
    assert history.upheavals is not None
    history.upheavals.take_key_back()


def broken_by_a_list_that_is_back(folder: Path) -> list[str]:
    """Returns what broke in a calm history: a list is gone for one flush, people leave it, and its customers move."""
    history = History(folder, 3, calm=True, upheavals=True)
    actors, upheavals = history.actors, history.upheavals
    assert upheavals is not None
    with history.world:
        history.listen()
        actors.crowd(3, "other")
        history.flush()
        upheavals.take_list_away("other")
        history.flush()
        upheavals.give_list_back()
        actors.empty("other")
        history.flush()
        history.flush(confirmed=True)
    return history.oracle.broken


def broken_by(folder: Path, upheaval: Callable[[History], None]) -> list[str]:
    """Returns what broke in a calm history of three customers with one upheaval before its first flush."""
    history = History(folder, 0, calm=True, upheavals=True)
    with history.world:
        history.listen()
        history.actors.crowd(3)
        upheaval(history)
        history.flush()
        history.quiet()
    return history.oracle.broken


@pytest.mark.parametrize("upheaval", [require_a_field, too_many, take_key_back])
def test_an_upheaval_does_no_harm(tmp_path: Path, upheaval: Callable[[History], None]) -> None:
    """Whatever field must be filled and however Mailchimp refuses to work, all customers are members in the end."""
    assert broken_by(tmp_path, upheaval) == []


def test_nobody_who_left_a_list_that_was_gone_for_a_while_is_added_elsewhere(tmp_path: Path) -> None:
    """The flush that finds the list again reads who left it, before the operator's confirmation moves anybody."""
    assert broken_by_a_list_that_is_back(tmp_path) == []


def test_the_oracle_notices_a_worker_that_never_looks_for_a_gone_list_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such a worker adds people to another list though they left the one that is back."""
    monkeypatch.setattr(account_flush, "maybe_back", lambda db, settings: set())
    assert "unsubscribed on other" in " ".join(broken_by_a_list_that_is_back(tmp_path))


def test_the_oracle_notices_a_worker_that_has_required_fields_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mailchimp refuses the customers of such a worker, and they are no members in the end."""
    monkeypatch.setattr(calls, "_NO_VALIDATION", {})
    assert "wants to be on" in " ".join(broken_by(tmp_path, require_a_field))


def test_the_oracle_notices_a_worker_that_takes_over_without_the_ledger(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the ledger somebody is put back, or does not go where the customer does."""
    everything = table_rows.all_rows
    monkeypatch.setattr(table_rows, "all_rows", lambda db: [row for row in everything(db) if row.kind != "place"])
    for seed in TAKEN_OVER:
        (tmp_path / str(seed)).mkdir()
        assert History(tmp_path / str(seed), seed, upheavals=True).run()
