from dataclasses import replace

import pytest

from tests.checked_changelog import CHANGELOG
from tests.unit.accounts.build import ACCOUNT, KEY, NEIGHBOUR, OTHER_KEY, OTHER_SECRET, SECRET, connect, everything
from worker.accounts.api_keys import key_of, rekey
from worker.accounts.secrets import SecretKey
from worker.errors import SecretKeyError
from worker.mailchimp.api_key import parse
from worker.model import AccountId
from worker.store import accounts
from worker.store.accounts import AccountSettings

THIRD_SECRET = SecretKey(b"\xff" * 32, "WORKER_SECRET_KEY")


def test_every_key_is_encrypted_again(db):
    """After a change of the secret key the new one opens every API key, and the old one none; settings stay."""
    connect(db)
    connect(db, NEIGHBOUR, OTHER_KEY)
    accounts.save(db, AccountSettings(AccountId("keyless")))
    before = accounts.all_accounts(db)
    assert rekey(db, CHANGELOG, SECRET, OTHER_SECRET) == 2
    assert key_of(db, ACCOUNT, OTHER_SECRET) == parse(KEY)
    assert key_of(db, NEIGHBOUR, OTHER_SECRET) == parse(OTHER_KEY)
    assert accounts.encrypted_key(db, AccountId("keyless")) is None
    assert accounts.all_accounts(db) == before
    for one in (ACCOUNT, NEIGHBOUR):
        with pytest.raises(SecretKeyError):
            key_of(db, one, SECRET)


def test_a_second_time_changes_nothing(db, path):
    """API keys that the new secret key opens already stay as they are, byte by byte."""
    connect(db)
    rekey(db, CHANGELOG, SECRET, OTHER_SECRET)
    before = everything(path)
    assert rekey(db, CHANGELOG, SECRET, OTHER_SECRET) == 0
    assert rekey(db, CHANGELOG, OTHER_SECRET, OTHER_SECRET) == 0
    assert everything(path) == before


def test_one_key_that_neither_opens_leaves_all_as_they_were(db, path):
    """When one API key opens with neither secret key, none is encrypted again, and the error names the account."""
    connect(db)
    connect(db, NEIGHBOUR, OTHER_KEY)
    with db.transaction():
        accounts.set_encrypted_key(db, NEIGHBOUR, THIRD_SECRET.seal(NEIGHBOUR, parse(OTHER_KEY)))
    before = everything(path)
    with pytest.raises(SecretKeyError, match="acct-2"):
        rekey(db, CHANGELOG, SECRET, OTHER_SECRET)
    assert everything(path) == before


def test_a_damaged_key_is_reported_as_such(db, path):
    """A damaged API key ends the change with the account's name and what to do."""
    connect(db)
    with db.transaction():
        sealed = accounts.encrypted_key(db, ACCOUNT)
        assert sealed is not None
        accounts.set_encrypted_key(db, ACCOUNT, sealed[:-1])
    before = everything(path)
    with pytest.raises(SecretKeyError, match="damaged") as caught:
        rekey(db, CHANGELOG, SECRET, OTHER_SECRET)
    assert "account connect acct-1" in caught.value.advice
    assert everything(path) == before


def test_with_two_keys_in_force_every_worker_reads_before_and_after_the_change(db):
    """A worker with the new key and the one before reads what either sealed; what it seals only the new one opens."""
    connect(db)
    both = replace(OTHER_SECRET, previous=SECRET)
    assert key_of(db, ACCOUNT, both) == parse(KEY)
    assert both.open_hash_key(SECRET.seal_hash_key(b"k")) == b"k"
    assert rekey(db, CHANGELOG, SECRET, both.alone) == 1
    assert key_of(db, ACCOUNT, both) == key_of(db, ACCOUNT, OTHER_SECRET) == parse(KEY)
    assert OTHER_SECRET.open(ACCOUNT, both.seal(ACCOUNT, parse(KEY))) == parse(KEY)
    with pytest.raises(SecretKeyError, match="another secret key"):
        both.open(ACCOUNT, THIRD_SECRET.seal(ACCOUNT, parse(KEY)))
