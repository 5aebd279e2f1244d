"""Ledger and settings that were not signed, as an operator meets them."""

from __future__ import annotations

import json

from tests.e2e.conftest import Cli
from tests.integration.topic import Topic, event
from worker.changelog.signatures import HEADER


def test_refused_records_are_reported_and_written_over(cli: Cli, topic: Topic) -> None:
    """Status and check say so, nothing is delivered meanwhile, and ledger sign ends it."""
    cli.connect()
    settings = Topic(topic.broker, f"{topic.name}.settings", 1)
    settings.produce(b'{"format":2,"enabled":0}', b'["account","acct-1"]')
    settings.flush()
    told = " ".join(cli("check", code=1).split())
    assert "Refused 1 record of ledger or settings, because they are not signed with the secret key." in told
    assert "1 ledger or settings record refused" in " ".join(cli("status").split())
    cli.publish(event("ann", email="ann@example.com"))
    assert "cannot be applied" in cli("run", "--once", code=3)
    settings.produce(b'{"format":2,"enabled":0}', b'["account","acct-1"]', headers=[(HEADER, b"x" * 32)])
    settings.flush()
    assert "If the secret key was changed" in cli("check", code=1)
    assert "exclude each other" in cli("ledger", "sign", "--believe", "--drop-unknown", code=2)
    assert "1 restored" in cli("ledger", "sign", "--yes")
    assert "signed with another secret key" in cli.printed[-1]
    assert "Everything is signed" in cli("ledger", "sign")
    assert json.loads(cli("account", "show", "acct-1", "--json"))["enabled"]
    cli("run", "--once")


def test_without_the_secret_key_of_the_others_a_worker_says_so(cli: Cli) -> None:
    """A new key, made by default beside a new database, is reported at the start and by check."""
    cli.connect()
    (cli.folder / "worker.db.key").unlink()
    for file in cli.folder.glob("worker.db*"):
        file.unlink()
    for command in (("run", "--once"), ("check",)):
        told = " ".join(cli(*command, code=1).split())
        assert "not signed with a secret key that this worker has" in told
        assert "WORKER_PREVIOUS_SECRET_KEY" in told
