"""Encrypts API keys at rest with one secret key that is not in the database."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import logging
import os
import secrets
import stat
from dataclasses import dataclass, field, replace
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from worker.errors import SecretKeyError
from worker.mailchimp import api_key
from worker.mailchimp.api_key import ApiKey
from worker.model import AccountId
from worker.system.private_files import make_folder, open_file

KEY_BYTES = 32

_FORMAT = b"\x01"
_ID_BYTES = 4
_NONCE_BYTES = 12
_HEAD = len(_FORMAT) + _ID_BYTES
_HASH_KEY = b"/hash-key"
"""Used in place of an account id, which has no slash."""
BESIDE_THE_DATA = (
    "It is beside the data, so anyone who copies the folder can decrypt the API keys. To keep it elsewhere, move the "
    "file and set its new path in WORKER_SECRET_KEY_FILE."
)
"""A warning about a key that was created by default, with advice."""
log = logging.getLogger("worker.accounts")

_GROUP_READS, _OTHERS = 0o040, 0o037  # others may read or write, or the group write
_MAKE_ONE = "openssl rand -base64 32"


@dataclass(frozen=True, slots=True)
class SecretKey:
    """The operator's secret key; printing it never shows it.

    An encrypted API key is one byte of format, four that identify the secret key, a nonce, and the AES-256-GCM
    ciphertext, which only its own account can decrypt.

    Attributes:
        where: where the key was read from, for messages.
        previous: the key before this one, which decrypts what this one did not encrypt; None if only one is in force.
    """

    _bytes: bytes = field(repr=False)
    where: str
    previous: SecretKey | None = None

    @property
    def alone(self) -> SecretKey:
        """The same key without the previous one."""
        return replace(self, previous=None)

    @property
    def names(self) -> tuple[str, str]:
        """The names of this key and of the previous one; "" if there is none."""
        return self.name, self.previous.name if self.previous is not None else ""

    def seal(self, account_id: AccountId, key: ApiKey) -> bytes:
        """Returns the API key encrypted for this account."""
        return self._seal(account_id.encode(), key.reveal().encode())

    def open(self, account_id: AccountId, sealed: bytes) -> ApiKey:
        """Returns the API key that was encrypted for this account.

        Raises:
            SecretKeyError: another secret key encrypted it, or it is damaged.
        """
        again = f"enter the API key again: mailchimp-worker account connect {account_id}"
        if self.previous is not None and self.previous.has_sealed(sealed):
            return self.previous.open(account_id, sealed)
        if not self.has_sealed(sealed):
            raise SecretKeyError(
                f"The API key of account {account_id} was encrypted with another secret key than {self.where}.",
                f"Start with the secret key that it was encrypted with, or {again}",
            )
        try:
            opened = self._opened(account_id.encode(), sealed)
        except (InvalidTag, ValueError) as error:
            raise SecretKeyError(
                f"The stored API key of account {account_id} is damaged.", f"Please {again}"
            ) from error
        return api_key.parse(opened.decode())

    def has_sealed(self, sealed: bytes) -> bool:
        """Returns whether this key itself, not the previous one, encrypted it."""
        return sealed[:_HEAD] == _FORMAT + self._id

    @property
    def name(self) -> str:
        """Identifies this key without revealing anything about it."""
        return self._id.hex()

    def seal_hash_key(self, key: bytes) -> str:
        """Returns the key for hashes of erased persons encrypted, as base64."""
        return base64.b64encode(self._seal(_HASH_KEY, key)).decode()

    def open_hash_key(self, sealed: str) -> bytes:
        """Returns the key for hashes of erased persons.

        Raises:
            SecretKeyError: another secret key encrypted it, or it is damaged.
        """
        try:
            encrypted = base64.b64decode(sealed, validate=True)
            if self.previous is not None and self.previous.has_sealed(encrypted):
                return self.previous.open_hash_key(sealed)
            if not self.has_sealed(encrypted):
                raise SecretKeyError(
                    "The hashes of erased persons, which keep them from being added again, were made with a key that "
                    f"was encrypted with another secret key than {self.where}.",
                    "Start with the secret key that it was encrypted with, or give that one to: mailchimp-worker "
                    "account rekey",
                )
            return self._opened(_HASH_KEY, encrypted)
        except (InvalidTag, ValueError) as error:
            raise SecretKeyError(
                "The key of the hashes of erased persons, which keep them from being added again, is damaged.",
                "Restore a copy of the database, or of the topic with the settings.",
            ) from error

    def derived(self, purpose: str) -> bytes:
        """Returns a 32-byte key for one purpose, which reveals neither this key nor that of another purpose."""
        return derived(self._bytes, purpose)

    def derived_by_each(self, purpose: str) -> tuple[bytes, ...]:
        """Returns the derived key of each secret key in force, this one first."""
        before = self.previous.derived_by_each(purpose) if self.previous is not None else ()
        return (self.derived(purpose), *before)

    def _seal(self, owner: bytes, text: bytes) -> bytes:
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return _FORMAT + self._id + nonce + AESGCM(self._bytes).encrypt(nonce, text, owner)

    def _opened(self, owner: bytes, sealed: bytes) -> bytes:
        nonce, text = sealed[_HEAD : _HEAD + _NONCE_BYTES], sealed[_HEAD + _NONCE_BYTES :]
        return AESGCM(self._bytes).decrypt(nonce, text, owner)

    @property
    def _id(self) -> bytes:
        return hashlib.sha256(b"mailchimp-worker secret key" + self._bytes).digest()[:_ID_BYTES]


def derived(key: bytes, purpose: str) -> bytes:
    """Returns a 32-byte key for one purpose, which reveals neither the key nor that of another purpose.

    Source: RFC 5869, HKDF with SHA-256 and no salt; the purpose is the info.
    """
    info = b"mailchimp-worker " + purpose.encode()
    return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=info).derive(key)


def secret_key(value: str | None, file: Path | None, database: Path) -> SecretKey:
    """Returns the secret key for API keys; creates one beside the database if none is configured.

    Raises:
        SecretKeyError: it is malformed, given twice, or cannot be read or created.
    """
    if value is not None and file is not None:
        raise SecretKeyError(
            "Both WORKER_SECRET_KEY and WORKER_SECRET_KEY_FILE are set.", "Unset the one that you do not want."
        )
    if value is not None:
        return parsed(value, "WORKER_SECRET_KEY")
    if file is not None:
        return _read(file)
    default = default_file(database)
    with contextlib.suppress(PermissionError):  # reading it reports what is wrong
        if not default.exists():
            _make(default)
    return _read(default)


def default_file(database: Path) -> Path:
    """Returns the file of the secret key of a database if none is configured."""
    return database.with_name(f"{database.name}.key")


def parsed(text: str, where: str) -> SecretKey:
    """Parses a secret key.

    Args:
        text: 32 bytes in base64, standard or URL-safe.
        where: where it was read from, for messages.

    Raises:
        SecretKeyError: it is not a secret key.
    """
    try:
        # URL-safe base64 has - and _ in place of + and /.
        key = base64.b64decode(text.strip().replace("-", "+").replace("_", "/"), validate=True)
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise SecretKeyError(
            f"The secret key in {where} is malformed: it must be {KEY_BYTES} bytes in base64.",
            f"Use the one that encrypted the API keys. If no account was ever connected, make one: {_MAKE_ONE}",
        )
    return SecretKey(key, where)


def _read(path: Path) -> SecretKey:
    try:
        _refuse_exposed(path)
        text = path.read_text(encoding="ascii")
    except UnicodeDecodeError:
        text = ""
    except OSError as error:
        raise SecretKeyError(
            f"The secret key in {path} cannot be read: {error.strerror}.",
            "Check WORKER_SECRET_KEY_FILE, and that this user may read the file.",
        ) from error
    return parsed(text, str(path))


def _refuse_exposed(path: Path) -> None:
    file_status = path.stat()
    # Kubernetes mounts a secret owned by root, readable by the container's group, which has no other members.
    refused = _OTHERS | (_GROUP_READS if file_status.st_uid == os.geteuid() else 0)
    if stat.S_ISREG(file_status.st_mode) and file_status.st_mode & refused:
        raise SecretKeyError(
            f"Other users of this machine may read or write the secret key in {path} "
            f"(mode {stat.S_IMODE(file_status.st_mode):04o}).",
            f"If nobody did: chmod 600 {path}. Otherwise make a new key too, and: mailchimp-worker account rekey",
        )


def _make(path: Path) -> None:
    """Creates a key file atomically; one that another process created meanwhile stays."""
    unfinished = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    try:
        make_folder(path.parent)
        try:
            descriptor = open_file(unfinished, os.O_WRONLY | os.O_EXCL)
            with os.fdopen(descriptor, "wb") as file:
                file.write(base64.b64encode(secrets.token_bytes(KEY_BYTES)) + b"\n")
                file.flush()
                os.fsync(file.fileno())
            with contextlib.suppress(FileExistsError):
                os.link(unfinished, path)  # unlike a rename, it never replaces
                log.warning("made a secret key at %s. %s", path, BESIDE_THE_DATA, extra={"file": str(path)})
        finally:
            unfinished.unlink(missing_ok=True)
    except OSError as error:
        raise SecretKeyError(
            f"No secret key is set, and none can be made at {path}: {error.strerror}.",
            f"Set WORKER_SECRET_KEY or WORKER_SECRET_KEY_FILE. Make a key with: {_MAKE_ONE}",
        ) from error
