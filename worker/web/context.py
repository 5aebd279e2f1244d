"""What all requests share."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

from worker.app import App
from worker.model import AccountId
from worker.sqlite.database import Database
from worker.web.access.failed_logins import FailedLogins
from worker.web.access.sessions import LINK_PURPOSES
from worker.web.access.signing import Signer
from worker.web.forwarding import MOST_AT_ONCE, SeenRequests
from worker.web.refreshes import Refreshes

_PURPOSES = ("session", *LINK_PURPOSES, "form", "forwarded")


@dataclass(frozen=True)
class WebContext:
    """Shared by all requests.

    Attributes:
        why_not_ready: returns why settings cannot be shown or changed yet; None once they are read.
        elsewhere: returns the URL of the worker that has an account; None if this one has it.
        forwarding: limits how many requests are forwarded at the same time.
    """

    app: App
    why_not_ready: Callable[[], str | None] = lambda: None
    elsewhere: Callable[[Database, AccountId], str | None] = lambda db, account_id: None
    refreshes: Refreshes = field(default_factory=Refreshes)
    seen_requests: SeenRequests = field(default_factory=SeenRequests)
    forwarding: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(MOST_AT_ONCE))
    failed_logins: FailedLogins = field(default_factory=FailedLogins)

    def signer(self, purpose: str) -> Signer:
        """Returns the signer for a purpose: one of ``_PURPOSES``."""
        return self._signers[purpose]

    @cached_property
    def _signers(self) -> dict[str, Signer]:
        secret = self.app.secret
        keys_by_purpose = {purpose: secret.derived_by_each(f"web {purpose}") for purpose in _PURPOSES}
        return {purpose: Signer(keys[0], keys[1:]) for purpose, keys in keys_by_purpose.items()}
