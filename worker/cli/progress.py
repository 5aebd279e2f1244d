"""A progress bar for long work, on a terminal only."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.text import Text

from worker.cli import output
from worker.cli.output import err

QUIET_SECONDS = 5.0
"""How long a command waits for something before it says so."""


class Progress:
    """A progress bar, as a context manager. It shows nothing unless it writes to a terminal."""

    def __init__(self, description: str | None = None) -> None:
        """Shows nothing yet.

        Args:
            description: of the work; None if it has several steps, shown one after the other.
        """
        self._bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            _Rate(),
            TimeRemainingColumn(),
            console=Console(stderr=True, highlight=False),
            disable=not err.is_terminal,
            transient=True,
        )
        self._description = description
        self._task = self._bar.add_task(description or "", total=None, visible=description is not None)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._bar.stop()

    def update(self, done: int, total: int) -> None:
        """Shows progress towards a total."""
        self._bar.update(self._task, completed=done, total=total)

    def step(self, description: str, done: int, total: int | None) -> None:
        """Shows the progress of a step; None for an unknown total."""
        if description != self._description:
            self._bar.remove_task(self._task)
            self._description, self._task = description, self._bar.add_task(description, total=None)
        self._bar.update(self._task, completed=done, total=total)

    def counted(self, done: int) -> None:
        """Shows progress towards an unknown total."""
        self._bar.update(self._task, completed=done)


class Waiting:
    """Says once what a command waits for, if that lasts."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Waits for nothing yet.

        Args:
            clock: monotonic, in seconds.
        """
        self._clock = clock
        self._reason: str | None = None
        self._since = clock()
        self._said = True

    def update(self, reason: str | None) -> None:
        """Records what the command waits for now; None for nothing."""
        if reason != self._reason:
            self._reason, self._since, self._said = reason, self._clock(), reason is None
        if not self._said and self._clock() - self._since >= QUIET_SECONDS:
            self._said = True
            output.note(f"Waiting: {reason}")


class _Rate(ProgressColumn):
    """Items per second."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:,.0f}/s" if task.speed else "")
