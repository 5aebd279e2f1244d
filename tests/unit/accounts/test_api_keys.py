from dataclasses import replace

import pytest

from tests import setters
from tests.checked_changelog import CHANGELOG
from tests.setters import enable
from tests.unit.accounts.build import (
    ACCOUNT,
    AT,
    KEY,
    LATER,
    OTHER_KEY,
    OTHER_SECRET,
    PONG,
    SECRET,
    Mailchimp,
    Scripted,
    connect,
    everything,
    nobody,
)
from worker.accounts import api_keys, lists
from worker.accounts.api_keys import key_of
from worker.accounts.settings import load
from worker.consumer.decode import LONGEST_ID
from worker.errors import (
    AccountError,
    ApiKeyMalformed,
    ApiKeyRefused,
    MailchimpError,
    MailchimpUnreachable,
    SecretKeyError,
    UsageError,
    WrongDataCentre,
)
from worker.mailchimp.answers import Answer
from worker.mailchimp.api_key import parse
from worker.mailchimp.user import ROOT, MailchimpUser
from worker.sqlite.database import open_database
from worker.store import accounts
from worker.store.accounts import Pause

NO_LISTS = Answer(200, {"lists": [], "total_items": 0})
REFUSALS = [
    (Answer(401, {"title": "API Key Invalid"}), ApiKeyRefused, "does not accept"),
    (Answer(403, {"title": "Forbidden"}), ApiKeyRefused, "does not let"),
    (Answer(403, {"title": "User Disabled"}), ApiKeyRefused, "User Disabled"),
    (Answer(403, {"title": "Wrong Datacenter"}), WrongDataCentre, "another data centre"),
    (Answer(403, {"title": "WrongDatacenter"}), WrongDataCentre, "another data centre"),
    (Answer(None, failure="unknown_host"), WrongDataCentre, "no Mailchimp data centre"),
    (Answer(403, None), MailchimpUnreachable, "too many"),
    (Answer(429, {"title": "Too Many Requests"}), MailchimpUnreachable, "too many"),
    (Answer(500, {"title": "Internal Server Error"}), MailchimpUnreachable, "500"),
    (Answer(503, None), MailchimpUnreachable, "503"),
    (Answer(None, failure="unconnected"), MailchimpUnreachable, "cannot be reached"),
    (Answer(None, failure="timeout"), MailchimpUnreachable, "in time"),
    (Answer(None, failure="connection"), MailchimpUnreachable, "broke"),
    (Answer(None, failure="stopped"), MailchimpUnreachable, "stopping"),
    (Answer(302, None), MailchimpError, "302"),
    (Answer(200, None), MailchimpError, "cannot be understood"),
    (Answer(204, None), MailchimpError, "cannot be understood"),
    (Answer(404, {"title": "Resource Not Found"}), MailchimpError, "404"),
]


def attempt(db, text, sender, secret=SECRET, account_id=ACCOUNT, at=LATER):
    """Tries to store an API key."""
    return api_keys.connect(db, CHANGELOG, account_id, text, secret=secret, open_sender=sender, at=at)


def test_a_key_that_mailchimp_accepts_is_stored_encrypted(db):
    """An accepted key costs one read, is stored, and shown by four characters and its data centre, with its owner."""
    mailchimp = Scripted(PONG)
    made = attempt(db, f" {KEY}\n", mailchimp.open)
    assert mailchimp.calls == [ROOT]
    assert mailchimp.opened == [parse(KEY)]
    assert mailchimp.closed == 1
    assert made.notice is None
    assert (made.settings.key_hint, made.settings.connected_at, made.settings.enabled) == ("cdef-us21", LATER, False)
    assert made.user == MailchimpUser("Lee Ltd", "ann")
    assert load(db, ACCOUNT) == made.settings
    assert key_of(db, ACCOUNT, SECRET) == parse(KEY)


