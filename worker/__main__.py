"""The edge: runs a command, prints what went wrong and what to do, and sets the exit code."""

from __future__ import annotations

import logging
import os
import sys
from typing import NoReturn

from worker.config import Log
from worker.errors import WorkerError
from worker.log import configure, redacted

INTERRUPTED = 130


def main() -> None:
    """Runs the command that the arguments name.

    Exits with 0 when it is done, 1 when something failed and was told, 2 when it was used wrongly.
    """
    configure(Log())  # until the command has read what the operator chose
    try:
        _run()
    except WorkerError as error:
        _tell(f"error: {error.what}", error.advice)
        _leave(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        # The reader of the output has enough. What is left goes nowhere, or Python would complain at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception:
        logging.getLogger("worker").exception("internal error")
        _tell("error: internal error; see the traceback above.", "Please report it, with that log.")
        _leave(1)


def _run() -> None:
    from worker.cli import app

    try:
        app.main()
    finally:
        sys.stdout.flush()


def _leave(code: int) -> NoReturn:
    from worker.process_exit import leave  # only now: it takes long to import, and most commands end well

    leave(code)


def _tell(*lines: str) -> None:
    for line in lines:
        sys.stderr.write(redacted(line) + "\n")


if __name__ == "__main__":
    main()
