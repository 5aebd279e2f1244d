"""The demo, as somebody sees it who just cloned the project."""

import os
import subprocess
import sys
import time


def test_the_demo_shows_the_main_job_and_leaves_nothing_running(tmp_path):
    """It ends with 0 in under thirty seconds and shows lists before and after, reasons, refusals and a second day."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("WORKER_")}
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "worker", "demo"],
        cwd=tmp_path,
        env=environment | {"TMPDIR": str(tmp_path), "COLUMNS": "160"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - began < 30
    said = " ".join(done.stdout.split())  # however the lines are broken
    for told in (
        "Members by status, before and after",
        "Why customers went where they went",
        "master list: the list given is not stored",
        "is no e-mail address",
        "The member is unsubscribed in Mailchimp and stays so.",
        "Only what changed was sent: 7 calls that write",
        "and an opt-out goes with the person to every list.",
        "Nothing of it is left running.",
    ):
        assert told in said
    assert list(tmp_path.iterdir()) == []
