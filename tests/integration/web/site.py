"""The web application over the small world of the flush tests, asked by a client without a server."""

from __future__ import annotations

from typing import Any

from prometheus_client import CollectorRegistry
from starlette.testclient import TestClient

from tests.integration.flush.world import ACCOUNT, World
from worker.config import Web
from worker.model import AccountId
from worker.web.access import sessions
from worker.web.access.authentication import cookie_name
from worker.web.application import web_application
from worker.web.call import WebContext

TOKEN = "an-operators-token-of-the-tests"
OTHER = AccountId("acct-2")


class Site:
    """The pages and the API."""

    def __init__(self, world: World, **web: Any) -> None:
        """Makes it.

        Args:
            world: with one account.
            web: config of the pages.
        """
        self.world = world
        config = world.app.config.model_copy(update={"web": Web(**{"token": TOKEN} | web)})
        world.app.config = config
        self.context = WebContext(world.app)
        self.application = web_application(dict, dict, CollectorRegistry(), self.context)

    def anybody(self) -> TestClient:
        """Returns a browser without a session."""
        scheme = "https" if self.context.app.config.web.secure else "http"
        return TestClient(self.application, base_url=f"{scheme}://testserver", follow_redirects=False)

    def signed_in(self, account_id: AccountId | None, name: str | None = None) -> TestClient:
        """Returns a browser with a session of an account; with None, of an operator."""
        client = self.anybody()
        signer = self.context.signer("session")
        cookie = sessions.new_session(signer, account_id, name, self.world.clock())
        client.cookies.set(cookie_name(self.context), cookie)
        visitor = sessions.visitor_of_session(signer, self.world.db, cookie, self.world.clock())
        assert visitor is not None, "it is new"
        client.headers["x-csrf-token"] = sessions.form_token(self.context.signer("form"), visitor)
        return client

    def owner(self) -> TestClient:
        """Returns a browser of the world's account."""
        return self.signed_in(ACCOUNT)

    def operator(self) -> TestClient:
        """Returns a browser of an operator."""
        return self.signed_in(None)

    def program(self) -> TestClient:
        """Returns what comes with the operators' token."""
        client = self.anybody()
        client.headers["authorization"] = f"Bearer {TOKEN}"
        return client

    def link(self, account_id: AccountId | None, name: str | None = None) -> str:
        """Returns the path of a link."""
        token = sessions.new_link(
            self.context.signer(sessions.link_purpose(account_id)), account_id, name, self.world.clock()
        )
        return f"/open?link={token}"
