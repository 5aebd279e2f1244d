"""What the pages and the API need from the worker's App."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Protocol

from worker.accounts.secrets import SecretKey
from worker.changelog.commit import Changelog
from worker.config import Config
from worker.mailchimp.api_key import ApiKey
from worker.mailchimp.call import Sender
from worker.model import AccountId
from worker.sqlite.database import Database
from worker.store.forgotten import Departed
from worker.web.access.failed_logins import FailedLogins
from worker.web.access.sessions import LINK_PURPOSES
from worker.web.access.signing import Signer
from worker.web.forwarding import MOST_AT_ONCE, SeenRequests
from worker.web.refreshes import Refreshes


class Parts(Protocol):
    """The parts of the worker that the web server needs."""

    @property
    def config(self) -> Config:
        """The operator's config."""
        ...

    @property
    def secret(self) -> SecretKey:
        """Encrypts API keys."""
        ...

    @property
    def changelog(self) -> Changelog:
        """Commits changes of settings."""
        ...

    def clock(self) -> datetime:
        """Returns the current time."""
        ...

    def open_database(self) -> Database:
        """Opens a connection."""
        ...

    def open_client(self, key: ApiKey, account_id: AccountId | None = None) -> AbstractContextManager[Sender]:
        """Opens a sender with an API key, without retries."""
        ...

    def open_client_of(self, db: Database, account_id: AccountId) -> AbstractContextManager[Sender]:
        """Opens a sender with the account's API key, without retries."""
        ...

    def hash_key(self, db: Database) -> bytes | None:
        """Returns the key for hashes of erased persons; None if nobody was ever erased."""
        ...

    def departed_of(self, db: Database, account_id: AccountId) -> Departed:
        """Returns the hashes of erased people who had left lists of the account."""
        ...


_PURPOSES = ("session", *LINK_PURPOSES, "form", "forwarded")


def _everything_is_here(db: Database, account_id: AccountId) -> str | None:
    return None


def _ready() -> str | None:
    return None


@dataclass(frozen=True)
class WebContext:
    """Shared by all requests.

    Attributes:
        parts: of the worker.
        why_not_ready: returns why settings cannot be shown or changed yet; None once they are read.
        elsewhere: returns the URL of the worker that has an account; None if this one has it.
        refreshes: of lists from Mailchimp, running or ended.
        seen_requests: forwarded requests that arrived here.
        forwarding: limits how many requests are forwarded at the same time.
        failed_logins: failed attempts to sign in.
    """

    parts: Parts
    why_not_ready: Callable[[], str | None] = _ready
    elsewhere: Callable[[Database, AccountId], str | None] = _everything_is_here
    refreshes: Refreshes = field(default_factory=Refreshes)
    seen_requests: SeenRequests = field(default_factory=SeenRequests)
    forwarding: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(MOST_AT_ONCE))
    failed_logins: FailedLogins = field(default_factory=FailedLogins)

    def signer(self, purpose: str) -> Signer:
        """Returns the signer for a purpose: one of ``_PURPOSES``."""
        return self._signers[purpose]

    @cached_property
    def _signers(self) -> dict[str, Signer]:
        secret = self.parts.secret
        keys_by_purpose = {purpose: secret.derived_by_each(f"web {purpose}") for purpose in _PURPOSES}
        return {purpose: Signer(keys[0], keys[1:]) for purpose, keys in keys_by_purpose.items()}

    def open_database(self) -> Database:
        """Opens a connection for one request, which waits for the database lock no longer than a request may take."""
        return self.parts.open_database()
