"""The findings of `check`: whether a flush now would deliver everything, and what to do if not."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from worker.store.run_result import LOOK


class Level(StrEnum):
    """How bad a finding is."""

    OK = "ok"
    ATTENTION = "attention"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check.

    Attributes:
        advice: what to do; None for nothing.
        hinders: whether it keeps a flush now from delivering everything.
    """

    what: str
    level: Level
    found: str
    advice: str | None = None
    hinders: bool = True

    @property
    def text(self) -> str:
        """What was found, and what to do."""
        return f"{self.found} {self.advice}" if self.advice else self.found


def ok(what: str, found: str) -> Finding:
    """Returns a finding without a problem."""
    return Finding(what, Level.OK, found, hinders=False)


def exit_code(findings: list[Finding]) -> int:
    """Returns 0 if a flush now would deliver everything, 3 if somebody must look, 1 if something failed."""
    if any(one.level is Level.FAILED for one in findings):
        return 1
    return LOOK if any(one.hinders for one in findings) else 0


def finding_data(one: Finding) -> dict[str, Any]:
    """Returns a finding as JSON data."""
    return {"what": one.what, "level": one.level, "found": one.found, "advice": one.advice, "hinders": one.hinders}
