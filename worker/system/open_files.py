"""How many files this process may have open at once."""

from __future__ import annotations

import resource
from contextlib import suppress

from worker.errors import TooManyOpenFiles

LEAST = 256
"""A worker with few accounts has about 100 open: connections to Kafka, Mailchimp, its pages and its database."""
ENOUGH = 4096
"""For the most accounts that are delivered at once."""


def allow_open_files() -> None:
    """Raises this process's soft limit of open files to ENOUGH, or as far as the hard limit allows.

    Raises:
        TooManyOpenFiles: that is less than a worker needs.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if _allows(soft, ENOUGH):
        return
    most = ENOUGH if _allows(hard, ENOUGH) else hard
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
        soft = most
    if not _allows(soft, LEAST):
        raise TooManyOpenFiles(
            f"This process may have only {soft} files open at once; a worker needs {LEAST}, and more for many accounts."
        )


def _allows(limit: int, files: int) -> bool:
    return limit == resource.RLIM_INFINITY or limit >= files
