"""A change of the secret key, as an operator does it."""

from __future__ import annotations

import base64
from contextlib import closing

import pytest

from tests.e2e.conftest import Cli
from tests.integration.topic import event
from worker.accounts.secrets import parsed
from worker.fields.field_hashes import HASHES, FieldHashes
from worker.model import AccountId
from worker.sqlite.database import open_database
from worker.store.sent_fields import pages

OLD, NEW = (base64.b64encode(letter * 32).decode() for letter in (b"o", b"n"))
ACCOUNT = AccountId("acct-1")


@pytest.mark.kafka
def test_after_rekey_the_key_before_may_be_unset(cli: Cli, whole_kafka: object) -> None:
    """Rekey says that workers renew the hashes, the next run does, and status that the key before is not needed."""
    secret = cli.folder / "secret"
    secret.write_text(OLD)
    secret.chmod(0o600)
    cli.environment["WORKER_SECRET_KEY_FILE"] = str(secret)
    cli.connect()
    cli.publish(event("ann", email="ann@example.com", first_name="Ann"), event("bob", email="bob@example.com"))
    cli("run", "--once")
    secret.write_text(NEW)
    cli.environment["WORKER_PREVIOUS_SECRET_KEY"] = OLD
    told = " ".join(cli("account", "rekey").split())
    assert "Encrypted 1 API key with" in told
    assert "renew the hashes of sent fields, here in up to 1 ledger row" in told
    cli("run", "--once")
    told = " ".join(cli("status").split())
    assert "no longer needed. Unset WORKER_PREVIOUS_SECRET_KEY at every worker." in told
    with closing(open_database(cli.path)) as db:
        ((one,),) = pages(db, ACCOUNT)
    hashes = FieldHashes(ACCOUNT, (parsed(NEW, "the test").derived(HASHES),))
    assert hashes.are_of(one.fields["FNAME"], "FNAME", "Ann")
