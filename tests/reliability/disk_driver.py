"""Runs a command of the worker on a disk with little room, or with little patience for locks. Started by tests.

``MOST_PAGES`` is how far the database's file may grow, in pages of 4 KiB; ``BUSY_SECONDS`` how long a lock is awaited.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from worker.__main__ import main
from worker.sqlite import database


def limit(most_pages: int) -> None:
    """Has each connection refuse to let the file grow, as a full disk does."""
    library: Any = database.sqlite3
    connect = library.connect

    def limited(*arguments: Any, **named: Any) -> Any:
        connection = connect(*arguments, **named)
        connection.execute(f"PRAGMA max_page_count = {most_pages}")
        return connection

    library.connect = limited


if __name__ == "__main__":
    if pages := os.environ.pop("MOST_PAGES", None):
        limit(int(pages))
    database.BUSY_SECONDS = float(os.environ.pop("BUSY_SECONDS", database.BUSY_SECONDS))
    sys.argv[0] = "mailchimp-worker"
    main()
