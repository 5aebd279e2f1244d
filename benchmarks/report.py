"""Formats the results of benchmarks as Markdown for benchmarks/README.md."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path


def machine() -> str:
    """Returns a line with the date and the machine."""
    at = datetime.now(UTC).strftime("%Y-%m-%d")
    cores, load = os.cpu_count(), os.getloadavg()[0]
    return (
        f"{at}, {cores} cores of {_processor()}, which Kafka and the stand-in share; load {load:.1f} at the end; "
        f"Python {platform.python_version()}."
    )


def _processor() -> str:
    found = Path("/proc/cpuinfo")
    if found.exists():
        for line in found.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()


def table(head: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> str:
    """Returns a Markdown table.

    Args:
        head: the columns' names.
        rows: the cells.
        left: number of left-aligned columns; the others hold numbers.
    """
    rule = ["---"] * left + ["---:"] * (len(head) - left)
    return "\n".join("| " + " | ".join(line) + " |" for line in (head, rule, *rows))


def times(seconds: float) -> str:
    """Returns a time in the fitting unit: milliseconds, seconds, minutes or hours."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def goal(what: str, found: float, wanted: float, form: str = "{:.2f}", *, least: bool = False) -> list[str]:
    """Returns the table row of a goal: what, the goal, the figure, met or missed.

    Args:
        what: what was measured.
        found: the measured figure.
        wanted: the limit.
        form: the format of both.
        least: whether the limit is a minimum.
    """
    met = found >= wanted if least else found <= wanted
    return [what, ("≥ " if least else "≤ ") + form.format(wanted), form.format(found), "met" if met else "**missed**"]


GOAL_HEAD = ("Goal", "Wanted", "Measured", "")
