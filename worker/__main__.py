"""The edge: runs a command, prints what went wrong and what to do, and sets the exit code.

It imports only what each command needs: `--help` and the like answer at once.
"""

from __future__ import annotations

import json
import logging
import os
import sys

from worker.errors import WorkerError
from worker.system.process_exit import leave
from worker.text.escape import json_escaped, visible
from worker.text.redaction import redacted

INTERRUPTED = 130
JSON_OPTION = "--json"
"""With it, errors are JSON too, also those that come before a command's options are read."""


def main() -> None:
    """Runs the command that the arguments name.

    Exits with 0 when it is done, 1 when something failed, with the reason on stderr, 2 when it was used wrongly.
    """
    try:
        _run()
    except WorkerError as error:
        _tell(error.code, error.what, error.advice)
        leave(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        # The reader of the output has enough. What is left goes nowhere, or Python would complain at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception:
        _log_internal_error()
        _tell("internal_error", "internal error; see the traceback above.", "Please report it, with that log.")
        leave(1)


def _run() -> None:
    from worker.cli import app

    try:
        app.main()
    finally:
        sys.stdout.flush()


def _log_internal_error() -> None:
    if not logging.getLogger().handlers:
        # The command had not read yet what the operator chose.
        from worker.config import Log
        from worker.log import configure

        configure(Log())
    logging.getLogger("worker").exception("internal error")


def _tell(code: str, what: str, advice: str) -> None:
    log = sys.modules.get("worker.log")  # not there yet: nothing is known of the operator's choice
    if JSON_OPTION in sys.argv[1:]:
        document = json.dumps({"code": code, "message": what, "advice": advice}, ensure_ascii=False)
        sys.stderr.write(redacted(json_escaped(document)) + "\n")
    elif log is not None and log.writes_json():
        logging.getLogger("worker").error(what, extra={"code": code, "advice": advice})
    else:
        for line in (f"error: {what}", advice):
            sys.stderr.write(redacted(visible(line, keep="\n")) + "\n")


if __name__ == "__main__":
    main()