def test_no_byte_of_the_database_tells_a_key(db, path):
    """Neither the database, nor its write-ahead log, holds a key or its secret part."""
    connect(db)
    attempt(db, OTHER_KEY, Scripted(PONG).open)
    stored = b"".join(one.read_bytes() for one in path.parent.iterdir())
    assert b"acct-1" in stored
    for key in (KEY, OTHER_KEY):
        for part in (key, key.partition("-")[0], key[:12], key[8:24]):
            assert part.encode() not in stored


@pytest.mark.parametrize(
    "text", ["", "0123456789abcdef0123456789abcdef", "s3cr3tpart-us1/x", "s3cr3t part-us1", "-us21"]
)
def test_a_malformed_key_is_sent_nowhere(db, path, text):
    """Text that is no key opens no sender, stores nothing, and is not repeated."""
    before = everything(path)
    with pytest.raises(ApiKeyMalformed) as caught:
        attempt(db, text, nobody)
    assert everything(path) == before
    assert "s3cr3t" not in caught.value.message + caught.value.advice
    assert "Nothing was sent" in caught.value.message


@pytest.mark.parametrize(("answer", "kind", "words"), REFUSALS)
def test_a_refused_key_makes_no_account(db, path, answer, kind, words):
    """Whatever Mailchimp or the network answers but 2xx, the error names it and advises, and no row is made."""
    before, mailchimp = everything(path), Scripted(answer)
    with pytest.raises(MailchimpError) as caught:
        attempt(db, KEY, mailchimp.open)
    assert type(caught.value) is kind
    assert words in caught.value.message
    assert caught.value.advice
    assert everything(path) == before
    assert mailchimp.closed == 1


@pytest.mark.parametrize(("answer", "kind", "words"), REFUSALS)
def test_a_refused_key_leaves_the_one_before(db, path, answer, kind, words):
    """A refused key changes nothing of an account that has one, its pause included; no message tells either key."""
    connect(db)
    accounts.pause(db, ACCOUNT, Pause("Mailchimp does not accept the API key.", AT))
    before = everything(path)
    with pytest.raises(kind) as caught:
        attempt(db, OTHER_KEY, Scripted(answer).open)
    assert everything(path) == before
    assert key_of(db, ACCOUNT, SECRET) == parse(KEY)
    for shown in (str(caught.value), repr(caught.value), caught.value.message, caught.value.advice):
        assert OTHER_KEY[:8] not in shown
        assert KEY[:8] not in shown


def test_a_transaction_that_fails_stores_neither_settings_nor_key(db, path):
    """When the key cannot be encrypted, the settings that were written before it are taken back."""

    class _Broken:
        def seal(self, account_id, key):
            raise RuntimeError

    before = everything(path)
    with pytest.raises(RuntimeError):
        attempt(db, KEY, Scripted(PONG).open, secret=_Broken())
    assert everything(path) == before


def test_a_key_ends_the_pause_of_the_account(db):
    """An accepted key ends the account's pause and keeps whatever else was chosen."""
    connect(db)
    enable(db, CHANGELOG, ACCOUNT, "pending")
    accounts.pause(db, ACCOUNT, Pause("Mailchimp does not accept the API key.", AT))
    before = load(db, ACCOUNT)
    made = attempt(db, OTHER_KEY, Scripted(PONG).open)
    assert made.settings == replace(before, pause=None, connected_at=LATER, key_hint="3210-us21")
    assert key_of(db, ACCOUNT, SECRET) == parse(OTHER_KEY)


