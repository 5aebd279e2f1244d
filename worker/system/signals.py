"""Handles SIGTERM and SIGINT, which end a worker."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time

THREAD = "signals"
"""The name of the thread that waits for them."""

_ENDING = (signal.SIGTERM, signal.SIGINT)
END_SECONDS = 9.0
"""How long a process may take to end by itself. Supervisors kill after ten seconds."""


def stop_on_signals() -> threading.Event:
    """Returns an event that SIGTERM or SIGINT sets. If the process is still alive END_SECONDS later, it is killed.

    That loses nothing: transactions are atomic, and the next flush finds out what calls in flight did.
    Call it before other threads start, so that they inherit the blocked signals.
    """
    # Not a signal handler: it would run only once the main thread wakes, and might need a lock that this thread holds,
    # such as the event's own.
    signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
    stop = threading.Event()

    def wait() -> None:
        signal.sigwait(_ENDING)
        stop.set()
        time.sleep(END_SECONDS)
        logging.getLogger("worker").warning("something does not end, such as a request to Kafka; nothing is lost")
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)

    threading.Thread(target=wait, name=THREAD, daemon=True).start()
    return stop
