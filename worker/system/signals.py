"""SIGTERM and SIGINT, by which people and supervisors end a worker."""

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
    """Returns what is set once SIGTERM or SIGINT comes. A process that has not ended END_SECONDS later is ended.

    That loses nothing: every transaction is whole, and what calls in flight did is found out later, as after a crash.
    To be called before other threads are started: they leave these signals to the one that waits for them.
    """
    # A handler would run in the main thread: only once that one wakes, which a signal that another thread took does not
    # bring about, and whatever lock it holds just then, the event's own included.
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