@pytest.mark.parametrize(
    ("key", "secret", "told"), [(OTHER_KEY, SECRET, True), (KEY, SECRET, False), (KEY, OTHER_SECRET, True)]
)
def test_another_key_tells_which_stored_lists_are_not_there(db, key, secret, told):
    """A key that is, or may be, another one than before is asked for the stored lists; who sees none gets advice."""
    connect(db)
    mailchimp = Mailchimp("one")
    lists.refresh(db, CHANGELOG, ACCOUNT, secret=SECRET, open_sender=mailchimp.open, at=AT)
    assert attempt(db, OTHER_KEY, Scripted(PONG).open).notice is None
    attempt(db, KEY, Scripted(PONG).open)
    setters.store(db, CHANGELOG, ACCOUNT, None)
    made = attempt(db, key, Scripted(PONG, NO_LISTS).open, secret=secret)
    assert (made.notice is not None) is told
    assert [one.list_id for one in made.settings.stored] == ["one"]
    if made.notice:
        assert "none of its stored lists in Mailchimp: List one (one)." in made.notice
        assert "lists refresh acct-1" in made.notice


@pytest.mark.parametrize(
    ("lists_there", "words"), [(("one",), None), (("two",), "List one (one)"), (None, "did not say")]
)
def test_a_replaced_key_is_asked_for_the_stored_lists(db, lists_there, words):
    """No notice if Mailchimp has all stored lists; a notice that they are unknown if it does not answer."""
    connect(db)
    lists.refresh(db, CHANGELOG, ACCOUNT, secret=SECRET, open_sender=Mailchimp("one").open, at=AT)
    setters.store(db, CHANGELOG, ACCOUNT, None)
    another = Mailchimp(*lists_there, key=OTHER_KEY) if lists_there else Scripted(PONG, Answer(500))
    notice = attempt(db, OTHER_KEY, another.open).notice
    assert notice is None if words is None else words in notice


@pytest.mark.parametrize(
    "account_id", ["", "a/b", " acct-1", "acct 1", "acct-1\u00a0", "a\nb", "a\x00", "x" * (LONGEST_ID + 1)]
)
def test_what_is_no_account_is_refused(db, path, account_id):
    """An account's id that no event can carry is refused before anything is sent."""
    before = everything(path)
    with pytest.raises(UsageError):
        attempt(db, KEY, nobody, account_id=account_id)
    assert everything(path) == before


@pytest.mark.parametrize("account_id", ["a", "x" * LONGEST_ID, "Zoë&Söhne-GmbH"])
def test_ids_up_to_the_longest_are_accounts(db, account_id):
    """Ids of 1 to 128 characters, letters of any language included, are accounts."""
    assert attempt(db, KEY, Scripted(PONG).open, account_id=account_id).settings.account_id == account_id


def test_an_account_without_a_key_is_told_to_enter_one(db):
    """Asking for a key that was never entered says so, with the command that enters one."""
    with pytest.raises(AccountError) as caught:
        key_of(db, ACCOUNT, SECRET)
    assert "no Mailchimp API key" in caught.value.message
    assert "account connect acct-1" in caught.value.advice


def test_a_key_under_another_secret_key_is_reported_as_such(db):
    """A stored key that another secret key encrypted is no missing key; entering it again mends that."""
    connect(db)
    with pytest.raises(SecretKeyError, match="another secret key"):
        key_of(db, ACCOUNT, OTHER_SECRET)
    attempt(db, KEY, Scripted(PONG).open, secret=OTHER_SECRET)
    assert key_of(db, ACCOUNT, OTHER_SECRET) == parse(KEY)


def test_a_key_is_there_after_a_restart(db, path):
    """A stored key is read by the next process that opens the database."""
    connect(db)
    again = open_database(path)
    assert key_of(again, ACCOUNT, SECRET) == parse(KEY)
    again.close()


def test_keys_of_the_wrong_data_centre_are_told_apart_by_mailchimp(db, path):
    """Against the stand-in, a good key stores, a wrong end is a wrong data centre, and an unknown key is refused."""
    mailchimp = Mailchimp()
    for text, kind in ((KEY.replace("us21", "us3"), WrongDataCentre), (OTHER_KEY, ApiKeyRefused)):
        with pytest.raises(kind):
            attempt(db, text, mailchimp.open)
        assert everything(path)["account"] == []
    assert attempt(db, KEY, mailchimp.open).settings.key_hint == "cdef-us21"
