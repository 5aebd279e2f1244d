"""Counts the files and functions of worker/ that one address change enters on its way to Mailchimp.

Run it: .venv/bin/python -m tests.journey
From the plan to the receipt and the ledger row, in all threads. Not counted: HTTP, Kafka, the daemon, the sandbox.
"""

from __future__ import annotations

import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from tests.integration.flush.world import World

WORKER = Path(__file__).parents[1] / "worker"
NOT_COUNTED = ("mailchimp/client.py", "kafka/", "changelog/", "daemon.py", "sandbox/")
FIRST, LAST = ("plan/plan.py", "make_plan"), ("store/receipts.py", "write")
"""Where the way begins and what ends it: the ledger's row is written in the same transaction, before the receipt."""


class Journey:
    """What was entered, file by file, in the order of the first call.

    Attributes:
        whole: of the flush.
        way: from the plan to the receipt.
    """

    def __init__(self) -> None:
        self.whole: dict[str, set[str]] = {}
        self.way: dict[str, set[str]] = {}
        self._on_way = False

    def __call__(self, frame: FrameType, event: str, argument: Any) -> None:
        """Records a call, as a profiler."""
        if event != "call":
            return
        path = Path(frame.f_code.co_filename)
        if WORKER not in path.parents:
            return
        file, function = path.relative_to(WORKER).as_posix(), frame.f_code.co_qualname
        if file.startswith(NOT_COUNTED):
            return
        self._on_way = self._on_way or (file, function) == FIRST
        self.whole.setdefault(file, set()).add(function)
        if self._on_way:
            self.way.setdefault(file, set()).add(function)
        if (file, function) == LAST and frame.f_locals["receipts"]:
            self._on_way = False


@contextmanager
def watched(journey: Journey) -> Iterator[None]:
    """Watches all calls of this thread and of those that it starts."""
    threading.setprofile(journey)
    sys.setprofile(journey)
    try:
        yield
    finally:
        sys.setprofile(None)
        threading.setprofile(None)


def address_change(folder: Path) -> Journey:
    """Delivers a customer, changes its address, and returns what the flush of that enters."""
    journey = Journey()
    with World(folder, direct=True) as world:
        world.event("ann", "ann@example.com", first_name="Ann")
        world.daily()
        world.event("ann", "new@example.com", first_name="Ann")
        with watched(journey):
            world.daily()
        assert world.outcomes("ann") == ["added", "renamed"]
        assert world.entry("new@example.com") is not None
    return journey


def main() -> None:
    """Prints what was counted."""
    with tempfile.TemporaryDirectory() as folder:
        journey = address_change(Path(folder))
    for name, functions_by_file in (("From plan to receipt", journey.way), ("The whole flush", journey.whole)):
        sys.stdout.write(
            f"{name}: {len(functions_by_file)} files, {sum(map(len, functions_by_file.values()))} functions\n"
        )
        for file, functions in functions_by_file.items():
            sys.stdout.write(f"  {file} ({len(functions)})\n")


if __name__ == "__main__":
    main()
