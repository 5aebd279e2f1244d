import base64
import errno
import os
import stat
from pathlib import Path

import pytest

from tests.unit.accounts.build import ACCOUNT, KEY, NEIGHBOUR, OTHER_SECRET, SECRET
from worker.accounts import secrets
from worker.accounts.secrets import KEY_BYTES, SecretKey, secret_key
from worker.errors import SecretKeyError
from worker.mailchimp.api_key import parse

BYTES = bytes(range(200, 200 + KEY_BYTES))
TEXT = base64.b64encode(BYTES).decode()


def sealed():
    """An API key, encrypted for an account."""
    return SECRET.seal(ACCOUNT, parse(KEY))


# --- what is encrypted


def test_what_was_sealed_opens():
    """A key that was encrypted for an account opens for it, and nothing of it can be read before."""
    assert SECRET.open(ACCOUNT, sealed()) == parse(KEY)
    assert KEY[:6].encode() not in sealed()


def test_the_same_key_is_never_sealed_the_same_way():
    """Nobody sees from what is stored that two accounts, or one at two times, have the same key."""
    assert len({sealed() for _ in range(20)}) == 20


def test_another_secret_key_is_reported_as_such():
    """What another secret key encrypted says so, and which one was tried."""
    with pytest.raises(SecretKeyError) as caught:
        OTHER_SECRET.open(ACCOUNT, sealed())
    assert "another secret key than WORKER_SECRET_KEY" in caught.value.message
    assert "account connect acct-1" in caught.value.advice


def test_a_key_opens_for_its_own_account_only():
    """An encrypted key that is copied to another account's row does not open there."""
    with pytest.raises(SecretKeyError, match="acct-2 is damaged"):
        SECRET.open(NEIGHBOUR, sealed())


def test_every_damage_is_noticed():
    """Wherever a byte was changed, or however much is missing, the key does not open and the error says what to do."""
    whole = sealed()
    damaged = [whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :] for at in range(len(whole))]
    for text in (*damaged, *(whole[:length] for length in range(len(whole))), whole + b"\0"):
        with pytest.raises(SecretKeyError) as caught:
            SECRET.open(ACCOUNT, text)
        assert "acct-1" in caught.value.message
        assert "account connect acct-1" in caught.value.advice


def test_printing_a_secret_key_never_shows_it():
    """Neither the key itself, nor its base64, is in what printing it shows."""
    secret = secret_key(TEXT, None, None)
    for shown in (repr(secret), str(secret), f"{[secret]}"):
        assert TEXT[:8] not in shown
        assert repr(BYTES)[2:12] not in shown


# --- where the secret key comes from


def private(file, text):
    """A file that its owner alone can read."""
    file.write_text(text, encoding="utf-8")
    file.chmod(0o600)
    return file


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o602, 0o620, 0o640])
def test_a_key_file_that_others_can_read_or_write_is_refused(tmp_path, mode):
    """A reader could decrypt every API key, and a writer could choose the next one; the error says how to close it."""
    file = private(tmp_path / "secret", TEXT)
    file.chmod(mode)
    with pytest.raises(SecretKeyError) as caught:
        secret_key(None, file, tmp_path / "x.db")
    assert f"{mode:04o}" in caught.value.message
    assert f"chmod 600 {file}" in caught.value.advice


def test_a_key_file_of_another_owner_may_be_read_by_its_group(tmp_path, monkeypatch):
    """So Kubernetes mounts secrets: as root's, for the one group that it gives the container."""
    file = private(tmp_path / "secret", TEXT)
    file.chmod(0o440)
    user = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: user + 1)
    assert opens(secret_key(None, file, tmp_path / "x.db"), SecretKey(BYTES, ""))


def opens(one, other):
    """Whether what one secret key sealed opens with the other."""
    return other.open(ACCOUNT, one.seal(ACCOUNT, parse(KEY))) == parse(KEY)


