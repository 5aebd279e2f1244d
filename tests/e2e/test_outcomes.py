"""What billmywork learns from the outcomes topic, by the consumer of docs/outcomes.md."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer
from jsonschema import Draft202012Validator

from tests.e2e.conftest import Cli
from tests.integration.topic import event
from worker.sandbox.server_state import StandIn

ROOT = Path(__file__).parents[2]
SCHEMA = json.loads((ROOT / "config" / "customer-outcome.schema.json").read_text(encoding="utf-8"))
PAGE = (ROOT / "docs" / "outcomes.md").read_text(encoding="utf-8")


def _publish(cli: Cli, *events: dict[str, Any]) -> None:
    path = cli.folder / "events.jsonl"
    path.write_text("".join(json.dumps(one) + "\n" for one in events), encoding="utf-8")
    cli("publish", str(path))
    cli("run", "--once")


def _records(cli: Cli) -> list[tuple[str, dict[str, Any] | None]]:
    topic = f"{cli.topic.name}.outcomes"
    consumer = Consumer(
        {
            "bootstrap.servers": cli.topic.broker.bootstrap_servers,
            "group.id": f"outcomes-{cli.topic.name}",
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
        }
    )
    consumer.subscribe([topic])
    found, ended = [], set[int]()
    while len(ended) < cli.topic.partitions:
        message = consumer.poll(10)
        assert message is not None, "the topic cannot be read"
        if message.error():
            ended.add(message.partition())
        else:
            value = message.value()
            found.append((message.key().decode(), None if value is None else json.loads(value)))
    consumer.close()
    return found


def _shown(cli: Cli, lines: int) -> list[str]:
    code = re.search(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert code is not None
    environment = cli.environment | {
        "BOOTSTRAP": cli.topic.broker.bootstrap_servers,
        "TOPIC": f"{cli.topic.name}.outcomes",
    }
    with subprocess.Popen(
        [sys.executable, "-c", code[1]], env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        found = [process.stdout.readline().strip() for _ in range(lines)]
        process.kill()
    return found


def test_billmywork_learns_who_unsubscribed_and_what_was_erased(cli: Cli, standin: StandIn) -> None:
    """The newest record of each customer says what is so in Mailchimp; nothing is written where nothing changed."""
    cli.connect()
    ann = event("ann", version=1, email="ann@example.com", first_name="Ann")
    bob = event("bob", version=1, email="bob@example.com", first_name="Bob")
    _publish(cli, ann, bob)
    added = dict(_records(cli))
    assert {key: one["data"]["member_status"] for key, one in added.items() if one} == {
        "acct-1/ann": "subscribed",
        "acct-1/bob": "subscribed",
    }
    standin.by_hand("master", "ann@example.com", "unsubscribe")
    cli("run", "--once")
    cli("run", "--once")  # nothing changed
    _publish(cli, event("bob", kind="deleted", version=2, email="bob@example.com"))
    records = _records(cli)
    for _, one in records:
        if one is not None:
            Draft202012Validator(SCHEMA).validate(one)
    assert [key for key, _ in records].count("acct-1/ann") == 2
    newest = dict(records)
    assert newest["acct-1/bob"] is None
    ann_now = newest["acct-1/ann"]
    assert ann_now is not None
    assert (ann_now["data"]["member_status"], ann_now["data"]["caused_by"]) == ("unsubscribed", "person")
    assert ann_now["data"]["version"] == 1
    assert ann_now["data"]["event_id"] == ann["id"]
    assert "@" not in json.dumps(records)
    shown = [one for one in _shown(cli, len(records)) if one.startswith("ann: unsubscribed")]
    assert len(shown) == 1
    assert "by the person. Only the person can join again" in shown[0]
    cli("forget", "ann@example.com", "--yes")
    assert dict(_records(cli))["acct-1/ann"] is None
