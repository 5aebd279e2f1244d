"""A progress bar for long work, on a terminal only."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from worker.cli.output import err


class Progress:
    """Shows how much of something is done, as a context manager. Elsewhere than on a terminal it shows nothing."""

    def __init__(self, what: str) -> None:
        self._bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=err,
            disable=not err.is_terminal,
            transient=True,
        )
        self._task = self._bar.add_task(what, total=None)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def told(self, done: int, total: int) -> None:
        """Shows so many done of so many."""
        self._bar.update(self._task, completed=done, total=total)

    def counted(self, done: int) -> None:
        """Shows so many done of nobody knows how many."""
        self._bar.update(self._task, completed=done)
