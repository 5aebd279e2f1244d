"""Numbers with their noun, for messages: "1 partition", "2 partitions"."""

from __future__ import annotations


def counted(number: int, noun: str, several: str | None = None) -> str:
    """Returns a number with its noun.

    Args:
        several: the plural; None for the noun with an s.
    """
    return f"{number} {noun if number == 1 else several or noun + 's'}"
