"""The demo, as somebody sees it who just cloned the project."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import jsonschema
import pytest

from tests.e2e.conftest import Cli
from tests.integration.topic import Topic
from worker.clock import utc_now
from worker.sandbox.content import seed
from worker.sandbox.server import SandboxServer
from worker.sandbox.server_state import StandIn

ROOT = Path(__file__).parents[2]
SERVES = "until you press Ctrl-C"


def test_the_demo_of_the_composition_connects_publishes_delivers_and_explains(topic: Topic, tmp_path: Path):
    """Its script runs as in the container: two accounts, sample events, a flush, an explanation, where to look."""
    standin = StandIn(utc_now)
    seed(standin)
    with SandboxServer(standin) as server:
        cli = Cli(tmp_path, topic, server.base_url)
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        done = subprocess.run(
            ["bash", ROOT / "config" / "demo.sh"],
            cwd=tmp_path,
            env=cli.environment | {"PATH": path},
            capture_output=True,
            text=True,
            timeout=120,
        )
    assert done.returncode == 0, done.stdout + done.stderr
    for told in (
        "Published 9 events",
        "3 added",
        "2 added",
        "== Why is lena not on the list?",
        "http://localhost:8090/sandbox/calls",
        "/open?link=",
    ):
        assert told in done.stdout
    ann = standin.find_list("a1b2c3d4e5").find("ann.lee@example.com")
    assert ann is not None
    assert ann.merge_fields["ADDRESS"]["state"] == "-"
    assert ann.merge_fields["PLAN"] == "Gold"
    assert list(ann.tags) == ["care plan"]
    assert standin.find_list("a1b2c3d4e6").find("bob@example.com") is not None
    assert standin.audit.put_back() == []


@pytest.mark.parametrize("line", (ROOT / "config" / "sample-events.jsonl").read_text(encoding="utf-8").splitlines())
def test_sample_events_keep_the_contract(line: str):
    """Each is what config/customer-event.schema.json asks for."""
    jsonschema.validate(json.loads(line), json.loads((ROOT / "config" / "customer-event.schema.json").read_text()))


def test_the_demo_shows_the_main_job_and_leaves_nothing_running(tmp_path):
    """In under thirty seconds it shows lists before and after, reasons and a second day; Ctrl-C ends it with 0."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("WORKER_")}
    began = time.monotonic()
    demo = subprocess.Popen(
        [sys.executable, "-u", "-m", "worker", "demo", "--serve"],
        cwd=tmp_path,
        env=environment | {"TMPDIR": str(tmp_path), "COLUMNS": "160"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    lines, took = [], 0.0
    for line in demo.stdout:
        lines.append(line)
        if line.startswith("Done in "):
            took = time.monotonic() - began
        if SERVES in line:
            break
    assert 0 < took < time.monotonic() - began < 30
    served = " ".join("".join(lines).split())  # however the lines are broken
    links = re.findall(r"^  [a-z-]+: (http://127\.0\.0\.1:\d+/open\S+)$", "".join(lines), re.MULTILINE)
    assert [_page(link) for link in links] == ["leeds-plumbing", "harbour-books", "acme-rentals"]
    demo.send_signal(signal.SIGINT)
    rest, errors = demo.communicate(timeout=60)
    assert (demo.returncode, errors) == (0, "")
    assert "Nothing leaves this machine. It takes about 15 seconds." in served.partition("1. ")[0]
    for told in (
        "Members by status, before and after",
        "Why customers went where they went",
        "master list: the list given is not stored",
        "is not an e-mail address",
        "The member is unsubscribed in Mailchimp and stays so.",
        "Only what changed was sent: 8 calls that write",
        "Tags set: care plan.",
        "and an opt-out goes with the person to every list.",
        "9 planned + 1 who got tags too = 10 receipts = 8 calls that write + 2 for whom a read was enough "
        "(1 left, 1 withheld)",
        "Next: mailchimp-worker sandbox",
        SERVES,
    ):
        assert told in served
    assert "Nothing is left running." not in served
    assert "Nothing is left running." in rest
    assert list(tmp_path.iterdir()) == []


def _page(link: str) -> str:
    """Opens an account's page by a link as a browser does, and returns which account's it is."""
    opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
    with opener.open(link, timeout=20) as answer:
        assert "<h1>Mailchimp</h1>" in answer.read().decode()
        return str(answer.url).split("/")[4]
