"""Runs commands as separate processes, and measures time, processor time and peak memory of each."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.launch import KIB_PER_MB

LAUNCH = Path(__file__).with_name("launch.py")
WORKER = (sys.executable, "-m", "worker")
LONGEST_SECONDS = 1800


class NotDone(Exception):
    """A side of a comparison did not do its work, so its time means nothing."""


@dataclass(frozen=True)
class Measured:
    """The result of one command.

    Attributes:
        seconds: from its start to its end.
        memory_mb: peak memory.
        output: its standard output.
    """

    seconds: float
    processor_seconds: float
    memory_mb: float
    output: str


def measured(
    command: Sequence[str], variables: Mapping[str, str] | None = None, folder: Path | None = None
) -> Measured:
    """Runs a command to its end.

    Args:
        command: the full path of the program, and its arguments.
        variables: added to the environment.
        folder: its working directory; None for the current one.

    Raises:
        NotDone: its exit code is not 0.
    """
    with tempfile.TemporaryDirectory() as name:
        report = Path(name) / "report"
        done = subprocess.run(
            [sys.executable, "-S", "-E", str(LAUNCH), str(report), *command],
            env=_environment() | (variables or {}),
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=LONGEST_SECONDS,
            check=False,
        )
        result = json.loads(report.read_text(encoding="utf-8")) if report.exists() else {"code": done.returncode}
    if code := result.pop("code"):
        raise NotDone(f"{' '.join(command)} ended with {code}: {done.stdout[-500:]}{done.stderr[-1500:]}")
    return Measured(**result, output=done.stdout)


def peak_mb() -> float:
    """Returns the peak memory of this process in MB, without that of its parent."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text(encoding="ascii").splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / KIB_PER_MB


def _environment() -> dict[str, str]:
    # With compiled modules, as after an installation by pip.
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
