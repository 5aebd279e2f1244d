"""Two workers on a real Kafka, each with its pages: either answers for any account, and one that is away is said."""

from __future__ import annotations

import base64
import json
import re
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from html import unescape
from pathlib import Path

import pytest
import requests

from tests.integration.topic import Topic, event
from tests.reliability.commands import Commands, end
from worker.clock import utc_now
from worker.kafka.partitioner import partition_of
from worker.sandbox.server import SandboxServer
from worker.status.live import read_live

pytestmark = pytest.mark.kafka
TOKEN = "an-operators-token-of-the-tests"
PARTITIONS = 2
SESSION_SECONDS = 8.0
"""A worker that was killed has its partitions for so long: time to see that it is away."""
ACCOUNTS = {partition_of(name, PARTITIONS): name for name in ("acct-1", "acct-2", "acct-3", "acct-4")}
LISTS = {name: [list_id] for name, list_id in zip(ACCOUNTS.values(), ("master", "other"), strict=True)}
CALL_SECONDS = 2
SECONDS = 20
"""How long an answer is waited for."""
Until = Callable[..., None]


class Node:
    """One worker with its pages."""

    def __init__(self, commands: Commands) -> None:
        with closing(socket.create_server(("127.0.0.1", 0))) as bound:
            self.url = f"http://127.0.0.1:{bound.getsockname()[1]}"
        self.commands = commands
        self.process: subprocess.Popen[bytes] | None = None
        commands.environment |= {
            "WORKER_WEB__PORT": self.url.rpartition(":")[2],
            "WORKER_WEB__TOKEN": TOKEN,
            "WORKER_WEB__WORKER_URL": self.url,
        }

    def start(self) -> None:
        """Starts it."""
        self.process = self.commands.spawn("run")

    def end(self, number: int) -> None:
        """Ends it."""
        if self.process is not None:
            end(self.process, number)
            self.process = None

    @property
    def partitions(self) -> list[int]:
        """Those that it has now."""
        live = read_live(self.commands.path) if self.process is not None else None
        return sorted(live.partitions) if live is not None else []

    def program(self, method: str, path: str, **given: object) -> requests.Response:
        """Asks the API as billmywork does."""
        headers = {"Authorization": f"Bearer {TOKEN}"}
        return requests.request(method, f"{self.url}/api/v1{path}", headers=headers, timeout=SECONDS, **given)  # type: ignore[arg-type]

    def operators_page(self) -> str:
        """What operators see here."""
        page = requests.get(f"{self.url}/", headers={"Authorization": f"Bearer {TOKEN}"}, timeout=SECONDS)
        assert page.status_code == 200
        return unescape(page.text)


class Owner:
    """A browser of an account's owner, who came by a link to one of the workers."""

    def __init__(self, node: Node, account: str) -> None:
        made = node.program("POST", "/links", json={"account_id": account, "name": "Ann Lee"})
        self._url, self._account, self._session = node.url, account, requests.Session()
        token = made.json()["url"].partition("/open?")[2]
        assert self._session.get(f"{node.url}/open?{token}", timeout=SECONDS).status_code == 200

    def get(self, path: str = "") -> requests.Response:
        """Opens a page of the account."""
        return self._session.get(f"{self._url}/accounts/{self._account}/mailchimp{path}", timeout=SECONDS)

    def send(self, path: str, **fields: str | list[str]) -> requests.Response:
        """Sends a form of the settings page, with its token."""
        (csrf,) = set(re.findall(r'name="csrf" value="([^"]+)"', self.get().text))
        where = f"{self._url}/accounts/{self._account}/mailchimp{path}"
        return self._session.post(where, data={"csrf": csrf} | fields, timeout=SECONDS)


