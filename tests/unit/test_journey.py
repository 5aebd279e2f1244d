"""How many files a reader must open to follow one customer."""

from __future__ import annotations

from pathlib import Path

from tests.journey import address_change

MOST_FILES = 30
"""Lower it where the way gets shorter; the aim is 30."""


def test_one_address_change_enters_few_files(tmp_path: Path) -> None:
    """From the plan to its receipt and ledger row, an address change passes through no more files than the limit."""
    files = sorted(address_change(tmp_path).way)
    assert len(files) <= MOST_FILES, "\n".join(files)
    assert {"plan/plan.py", "store/ledger.py", "store/receipts.py"} <= set(files)
