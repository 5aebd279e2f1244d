"""Prints tables for people and JSON for programs; data to standard output, all else to standard error.

Everything that goes to a terminal passes through here: control characters are escaped.
"""

from __future__ import annotations

import csv
import json
import logging
import os
import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, TextIO, TypeVar

import typer

from worker import log
from worker.cli.columns import GAP, fits, lines_of, widths_of
from worker.errors import UsageError
from worker.text.escape import csv_cell, json_escaped, visible

_Row = TypeVar("_Row")

PIPED_WIDTH = 200
"""Width of tables that go to a file or another program, unless ``COLUMNS`` is set."""


class Console:
    """Lines for people on standard output or standard error."""

    def __init__(self, *, stderr: bool = False, width: int | None = None) -> None:
        """Writes nothing yet.

        Args:
            width: in columns; None to ask the terminal.
        """
        self._stderr = stderr
        known = self.is_terminal or "COLUMNS" in os.environ
        self.width = width or (shutil.get_terminal_size().columns if known else PIPED_WIDTH)

    @property
    def _file(self) -> TextIO:
        return sys.stderr if self._stderr else sys.stdout

    @property
    def is_terminal(self) -> bool:
        """Whether it writes to a terminal."""
        return self._file.isatty()

    def bold(self, text: str) -> str:
        """Returns a text in bold, if this is a terminal that can show it."""
        plain = "NO_COLOR" in os.environ or os.environ.get("TERM") in ("dumb", "unknown")
        return f"\x1b[1m{text}\x1b[0m" if self.is_terminal and text.strip() and not plain else text

    def write(self, lines: Iterable[str]) -> None:
        """Writes lines, which must be safe to print."""
        self._file.write("".join(f"{line.rstrip(' ')}\n" for line in lines))
        self._file.flush()


out = Console()
"""Data."""
err = Console(stderr=True)
"""Progress and notices."""


def as_json(data: Any) -> None:
    """Prints one JSON document."""
    sys.stdout.write(json_escaped(json.dumps(data, ensure_ascii=False, indent=2)) + "\n")


def as_json_list(rows: Iterable[Any]) -> None:
    """Prints one JSON document, a list, row by row: they may be millions."""
    before = "[\n  "
    for row in rows:
        lines = json.dumps(row, ensure_ascii=False, indent=2).replace("\n", "\n  ")  # texts hold no raw line ends
        sys.stdout.write(before + json_escaped(lines))
        before = ",\n  "
    sys.stdout.write("[]\n" if before.startswith("[") else "\n]\n")


def result(data: Any, *lines: str, json: bool) -> None:
    """Prints the result of a command: as JSON for a program, or as lines for a person."""
    if json:
        as_json(data)
    for line in () if json else lines:
        say(line)


def one_line(data: Any) -> str:
    """Returns JSON on one line."""
    return json_escaped(json.dumps(data, ensure_ascii=False))


def as_csv(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Prints CSV with a header line for a spreadsheet, without formulas."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(map(csv_cell, row) for row in rows)


def say(text: str, *, bold: bool = False) -> None:
    """Prints a line for a person."""
    line = visible(text)
    out.write([out.bold(line) if bold else line])


def note(text: str) -> None:
    """Prints a line to stderr, or to the log if programs read it."""
    if log.writes_json():
        logging.getLogger("worker").info(text)
    else:
        err.write([visible(text)])


def newest(rows: Iterable[_Row], count: int, limit: int) -> Iterator[_Row]:
    """Returns the last rows, and mentions on stderr if there are more.

    Args:
        rows: oldest first, one more than the limit if there are more.
        count: how many rows these are.
    """
    if count > limit:
        note(f"Only the newest {limit} are shown; there are more. See more: --limit {10 * limit}")
    return islice(rows, max(count - limit, 0), None)


def ask(question: str) -> bool:
    """Asks a person, and returns whether the answer is yes.

    Raises:
        UsageError: nobody is there to answer.
    """
    try:
        return typer.confirm(visible(question), err=True)
    except typer.Abort as error:
        if sys.stdin.isatty():
            raise
        typer.echo(err=True)  # ends the line of the question
        raise UsageError(
            "Nobody answered: there is no terminal.", "If you want it, run the command with --yes."
        ) from error


def confirm(question: str, *, yes: bool) -> None:
    """Asks a person, unless the answer was given as an option; aborts the command if it is no.

    Raises:
        UsageError: nobody is there to answer.
    """
    if not yes and not ask(question):
        raise typer.Abort


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]], title: str | None = None) -> None:
    """Prints a table, numbers right-aligned; if it does not fit the terminal, each row as a block of lines."""
    rows = [[*row] for row in rows]
    right = {number for number in range(len(columns)) if rows and all(isinstance(row[number], int) for row in rows)}
    head, cells = [visible(column) for column in columns], [[_cell(value) for value in row] for row in rows]
    if title:
        say(title, bold=True)
    if fits([head, *cells], out.width):
        widths = widths_of([head, *cells], out.width)
        lines = [out.bold(GAP.join(line)) for line in lines_of(head, widths, right)] if any(head) else []
        lines += [GAP.join(line) for row in cells for line in lines_of(row, widths, right)]
        out.write(lines)
    else:
        for number, row in enumerate(cells):
            out.write([""] if number else [])
            out.write(_block(head, row))


def _block(columns: Sequence[str], row: Sequence[str]) -> Iterator[str]:
    pairs = [pair for pair in zip(columns, row, strict=True) if pair[1]]
    if pairs:
        widths = widths_of(pairs, out.width)
        yield from (out.bold(name) + GAP + value for pair in pairs for name, value in lines_of(pair, widths))


def _cell(value: Any) -> str:
    return "" if value is None else visible(str(value))
