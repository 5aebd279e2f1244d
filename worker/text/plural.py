"""Numbers with their noun, for messages: "1 partition", "2 partitions", "2 entries"."""

from __future__ import annotations


def counted(number: int, noun: str) -> str:
    """Returns a number with its noun, in the plural unless it is one."""
    several = noun.removesuffix("y") + "ies" if noun.endswith("ry") else f"{noun}s"
    return f"{number} {noun if number == 1 else several}"
