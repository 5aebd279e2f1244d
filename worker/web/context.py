"""What the web pages and the API work with, as the worker's App has it."""

from __future__ import annotations

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
from worker.store.database import Database
from worker.store.forgotten import Departed
from worker.web.forwarding import SeenOnce
from worker.web.refreshes import Refreshes
from worker.web.sessions import LINK_PURPOSES
from worker.web.signing import Signer
from worker.web.tries import Tries


class Parts(Protocol):
    """The parts of the worker that the web needs."""

    @property
    def config(self) -> Config:
        """The operator's."""
        ...

    @property
    def secret(self) -> SecretKey:
        """What API keys are encrypted with."""
        ...

    @property
    def changelog(self) -> Changelog:
        """Commits changes of settings."""
        ...

    def clock(self) -> datetime:
        """Returns the time."""
        ...

    def open_database(self) -> Database:
        """Opens a connection."""
        ...

    def open_client(self, key: ApiKey, account_id: AccountId | None = None) -> AbstractContextManager[Sender]:
        """Opens what sends calls with an API key, each once."""
        ...

    def open_client_of(self, db: Database, account_id: AccountId) -> AbstractContextManager[Sender]:
        """Opens what sends calls with an account's API key, each once."""
        ...

    def hash_key(self, db: Database) -> bytes | None:
        """Returns the key of the hashes of erased persons; None where nobody was ever erased."""
        ...

    def departed_of(self, db: Database, account_id: AccountId) -> Departed:
        """Returns who left lists of an account and was erased since."""
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
        elsewhere: returns where the worker can be reached that has an account; None where this one has it.
        refreshes: readings of lists from Mailchimp that are under way, or were.
        seen: requests of other workers that came.
        tries: how often somebody came with a wrong token or link.
    """

    parts: Parts
    why_not_ready: Callable[[], str | None] = _ready
    elsewhere: Callable[[Database, AccountId], str | None] = _everything_is_here
    refreshes: Refreshes = field(default_factory=Refreshes)
    seen: SeenOnce = field(default_factory=SeenOnce)
    tries: Tries = field(default_factory=Tries)

    def signer(self, purpose: str) -> Signer:
        """Returns what signs for a purpose: one of ``_PURPOSES``."""
        return self._signers[purpose]

    @cached_property
    def _signers(self) -> dict[str, Signer]:
        secret = self.parts.secret
        by_each = {one: secret.derived_by_each(f"web {one}") for one in _PURPOSES}
        return {one: Signer(keys[0], keys[1:]) for one, keys in by_each.items()}

    def open_database(self) -> Database:
        """Opens a connection for one request; a wait for the database's lock ends with the request's patience."""
        return self.parts.open_database()
