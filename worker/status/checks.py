"""The findings of `check`: whether a flush now would deliver everything, and what to do if not."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from worker.store.run_result import ATTENTION_CODE


class Level(StrEnum):
    """How bad a finding is."""

    OK = "ok"
    ATTENTION = "attention"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check.

    Attributes:
        subject: what was checked, such as "topic billmywork.customers".
        advice: what to do; None for nothing.
        hinders: whether it keeps a flush now from delivering everything.
    """

    subject: str
    level: Level
    message: str
    advice: str | None = None
    hinders: bool = True

    @property
    def text(self) -> str:
        """The message and the advice."""
        return f"{self.message} {self.advice}" if self.advice else self.message


def ok(subject: str, message: str) -> Finding:
    """Returns a finding without a problem."""
    return Finding(subject, Level.OK, message, hinders=False)


def exit_code(findings: list[Finding]) -> int:
    """Returns 0 if a flush now would deliver everything, 3 if somebody must look, 1 if something failed."""
    if any(finding.level is Level.FAILED for finding in findings):
        return 1
    return ATTENTION_CODE if any(finding.hinders for finding in findings) else 0
