"""What ``mailchimp-worker link`` says beside the link."""

from __future__ import annotations

from pathlib import Path

import pytest

from worker.app import App
from worker.cli.link import _notes
from worker.config import Config, Staging
from worker.model import AccountId
from worker.sqlite.database import open_database
from worker.sqlite.lock import DatabaseLock


@pytest.fixture
def app(tmp_path: Path) -> App:
    """A worker's parts, with an empty database."""
    path = tmp_path / "worker.db"
    open_database(path).close()
    return App(Config(staging=Staging(path=path)))


def test_a_link_for_an_account_that_is_not_connected_is_noted(app: App) -> None:
    """It may be a typing error, or the owner's first visit."""
    with DatabaseLock(app.config.staging.path):
        (note,) = _notes(app, AccountId("acct-9"))
        assert note.startswith("Account acct-9 is not connected.")
        assert not [*_notes(app, None)]


def test_a_link_that_no_worker_would_open_is_noted(app: App) -> None:
    """The note names the command that starts one."""
    (note,) = _notes(app, None)
    assert "mailchimp-worker run" in note
