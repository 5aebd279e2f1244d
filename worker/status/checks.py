"""What `check` finds: whether a flush now would deliver everything, and what to do where it would not."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from worker.store.run_result import LOOK


class Level(StrEnum):
    """How a thing that was checked is."""

    OK = "ok"
    ATTENTION = "attention"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was checked.

    Attributes:
        advice: what to do; None where nothing is to be done.
        hinders: whether a flush now would not deliver everything because of it.
    """

    what: str
    level: Level
    found: str
    advice: str | None = None
    hinders: bool = True

    @property
    def text(self) -> str:
        """What was found and what to do."""
        return f"{self.found} {self.advice}" if self.advice else self.found


def ok(what: str, found: str) -> Finding:
    """Returns that a thing is as it should be."""
    return Finding(what, Level.OK, found, hinders=False)


def exit_code(findings: list[Finding]) -> int:
    """Returns 0 if a flush now would deliver everything, 3 if somebody must look, 1 if something failed."""
    if any(one.level is Level.FAILED for one in findings):
        return 1
    return LOOK if any(one.hinders for one in findings) else 0


def finding_data(one: Finding) -> dict[str, Any]:
    """Returns a finding as JSON shows it."""
    return {"what": one.what, "level": one.level, "found": one.found, "advice": one.advice, "hinders": one.hinders}
