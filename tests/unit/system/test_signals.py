"""How a signal ends a worker."""

import signal
import subprocess
import sys

import pytest

HELD_UP = """
import hashlib, os, threading
from worker.system.signals import stop_on_signals

stop = stop_on_signals()
threading.Thread(target=lambda: (stop.wait(), os._exit(7))).start()
print("ready", flush=True)
hashlib.pbkdf2_hmac("sha256", b"", b"", 2**31 - 1)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_is_heeded_while_the_main_thread_is_held_up(number):
    """A thread other than the main one learns of the signal, though the main one is inside a library for minutes."""
    with subprocess.Popen([sys.executable, "-c", HELD_UP], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout.readline() == "ready\n"
            process.send_signal(number)
            assert process.wait(20) == 7
        finally:
            process.kill()
