"""Numbers with their noun, and several names, for messages: "1 partition", "2 entries", "a, b and 3 more"."""

from __future__ import annotations

from collections.abc import Sequence

NAMED = 10


def some_of(names: Sequence[str], most: int = NAMED) -> str:
    """Returns the first names for a sentence, and how many more there are."""
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest} more" if rest > 0 else "")


def counted(number: int, noun: str) -> str:
    """Returns a number with its noun, in the plural unless it is one."""
    several = noun.removesuffix("y") + "ies" if noun.endswith("ry") else f"{noun}s"
    return f"{number} {noun if number == 1 else several}"
