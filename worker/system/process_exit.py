"""Ends the process without waiting for calls that hang: what they did is found out by the next flush."""

from __future__ import annotations

import logging
import os
import sys
import threading
from typing import NoReturn

from worker.system.signals import THREAD

CALL_THREADS = "calls of"
"""How the names of threads that make calls begin; the account's id follows."""


def leave(code: int) -> NoReturn:
    """Ends the process, and does not wait for threads whose call is still in flight: their intents are written."""
    # Daemon threads too: those of an executor are waited for at an ordinary end, whatever they are.
    left = [one.name for one in threading.enumerate() if one is not threading.main_thread() and one.name != THREAD]
    calls = sum(name.startswith(f"{CALL_THREADS} ") for name in left)
    sys.stdout.flush()
    sys.stderr.flush()
    if calls:
        logging.getLogger("worker").warning(
            "%d calls were in flight; the next flush finds out what they did", calls, extra={"count": calls}
        )
    if left:
        logging.shutdown()
        os._exit(code)
    sys.exit(code)
