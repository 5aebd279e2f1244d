"""Runs a command of the worker with a copied database that has the first one's name in the group. Started by tests.

A copy has another name, since it is another file. A machine that was cloned while it ran, or moved back to a snapshot,
may have the same one all the same. The environment variable ``PLACE`` gives what tells a file from its copies.
"""

from __future__ import annotations

import os
import sys

from worker.__main__ import main
from worker.consumer import instance

if __name__ == "__main__":
    place = os.environ.pop("PLACE")
    instance.place_of = lambda file: place
    sys.argv[0] = "mailchimp-worker"
    main()
