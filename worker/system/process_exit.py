"""Ends the process without waiting for calls that hang; the next flush finds out what they did."""

from __future__ import annotations

import logging
import os
import sys
import threading
from typing import NoReturn

from worker.system.signals import THREAD

CALL_THREADS = "calls of"
"""Prefix of the names of threads that make calls; the account's id follows."""


def leave(code: int) -> NoReturn:
    """Ends the process without waiting for threads with a call in flight: their intents are stored."""
    # An ordinary exit would wait for an executor's threads, even daemon ones.
    names = [
        thread.name
        for thread in threading.enumerate()
        if thread is not threading.main_thread() and thread.name != THREAD
    ]
    calls = sum(name.startswith(f"{CALL_THREADS} ") for name in names)
    sys.stdout.flush()
    sys.stderr.flush()
    if calls:
        logging.getLogger("worker").warning(
            "%d calls were in flight; the next flush finds out what they did", calls, extra={"count": calls}
        )
    if names:
        logging.shutdown()
        os._exit(code)
    sys.exit(code)
