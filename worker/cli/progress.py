"""A progress bar for long work, on a terminal only."""

from __future__ import annotations

from contextlib import ExitStack
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

    def __exit__(self, *raised: object) -> None:
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


class Steps(ExitStack):
    """Progress bars for the steps of long work, one after the other, as a context manager."""

    def __init__(self) -> None:
        super().__init__()
        self._step: tuple[str, Progress] | None = None

    def update(self, description: str, done: int, total: int | None) -> None:
        """Shows the progress of a step; None for an unknown total."""
        if self._step is None or self._step[0] != description:
            self.close()
            self._step = description, self.enter_context(Progress(description))
        if total is None:
            self._step[1].counted(done)
        else:
            self._step[1].update(done, total)
