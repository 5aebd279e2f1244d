"""A progress bar for long work, on a terminal only."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.text import Text

from worker.cli.output import err


class Progress:
    """A progress bar, as a context manager. It shows nothing unless it writes to a terminal."""

    def __init__(self, description: str) -> None:
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
        self._task = self._bar.add_task(description, total=None)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def update(self, done: int, total: int) -> None:
        """Shows progress towards a total."""
        self._bar.update(self._task, completed=done, total=total)

    def counted(self, done: int) -> None:
        """Shows progress towards an unknown total."""
        self._bar.update(self._task, completed=done)


class _Rate(ProgressColumn):
    """Items per second."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:,.0f}/s" if task.speed else "")


class Steps:
    """Progress bars for the steps of long work, one after the other, as a context manager."""

    def __init__(self) -> None:
        self._description: str | None = None
        self._progress: Progress | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def update(self, description: str, done: int, total: int | None) -> None:
        """Shows the progress of a step; None for an unknown total."""
        if description != self._description or self._progress is None:
            self._end()
            self._description, self._progress = description, Progress(description).__enter__()
        if total is None:
            self._progress.counted(done)
        else:
            self._progress.update(done, total)

    def _end(self) -> None:
        if self._progress is not None:
            self._progress.__exit__(None, None, None)
            self._progress = None
