"""Runs all benchmarks one after the other: python -m benchmarks [--full] [--write] [NAME ...].

The short form takes less than five minutes, the full one less than an hour on a quiet machine. Prints the output of
each; --write also puts it into benchmarks/README.md, between the markers of its section. Exits with 1 if one of them
failed.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import time
from pathlib import Path

PAGE = Path(__file__).with_name("README.md")
SHORT = {
    "stage": "--events 100000 --customers 20000 --accounts 200 --rounds 1 --script 2000",
    "first_sync": "--contacts 5000 --changes 1000 100 --sample 2",
    "accounts": "--accounts 8 64 --customers 960",
    "growth": "--customers 200 2000 --accounts 20 --draw /dev/null",
    "read_back": "--members 20000",
}
"""Each benchmark, with the arguments of its short form."""


def outcome_of(name: str, *, full: bool) -> tuple[int, str]:
    """Runs a benchmark; returns its exit code and its output."""
    command = [sys.executable, "-m", f"benchmarks.{name}", *([] if full else SHORT[name].split())]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    return done.returncode, done.stdout.strip()


def written(page: str, name: str, found: str) -> str:
    """Returns a page with the figures of one section replaced."""
    between = re.compile(rf"(<!-- {name} -->\n).*?(\n<!-- end of {name} -->)", re.DOTALL)
    return between.sub(lambda marks: marks[1] + found + marks[2], page)


def main(names: list[str], *, full: bool, write: bool) -> int:
    """Runs the benchmarks; returns the exit code."""
    failed = False
    for name in names or SHORT:
        began = time.monotonic()
        code, found = outcome_of(name, full=full)
        print(f"## {name}, {time.monotonic() - began:.0f} s\n\n{found}\n", flush=True)
        failed = failed or code != 0
        if write and code == 0:
            PAGE.write_text(written(PAGE.read_text(encoding="utf-8"), name, found), encoding="utf-8")
    return int(failed)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", choices=[*SHORT, []], help=", ".join(SHORT))
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args()
    sys.exit(main(given.names, full=given.full, write=given.write))
