"""The product as its users have it: commands as processes, a real Kafka, a Mailchimp stand-in over HTTP."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests import setters
from tests.e2e import fork_server
from tests.integration.conftest import kafka, new_topic, own_kafka, topic, whole_kafka
from tests.integration.topic import Topic
from worker.accounts import api_keys, lists
from worker.app import App
from worker.cli.context import changing
from worker.clock import utc_now
from worker.config import Config, Kafka, Mailchimp, Staging
from worker.model import AccountId, ListId
from worker.sandbox.server import SandboxServer
from worker.sandbox.server_state import StandIn

__all__ = ["kafka", "new_topic", "own_kafka", "topic", "whole_kafka"]

KEY = "0123456789abcdef0123456789abcdef-us1"
END_SECONDS = 60


class Cli:
    """Runs commands of the worker with one database, topic and stand-in."""

    def __init__(self, folder: Path, topic: Topic, base_url: str) -> None:
        self.folder = folder
        self.topic = topic
        self.path = folder / "worker.db"
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("WORKER_")} | {
            "WORKER_KAFKA__BOOTSTRAP_SERVERS": topic.broker.bootstrap_servers,
            "WORKER_KAFKA__TOPIC": topic.name,
            "WORKER_KAFKA__GROUP_ID": f"group-{topic.name}",
            "WORKER_STAGING__PATH": str(self.path),
            "WORKER_MAILCHIMP__BASE_URL": base_url,
            "WORKER_MAILCHIMP__PATIENCE": "0",
            "WORKER_WEB__PORT": "0",
            "COLUMNS": "200",
        }
        self.printed: list[str] = []

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        """Starts a command."""
        return fork_server.start(
            "worker",
            arguments,
            self.environment | environment,
            cwd=self.folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __call__(self, *arguments: str, stdin: str = "", code: int = 0, **environment: str) -> str:
        """Runs a command, expects its exit code, and returns what it printed: errors, where it failed."""
        process = self.start(*arguments, **environment)
        out, err = process.communicate(stdin, timeout=END_SECONDS)
        self.printed += [out, err]
        assert process.returncode == code, f"{arguments} ended with {process.returncode}:\n{out}\n{err}"
        assert "Traceback" not in err
        return out if code == 0 else out + err

    def json(self, *arguments: str) -> Any:
        """Runs a command with --json and returns what it printed."""
        return json.loads(self(*arguments, "--json"))

    def connect(self, enabled_at: datetime | None = None) -> None:
        """Connects an account with two stored lists, in this process, which takes a tenth of the time.

        Args:
            enabled_at: when; None for long ago, so that its first delivery is due already.
        """
        self.make_accounts({"acct-1": ["master", "other"]}, enabled_at=enabled_at)

    def make_accounts(
        self,
        lists_of: Mapping[str, Sequence[str]],
        keys: Mapping[str, str] | None = None,
        enabled_at: datetime | None = None,
        fields: Mapping[str, str] | None = None,
    ) -> None:
        """Connects accounts, each with its stored lists, the first of them the master list; in this process.

        Args:
            lists_of: each account's.
            keys: each account's API key; one for all by default.
            enabled_at: see :meth:`connect`.
            fields: merge tag to attribute, chosen for each list.
        """
        secret = self.environment.get("WORKER_SECRET_KEY_FILE")
        config = Config(
            secret_key_file=Path(secret) if secret else None,
            kafka=Kafka(
                bootstrap_servers=self.topic.broker.bootstrap_servers,
                topic=self.topic.name,
                client=json.loads(self.environment.get("WORKER_KAFKA__CLIENT", "{}")),
            ),
            staging=Staging(path=self.path),
            mailchimp=Mailchimp(base_url=self.environment["WORKER_MAILCHIMP__BASE_URL"]),
        )
        app = App(config)
        with changing(app) as db:
            for name, wanted in lists_of.items():
                account = AccountId(name)
                at = utc_now()
                key = KEY if keys is None else keys[name]
                api_keys.connect(db, app.changelog, account, key, secret=app.secret, open_sender=app.open_client, at=at)
                setters.enable(db, app.changelog, account, at=enabled_at)
                lists.refresh(db, app.changelog, account, secret=app.secret, open_sender=app.open_client, at=at)
                setters.store(db, app.changelog, account, [ListId(one) for one in wanted])
                setters.choose_master(db, app.changelog, account, ListId(wanted[0]))
                for list_id in wanted if fields is not None else ():
                    setters.choose_fields(db, app.changelog, account, ListId(list_id), fields or {})

    def connect_by_commands(self) -> None:
        """Connects an account with two stored lists, as an operator does."""
        self("account", "connect", "acct-1", "--api-key-stdin", stdin=KEY)
        self("account", "enable", "acct-1")
        self("lists", "refresh", "acct-1")
        self("lists", "store", "acct-1", "master", "other")
        self("lists", "master", "acct-1", "master")

    def publish(self, *events: dict[str, Any]) -> None:
        """Publishes events."""
        self.topic.publish(events)

    def publish_by_command(self, *events: dict[str, Any]) -> None:
        """Publishes events as an operator does."""
        path = self.folder / "events.jsonl"
        path.write_text("".join(json.dumps(one) + "\n" for one in events), encoding="utf-8")
        self("publish", str(path))


@pytest.fixture
def standin() -> StandIn:
    """A stand-in with one user and three lists."""
    made = StandIn(utc_now)
    made.add_key(KEY, "owner")
    for list_id in ("master", "other", "spare"):
        made.create_list("owner", list_id, list_id.title())
    return made


@pytest.fixture
def sandbox(standin: StandIn) -> Iterator[SandboxServer]:
    """The stand-in over HTTP."""
    with SandboxServer(standin) as server:
        yield server


@pytest.fixture
def cli(tmp_path: Path, topic: Topic, sandbox: SandboxServer) -> Cli:
    """Commands with an empty database."""
    return Cli(tmp_path, topic, sandbox.base_url)


@pytest.fixture
def until() -> Callable[[Callable[[], object]], None]:
    """Waits for a condition, and fails when it does not come."""

    def wait(condition: Callable[[], object], seconds: float = 30) -> None:
        pause = threading.Event()
        for _ in range(int(seconds / 0.05)):
            if condition():
                return
            pause.wait(0.05)
        raise AssertionError("it did not come to that")

    return wait