@pytest.fixture
def nodes(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    whole_kafka: object,
    new_topic: Callable[..., Topic],
    sandbox: SandboxServer,
    until: Until,
) -> Iterator[tuple[Node, Node]]:
    """Two workers that run, each with one partition and one account; calls may take two seconds, or as said."""
    topic, secret = new_topic(PARTITIONS), tmp_path / "secret"
    secret.write_text(base64.b64encode(bytes(range(32))).decode())
    secret.chmod(0o600)
    client = {"session.timeout.ms": int(SESSION_SECONDS * 1000), "heartbeat.interval.ms": 300}
    made = []
    for name in ("one", "two"):
        folder = tmp_path / name
        folder.mkdir()
        commands = Commands(folder, topic, sandbox.base_url)
        commands.environment["WORKER_KAFKA__CLIENT"] = json.dumps(client)
        commands.environment["WORKER_SECRET_KEY_FILE"] = str(secret)
        commands.environment["WORKER_MAILCHIMP__TIMEOUT"] = str(getattr(request, "param", CALL_SECONDS))
        made.append(Node(commands))
    one, two = made
    # Their daily flush is tomorrow, so that nothing is delivered before somebody asks.
    one.commands.make_accounts(LISTS, enabled_at=utc_now())
    one.start()
    two.start()
    until(lambda: len(one.partitions) == len(two.partitions) == 1)
    yield one, two
    for node in made:
        node.end(signal.SIGKILL)
        assert "Traceback" not in node.commands.log()


def test_either_worker_answers_and_one_that_is_away_is_said(nodes: tuple[Node, Node], until: Until) -> None:
    """Pages, forms and settings by way of the other worker; after a kill "away", and then the one that is left."""
    one, two = nodes
    mine, others = (ACCOUNTS[node.partitions[0]] for node in nodes)
    one.commands.topic.publish(event(f"c{number}", others, email=f"c{number}@example.com") for number in range(3))
    # Nothing of it is in the first worker's database; it knows where to ask once the other one has said so.
    until(lambda: one.program("GET", f"/accounts/{others}").json().get("customers_waiting") == 3)

    owner = Owner(one, others)
    assert "3 people waiting" in owner.get().text
    assert "A sync begins within seconds" in owner.send("/sync").text
    until(lambda: "3 added" in owner.get().text)
    (people,) = re.findall(r'href="[^"]*/mailchimp(/people[^"]+)">3 added', owner.get().text)
    assert "c1@example.com" in owner.get(unescape(people)).text
    assert owner.get(unescape(people).replace("/people", "/people.csv")).text.count("@example.com") == 3
    assert "Subscribed on" in owner.get("/person?email=c1@example.com").text

    # A setting that is changed by way of the first worker is in force at the other, and in the log of both.
    assert "integration is off" in owner.send("/enable", status="subscribed").text
    until(lambda: two.program("GET", f"/accounts/{others}").json()["enabled"] is False)
    for node in nodes:
        until(lambda node=node: "Turned the integration off" in Owner(node, others).get("/log").text)
        until(lambda node=node: "Ann Lee" in Owner(node, others).get("/log").text)

    # Each operators' page shows each account as its own worker knows it.
    until(lambda: f"at {two.url}" in one.operators_page())
    assert "worker away" not in one.operators_page()

    two.end(signal.SIGKILL)
    answer = owner.get()
    assert (answer.status_code, "We cannot show your account at the moment." in answer.text) == (503, True)
    assert "Nothing is lost" in answer.text
    assert owner.get("/log").status_code == 200
    assert Owner(one, mine).get().status_code == 200
    page = one.operators_page()
    assert "worker away" in page
    assert f"The workers of 1 account are away: {others}." in page
    assert one.program("GET", f"/accounts/{others}").json()["code"] == "worker_away"

    until(lambda: len(one.partitions) == PARTITIONS, 60)
    until(lambda: owner.get().status_code == 200)
    assert "worker away" not in one.operators_page()
    assert one.program("GET", f"/accounts/{others}").json()["enabled"] is False


@pytest.mark.parametrize("nodes", [120], indirect=True)
def test_a_worker_says_at_once_where_it_is(nodes: tuple[Node, Node], until: Until) -> None:
    """Also while it waits for two minutes until calls of the partition's former owner are over: pages are answered."""
    for asked, other in (nodes, nodes[::-1]):
        account = ACCOUNTS[other.partitions[0]]
        until(lambda asked=asked, account=account: asked.program("GET", f"/accounts/{account}").status_code == 200)
