"""Runs histories by their seeds and prints what broke: ``python -m tests.histories FIRST [LAST] [--trace]``."""

import sys
import tempfile
from pathlib import Path

from tests.histories.history import History


def main() -> None:
    """Runs them."""
    numbers = [int(one) for one in sys.argv[1:] if not one.startswith("-")]
    failed = 0
    for seed in range(numbers[0], numbers[-1] + 1):
        with tempfile.TemporaryDirectory() as folder:
            history = History(Path(folder), seed)
            try:
                broken = history.run()
            except Exception as error:  # noqa: BLE001
                import traceback
                broken = [f"{type(error).__name__}: {error}" , traceback.format_exc()[-1500:]]
        if broken:
            failed += 1
            print(seed, *broken, sep="\n   ", flush=True)
        if "--trace" in sys.argv:
            print(*history.actors.trace, sep="\n")
    print(f"{failed} of {numbers[-1] + 1 - numbers[0]} broke")


main()
