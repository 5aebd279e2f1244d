"""The thread that carries out requests to erase while a worker runs."""

from __future__ import annotations

import logging
import threading
from pathlib import Path

import pytest

from worker import erasing
from worker.app import App
from worker.config import Config, Staging
from worker.consumer.owned_partitions import OwnedPartitions


@pytest.mark.timeout(20)
def test_requests_are_looked_for_again_after_an_unexpected_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The error is logged with its traceback, and the next look comes all the same."""
    monkeypatch.setattr(erasing, "LOOK_SECONDS", 0.001)
    monkeypatch.setattr(erasing, "AGAIN_SECONDS", 0.001)
    looks, again = [], threading.Event()

    def fail_once(*_: object) -> bool:
        looks.append(1)
        if len(looks) == 1:
            raise RuntimeError("unexpected")
        again.set()
        return True

    monkeypatch.setattr(erasing.ErasingThread, "_step", fail_once)
    app = App(Config(staging=Staging(path=tmp_path / "worker.db")))
    thread = erasing.ErasingThread(app, OwnedPartitions())
    with caplog.at_level(logging.ERROR):
        thread.start()
        assert again.wait(15)
        thread.end(15)
    assert "looking for requests to erase failed" in caplog.text
    assert "RuntimeError: unexpected" in caplog.text
