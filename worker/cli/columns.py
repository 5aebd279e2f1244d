"""Lays out columns of text for a terminal. Does no I/O.

Without rich, which would take longer for 500 rows than all else that a command does, and as long again to import.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

GAP = "  "
LAST_COLUMN = 24
"""Characters that the last column of a table, with its sentences, needs to be readable."""


def length(text: str) -> int:
    """Returns the width of a text on a terminal: two for a wide character, none for a combining one."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def widths_of(rows: Sequence[Sequence[str]], width: int) -> list[int]:
    """Returns the width of each column: that of its widest cell, or less for the last one, which may be wrapped."""
    widths = [max(map(length, column)) for column in zip(*rows, strict=True)]
    remaining = width - sum(widths[:-1]) - len(GAP) * (len(widths) - 1)
    return [*widths[:-1], min(widths[-1], max(remaining, LAST_COLUMN))]


def fits(rows: Sequence[Sequence[str]], width: int) -> bool:
    """Returns whether the columns fit into a width, with a last column wide enough to be readable."""
    widths = widths_of(rows, width)
    return len(widths) <= 2 or sum(widths) + len(GAP) * (len(widths) - 1) <= width


def lines_of(row: Sequence[str], widths: Sequence[int], right: Collection[int] = ()) -> list[list[str]]:
    """Returns the lines of a row with padded cells; the last cell is wrapped at spaces.

    Args:
        right: the indexes of right-aligned columns.
    """
    last = wrapped(row[-1], widths[-1])
    above = [[*row[:-1], last[0]], *([""] * (len(row) - 1) + [line] for line in last[1:])]
    return [[_padded(cell, widths[at], at in right) for at, cell in enumerate(line)] for line in above]


def wrapped(text: str, width: int) -> list[str]:
    """Returns the lines of a text: whole words, unless one is longer than a line."""
    if length(text) <= width:
        return [text]
    lines, line = [], ""
    for word in text.split(" "):
        longer = f"{line} {word}" if line else word
        if length(longer) <= width:
            line = longer
            continue
        if line:
            lines.append(line)
        *full_lines, line = _cut(word, width)
        lines += full_lines
    return [*lines, line]


def _cut(word: str, width: int) -> list[str]:
    parts, part = [], ""
    for character in word:
        if length(part + character) > width:
            parts.append(part)
            part = ""
        part += character
    return [*parts, part]


def _padded(text: str, width: int, right: bool) -> str:
    space = " " * (width - length(text))
    return space + text if right else text + space
