"""docs/explain.md is what the commands print. To write it again: WRITE_DOCS=1 pytest tests/e2e/test_docs.py."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

from tests.e2e.conftest import Cli
from tests.integration.topic import event
from tests.unit.plan.test_outcomes import as_markdown
from worker.sandbox.server_state import StandIn

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "explain.md"
COMMAND = re.compile(r"mailchimp-worker ([a-z-]+(?: [a-z-]+)?)")
HEAD = """\
# What happened to one contact

A test runs these commands on a Kafka and the Mailchimp stand-in, and writes this page. Ann is a customer of account
`acct-1`. Its master list is *Master*, and it has stored the list *Other* too.

Each JSON below is an event, here without the optional parts of its envelope (`specversion`, `source` and `time`). To
publish it, save it as one line of a file: `mailchimp-worker publish FILE`.
"""
OUTCOMES = """\
## What each outcome means

*Done*: nothing more is sent for this version of the customer. *Final*: a later event does
not change it, unless it brings another address; only the person or an operator can. Find them by
`mailchimp-worker receipts --outcome OUTCOME`."""


class Transcript:
    """Runs commands and writes down what they print."""

    def __init__(self, cli: Cli, standin: StandIn) -> None:
        self._cli = cli
        self._standin = standin
        self.text = HEAD
        self._version = 0

    def tell(self, text: str) -> None:
        """Writes a paragraph."""
        self.text += f"\n{text}\n"

    def command(self, *arguments: str) -> None:
        """Runs a command and writes down what it printed."""
        printed = self._cli(*arguments)
        lines = "\n".join(line.rstrip() for line in printed.strip().splitlines())
        self.text += f"\n```console\n$ mailchimp-worker {' '.join(arguments)}\n{lines}\n```\n"

    def publish(self, kind: str = "updated", **state: object) -> None:
        """Publishes Ann's next event and runs the worker once."""
        self._version += 1
        one = event("ann", kind=kind, version=self._version, **state)
        path = self._cli.folder / "events.jsonl"
        path.write_text(json.dumps(one) + "\n", encoding="utf-8")
        self._cli("publish", str(path))
        self.text += f"\n```json\n{json.dumps(one)}\n```\n"
        self.command("run", "--once")


def told(transcript: Transcript, standin: StandIn) -> str:
    """The whole page."""
    transcript.tell("## She is added")
    transcript.publish("created", email="ann@example.com", first_name="Ann")
    transcript.tell("## Her address changes")
    transcript.publish(email="ann.lee@example.com", first_name="Ann")
    transcript.tell("## She unsubscribes in Mailchimp, and is updated without being put back")
    standin.by_hand("master", "ann.lee@example.com", "unsubscribe")
    transcript.publish(email="ann.lee@example.com", first_name="Annie")
    transcript.tell("## She should move to another list, and does not, because she left")
    transcript.publish(email="ann.lee@example.com", first_name="Annie", list_id="other")
    transcript.tell("## She is deleted in billmywork")
    transcript.publish("deleted", email="ann.lee@example.com")
    transcript.tell("## All of it, in one command")
    transcript.command("explain", "ann@example.com")
    transcript.tell(OUTCOMES)
    transcript.tell(as_markdown())
    return transcript.text


def steady(text: str) -> str:
    """A page without what differs from run to run."""
    text = re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)", "TIME", text)
    return re.sub(r"customers-[0-9a-f]{12}", "billmywork.customers", text)


def test_the_page_is_what_the_commands_print(cli: Cli, standin: StandIn):
    """Every command on the page prints what the page shows, times aside."""
    cli.environment["COLUMNS"] = "100"
    cli.connect()
    page = told(Transcript(cli, standin), standin)
    if os.environ.get("WRITE_DOCS"):
        PAGE.write_text(re.sub(r"customers-[0-9a-f]{12}", "billmywork.customers", page), encoding="utf-8")
    assert steady(PAGE.read_text(encoding="utf-8")) == steady(page)


def test_the_readme_names_only_commands_and_settings_that_there_are(cli: Cli):
    """Each command in the README has a help page, each variable is a setting, each file that it names is there."""
    from worker.config import Config

    text = (ROOT / "README.md").read_text(encoding="utf-8")
    helped = cli("--help")
    for words in {found.split()[0] for found in COMMAND.findall(text)}:
        assert f"  {words} " in helped, words
    for variable in set(re.findall(r"WORKER_[A-Z_]+", text)) - {"WORKER_CONFIG"}:
        section, _, name = variable.removeprefix("WORKER_").lower().partition("__")
        field = Config.model_fields[section]
        assert not name or name in field.annotation.model_fields, variable  # type: ignore[union-attr]
    for link in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (ROOT / link).exists(), link
