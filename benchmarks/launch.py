"""Runs a command and measures it: python benchmarks/launch.py REPORT COMMAND [ARGUMENT ...].

A small separate process, because Linux counts the memory of the parent process towards the command's peak.
Writes elapsed and processor time in seconds, peak memory in MB, and the exit code to the file REPORT, as JSON.
"""

import json
import os
import sys
import time
from pathlib import Path

KIB_PER_MB = 1024 if sys.platform != "darwin" else 1024 * 1024


def main(report: str, command: list[str]) -> None:
    """Runs the command to its end, and writes the report."""
    began = time.monotonic()
    process = os.posix_spawn(command[0], command, os.environ)
    _, status, usage = os.wait4(process, 0)
    result = {
        "seconds": time.monotonic() - began,
        "processor_seconds": usage.ru_utime + usage.ru_stime,
        "memory_mb": usage.ru_maxrss / KIB_PER_MB,
        "code": os.waitstatus_to_exitcode(status),
    }
    Path(report).write_text(json.dumps(result), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
