"""A worker raises its limit of open files, or says at the start that it is too low."""

from __future__ import annotations

import resource

import pytest

from worker.errors import TooManyOpenFiles
from worker.system import open_files
from worker.system.open_files import ENOUGH, allow_open_files

INFINITE = resource.RLIM_INFINITY


@pytest.mark.parametrize(
    ("soft", "hard", "after"),
    [
        (256, INFINITE, ENOUGH),
        (1024, 2048, 2048),
        (48, 1 << 20, ENOUGH),
        (1 << 20, 1 << 20, None),
        (INFINITE, INFINITE, None),
    ],
)
def test_the_limit_is_raised_as_far_as_needed(
    monkeypatch: pytest.MonkeyPatch, soft: int, hard: int, after: int | None
) -> None:
    """The soft limit is raised to what many accounts need, and never lowered."""
    limits: list[tuple[int, int]] = []
    monkeypatch.setattr(open_files.resource, "getrlimit", lambda kind: (soft, hard))
    monkeypatch.setattr(open_files.resource, "setrlimit", lambda kind, both: limits.append(both))
    allow_open_files()
    assert limits == ([(after, hard)] if after is not None else [])


@pytest.mark.parametrize("limit", [20, 48, 255])
def test_a_limit_that_is_too_low_is_reported(monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
    """The message says how many files a worker needs, and how to raise the limit."""
    monkeypatch.setattr(open_files.resource, "getrlimit", lambda kind: (limit, limit))
    monkeypatch.setattr(open_files.resource, "setrlimit", lambda kind, both: None)
    with pytest.raises(TooManyOpenFiles, match=f"only {limit} files open at once; a worker needs 256") as refused:
        allow_open_files()
    assert "ulimit -n 1024" in refused.value.advice
