"""What is dropped while a worker runs."""

from __future__ import annotations

import threading
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from worker.app import App
from worker.clock import as_text, utc_now
from worker.config import Config, Staging
from worker.consumer.owned_partitions import OwnedPartitions
from worker.jobs.job import start_all
from worker.jobs.retention import Retention
from worker.store import dead_letters
from worker.store.dead_letters import DeadLetter


@pytest.mark.timeout(30)
def test_what_is_too_old_goes_at_a_worker_that_delivers_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a partition, and so without a flush that would tidy up."""
    monkeypatch.setattr(Retention, "every", 0.01)
    app = App(Config(staging=Staging(path=tmp_path / "worker.db")))
    now = utc_now()
    with closing(app.open_database()) as db:
        times = (now - timedelta(days=401), now)
        letters = [
            DeadLetter("t", "id", 0, number, None, b"?", [], "no JSON", as_text(at)) for number, at in enumerate(times)
        ]
        with db.transaction():
            dead_letters.keep(db, letters)
        (thread,) = start_all([Retention(app, OwnedPartitions())], app.open_database)
        pause = threading.Event()
        while dead_letters.count(db) > 1:
            pause.wait(0.01)
        thread.end(15)
        assert [one.offset for one in dead_letters.all_letters(db)] == [1]
