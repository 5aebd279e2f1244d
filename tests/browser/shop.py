"""A shop whose owner uses the pages: the web application on a real port, over the small world of the flush tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.integration.flush.world import ACCOUNT, KEY, Everybody, World
from tests.integration.web.site import Site
from worker.store import bare_customers, runs
from worker.store.runs import Run
from worker.web.access.signing_in import account_path
from worker.web.server import WebServer

NAMES = {"master": "All customers", "other": "Boiler care plan", "spare": "Newsletter 2019"}
PEOPLE = (
    ("Ann", "Lee", "Lee Ltd"), ("Bob", "Hill", None), ("Cat", "Moor", "Moor & Daughters"), ("Dan", "Ng", None),
    ("Eve", "Quinn", None), ("Femi", "Ade", "Ade Heating"), ("Gwen", "Pugh", None), ("Hal", "Iqbal", None),
)  # fmt: skip


class Shop(World):
    """One account, at first without anything, whose Mailchimp has three lists."""

    def __init__(self, folder: Path, *, connected: bool = False, **web: Any) -> None:
        """Makes it.

        Args:
            folder: for the database.
            connected: whether the account has its key, uses two lists, and is enabled.
            web: config of the pages.
        """
        super().__init__(folder, direct=True)
        for list_id, name in NAMES.items():
            self.standin.find_list(list_id).name = name
        self._connected = connected
        self._staged = list[dict[str, Any]]()
        self.site = Site(self, **web)
        self._port: WebServer | None = None

    def __enter__(self) -> Shop:
        if self._connected:
            super().__enter__()
        self._port = WebServer("127.0.0.1", 0)
        self._port.start(self.site.application)
        return self

    def __exit__(self, *error: object) -> None:
        assert self._port is not None, "it was begun"
        self._port.close()
        super().__exit__(*error)

    @property
    def url(self) -> str:
        """Where the application answers."""
        assert self._port is not None, "it was begun"
        return self._port.url

    @property
    def page(self) -> str:
        """The account's page."""
        return self.url + account_path(ACCOUNT)

    def link(self, name: str | None = "Ann Lee") -> str:
        """Returns a link that opens the account's page."""
        return self.url + self.site.link(ACCOUNT, name)

    def operators_link(self) -> str:
        """Returns a link that opens the operators' page."""
        return self.url + self.site.link(None)

    def stage(self, event: dict[str, Any]) -> None:
        """Stages any event, and keeps it as Kafka does."""
        self._staged.append(event)
        super().stage(event)

    def read_again(self) -> None:
        """Does what the worker does once the account is connected: it reads what came before with its fields."""
        for event in self._staged:
            super().stage(event)
        for one in bare_customers.to_read(self.db):
            assert bare_customers.end(self.db, one) == 0

    def people(self, count: int = len(PEOPLE), **fields: Any) -> None:
        """Stages so many customers."""
        for number in range(count):
            first, last, company = PEOPLE[number % len(PEOPLE)]
            again = number // len(PEOPLE)
            email = f"{first}.{last}{again or ''}@example.com".lower()
            self.event(f"c{number}", email, first_name=first, last_name=last, company=company, **fields)

    def carry_out(self) -> Run:
        """Does what the worker does with a sync that somebody asked for."""
        (request,) = runs.open_requests(self.db)
        self.clock.forward(seconds=1)
        return self.app.flusher(self.stop).flush("command", lambda db: Everybody(), request)


__all__ = ["ACCOUNT", "KEY", "Shop"]
