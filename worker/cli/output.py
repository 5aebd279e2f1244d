"""What commands print: tables for people, JSON for programs; data on standard output, all else on standard error."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

PIPED_WIDTH = 200
"""Columns of tables that go into a file or another program, where ``COLUMNS`` does not say otherwise."""

out = Console(highlight=False, soft_wrap=True)
"""Data."""
if not out.is_terminal and "COLUMNS" not in os.environ:
    out.width = PIPED_WIDTH
err = Console(stderr=True, highlight=False, soft_wrap=True)
"""Progress and notices."""


def as_json(data: Any) -> None:
    """Prints one JSON document."""
    sys.stdout.write(json.dumps(data, ensure_ascii=False, indent=2) + "\n")


def one_line(data: Any) -> str:
    """Returns JSON on one line."""
    return json.dumps(data, ensure_ascii=False)


def say(text: str) -> None:
    """Prints a line for a person, as it is."""
    out.print(Text(text))


def note(text: str) -> None:
    """Prints a line beside the data, as it is."""
    err.print(Text(text))


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]], title: str | None = None) -> None:
    """Prints a table; numbers are on the right."""
    rows = [[*row] for row in rows]
    made = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
    for number, name in enumerate(columns):
        numeric = bool(rows) and all(isinstance(row[number], int) for row in rows)
        made.add_column(name, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        made.add_row(*(Text("" if value is None else str(value)) for value in row))
    out.print(made, soft_wrap=False)
