"""SIGTERM and SIGINT, by which people and supervisors end a worker."""

from __future__ import annotations

import signal
import threading

THREAD = "signals"
"""The name of the thread that waits for them."""

_ENDING = (signal.SIGTERM, signal.SIGINT)


def stop_on_signals() -> threading.Event:
    """Returns what is set once SIGTERM or SIGINT comes.

    To be called before other threads are started: they leave these signals to the one that waits for them.
    """
    # A handler would run in the main thread: only once that one wakes, which a signal that another thread took does not
    # bring about, and whatever lock it holds just then, the event's own included.
    signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
    stop = threading.Event()

    def wait() -> None:
        signal.sigwait(_ENDING)
        stop.set()

    threading.Thread(target=wait, name=THREAD, daemon=True).start()
    return stop
