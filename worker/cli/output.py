"""What commands print: tables for people, JSON for programs; data on standard output, all else on standard error.

Whatever goes to a terminal passes by here: characters that would steer it are spelled out.
"""

from __future__ import annotations

import csv
import json
import logging
import os
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import typer
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from worker import log
from worker.text.escape import json_escaped, visible

PIPED_WIDTH = 200
"""Columns of tables that go into a file or another program, where ``COLUMNS`` does not say otherwise."""
LAST_COLUMN = 24
"""Characters that the last column of a table, with its sentences, needs to be readable."""
GAP = 2
NAMED = 10

out = Console(highlight=False, soft_wrap=True)
"""Data."""
if not out.is_terminal and "COLUMNS" not in os.environ:
    out.width = PIPED_WIDTH
err = Console(stderr=True, highlight=False, soft_wrap=True)
"""Progress and notices."""


def as_json(data: Any) -> None:
    """Prints one JSON document."""
    sys.stdout.write(json_escaped(json.dumps(data, ensure_ascii=False, indent=2)) + "\n")


def one_line(data: Any) -> str:
    """Returns JSON on one line."""
    return json_escaped(json.dumps(data, ensure_ascii=False))


def as_csv(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Prints comma-separated values for a spreadsheet, with a line of names; no cell is taken for a formula."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_no_formula(_cell(value)) for value in row] for row in rows)


def some_of(names: Sequence[str]) -> str:
    """Returns names for a sentence: the first, and how many more there are."""
    rest = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {rest} more" if rest > 0 else "")


def say(text: str, style: str = "") -> None:
    """Prints a line for a person."""
    out.print(Text(visible(text), style=style))


def note(text: str) -> None:
    """Prints a line beside the data; into the log where that is read by programs."""
    if log.writes_json():
        logging.getLogger("worker").info(text)
    else:
        err.print(Text(visible(text)))


def confirm(question: str, *, yes: bool) -> None:
    """Asks a person, unless the answer was given as an option; ends the command where it is no."""
    if not yes:
        typer.confirm(visible(question), abort=True, err=True)


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]], title: str | None = None) -> None:
    """Prints a table, numbers on the right; where it does not fit the terminal, each row as a block of lines."""
    rows, columns = [[*row] for row in rows], [visible(one) for one in columns]
    cells = [[_cell(value) for value in row] for row in rows]
    if not _fits(columns, cells):
        _blocks(columns, cells, title)
        return
    head = Text(visible(title)) if title else None
    made = Table(title=head, title_justify="left", title_style="bold", box=None, pad_edge=False)
    for number, name in enumerate(columns):
        numeric = bool(rows) and all(isinstance(row[number], int) for row in rows)
        made.add_column(name, justify="right" if numeric else "left", overflow="fold")
    for row in cells:
        made.add_row(*map(Text, row))
    out.print(made, soft_wrap=False)


def _fits(columns: Sequence[str], cells: Sequence[Sequence[str]]) -> bool:
    widths = [max(map(cell_len, column)) for column in zip(columns, *cells, strict=True)]
    needed = sum(widths[:-1]) + min(widths[-1], LAST_COLUMN) + GAP * (len(widths) - 1)
    return len(columns) <= 2 or needed <= out.width


def _blocks(columns: Sequence[str], cells: Sequence[Sequence[str]], title: str | None) -> None:
    if title:
        say(title, style="bold")
    for number, row in enumerate(cells):
        if number:
            say("")
        block = Table(box=None, pad_edge=False, show_header=False)
        for name, value in zip(columns, row, strict=True):
            if value:
                block.add_row(Text(name, style="bold"), Text(value))
        out.print(block, soft_wrap=False)


def _cell(value: Any) -> str:
    return "" if value is None else visible(str(value))


def _no_formula(cell: str) -> str:
    # A spreadsheet reads such a cell as a formula, and the addresses come from strangers. Source: OWASP, CSV injection.
    return f"'{cell}" if cell.startswith(("=", "+", "-", "@")) else cell
