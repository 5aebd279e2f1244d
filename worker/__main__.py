"""The entry point: runs a command, prints errors with advice, and sets the exit code.

It imports only what each command needs, so that `--help` answers at once.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import sys

from worker.errors import STOPPED_CODE, TooManyOpenFiles, WorkerError
from worker.system.process_exit import leave
from worker.text.escape import json_escaped, visible
from worker.text.redaction import redacted

JSON_OPTION = "--json"
"""Makes errors JSON too, even those that occur before a command's options are parsed."""


def main() -> None:
    """Runs the command in the arguments.

    Exits with 0 on success, 1 on failure with the reason on stderr, 2 on wrong usage. Some commands have more codes.
    """
    try:
        _run()
    except WorkerError as error:
        _print_error(error.code, error.message, error.advice)
        leave(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(STOPPED_CODE)
    except BrokenPipeError:
        # The reader closed the pipe. The rest is discarded, or Python would complain when it exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
            limit = TooManyOpenFiles("Too many files are open: this process, or the whole machine, may open no more.")
            _print_error(limit.code, limit.message, limit.advice)
        else:
            _log_internal_error()
            report = "Please report it, with that log."
            _print_error("internal_error", "internal error; see the traceback above.", report)
        leave(1)


def _run() -> None:
    from worker.cli import app

    try:
        app.main()
    finally:
        sys.stdout.flush()


def _log_internal_error() -> None:
    if not logging.getLogger().handlers:
        # The command failed before it configured the log.
        from worker.config import Log
        from worker.log import configure

        configure(Log())
    logging.getLogger("worker").exception("internal error")


def _print_error(code: str, message: str, advice: str) -> None:
    log = sys.modules.get("worker.log")  # not imported yet: the log is not configured
    if JSON_OPTION in sys.argv[1:]:
        document = json.dumps({"code": code, "message": message, "advice": advice}, ensure_ascii=False)
        sys.stderr.write(redacted(json_escaped(document)) + "\n")
    elif log is not None and log.writes_json():
        logging.getLogger("worker").error(message, extra={"code": code, "advice": advice})
    else:
        for line in (f"error: {message}", advice):
            sys.stderr.write(redacted(visible(line, keep="\n")) + "\n")


if __name__ == "__main__":
    main()
