"""Runs histories by their seeds and tells what broke: ``python -m tests.histories FIRST [LAST]``.

With ``--trace`` it tells all that happened; ``--tags``, ``--upheavals``, ``--forms``, ``--surprises`` and ``--movers``
add what :class:`History` says.
"""

import sys
import tempfile
from pathlib import Path

from tests.histories.history import History


def main() -> int:
    """Runs them; returns 1 where one broke."""
    numbers = [int(argument) for argument in sys.argv[1:] if argument.isdigit()]
    failed = 0
    for seed in range(numbers[0], numbers[-1] + 1):
        with tempfile.TemporaryDirectory() as folder:
            options = {name: f"--{name}" in sys.argv for name in ("tags", "upheavals", "forms", "surprises", "movers")}
            history = History(Path(folder), seed, **options)
            broken = history.run()
        if broken:
            failed += 1
            _say(str(seed), *(f"   {line}" for line in broken))
        if "--trace" in sys.argv:
            _say(*history.actors.trace)
    _say(f"{failed} of {numbers[-1] + 1 - numbers[0]} broke")
    return 1 if failed else 0


def _say(*lines: str) -> None:
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()


sys.exit(main())