@pytest.mark.parametrize("text", [TEXT, f" {TEXT}\n", TEXT.replace("+", "-").replace("/", "_")])
def test_a_given_key_is_32_bytes_in_base64(tmp_path, text):
    """A key is taken from the variable, in either alphabet of base64, without the space around it; no file is made."""
    made = secret_key(text, None, tmp_path / "x.db")
    assert opens(made, SecretKey(BYTES, ""))
    assert made.where == "WORKER_SECRET_KEY"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "text", ["", " ", "secret!!", TEXT[:-4], TEXT + TEXT, "é" * 44, "A" * 43, base64.b64encode(b"short").decode()]
)
def test_a_malformed_key_is_refused_without_repeating_it(tmp_path, text):
    """What is no key of 32 bytes is refused, from the variable and from a file, with how to make one."""
    file = private(tmp_path / "secret", text)
    for given, where, named in ((text, None, "WORKER_SECRET_KEY"), (None, file, str(file))):
        with pytest.raises(SecretKeyError) as caught:
            secret_key(given, where, tmp_path / "x.db")
        assert named in caught.value.message
        assert "openssl rand -base64 32" in caught.value.advice
        assert not text.strip() or text not in caught.value.message + caught.value.advice


def test_two_keys_are_one_too_many(tmp_path):
    """A key in the variable and one in a file are refused, since either may be meant."""
    with pytest.raises(SecretKeyError, match="Both"):
        secret_key(TEXT, tmp_path / "secret", tmp_path / "x.db")


def test_a_key_is_read_from_a_named_file(tmp_path):
    """A key is taken from the file that the operator names, as it is, and messages name the file."""
    file = private(tmp_path / "secret", TEXT + "\n")
    made = secret_key(None, file, tmp_path / "x.db")
    assert opens(made, SecretKey(BYTES, ""))
    assert made.where == str(file)


def test_a_named_file_that_is_not_there_is_never_made(tmp_path):
    """A named file that cannot be read is an error: a new key in its place would open nothing."""
    for file in (tmp_path / "secret", tmp_path):
        with pytest.raises(SecretKeyError) as caught:
            secret_key(None, file, tmp_path / "x.db")
        assert "WORKER_SECRET_KEY_FILE" in caught.value.advice
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("umask", [0, 0o777])
def test_without_one_a_key_is_made_beside_the_database(tmp_path, caplog, umask):
    """A key is made once, for its owner's eyes only whatever the umask; it is said where, and how to move it."""
    database = tmp_path / "new" / "x.db"
    before = os.umask(umask)
    try:
        made = secret_key(None, None, database)
    finally:
        os.umask(before)
    assert "is beside the data" in caplog.text
    assert "WORKER_SECRET_KEY_FILE" in caplog.text
    file = tmp_path / "new" / "x.db.key"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert list(file.parent.iterdir()) == [file]
    assert len(base64.b64decode(file.read_text())) == KEY_BYTES
    text = file.read_bytes()
    assert secret_key(None, None, database) == made
    assert file.read_bytes() == text


def test_every_database_gets_a_key_of_its_own(tmp_path):
    """Two keys that are made are never the same."""
    with pytest.raises(SecretKeyError):
        opens(secret_key(None, None, tmp_path / "a.db"), secret_key(None, None, tmp_path / "b.db"))


def test_a_key_that_another_process_made_meanwhile_stays(tmp_path):
    """Two processes that start together end with one key, the first; nothing unfinished is left."""
    file = private(tmp_path / "x.db.key", TEXT)
    secrets._make(file)
    assert file.read_text() == TEXT
    assert list(tmp_path.iterdir()) == [file]


def test_where_no_key_can_be_made_the_error_says_what_to_set(tmp_path):
    """A folder that cannot be made or written to gives an error that names the place and the variables."""
    (tmp_path / "file").write_text("")
    with pytest.raises(SecretKeyError) as caught:
        secret_key(None, None, tmp_path / "file" / "x.db")
    assert "x.db.key" in caught.value.message
    assert "WORKER_SECRET_KEY" in caught.value.advice


def test_a_key_file_beside_the_database_that_is_damaged_is_refused(tmp_path):
    """A key file that was emptied is never replaced: the operator may have the right one."""
    file = private(tmp_path / "x.db.key", "")
    with pytest.raises(SecretKeyError, match="malformed"):
        secret_key(None, None, tmp_path / "x.db")
    assert file.read_bytes() == b""


def test_a_folder_that_may_not_be_looked_into_is_an_error_with_advice(tmp_path, monkeypatch):
    """Where this user may not even see whether there is a key file, the error names it."""

    def forbidden(self, *_args, **_kwargs):
        raise PermissionError(errno.EACCES, "Permission denied")

    for name in ("exists", "stat"):
        monkeypatch.setattr(Path, name, forbidden)
    with pytest.raises(SecretKeyError, match=r"x\.db\.key cannot be read: Permission denied"):
        secret_key(None, None, tmp_path / "x.db")
