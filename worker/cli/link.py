"""``mailchimp-worker link``: creates links that open the web pages once, and revokes all of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Annotated

import typer

from worker.accounts.api_keys import check_id
from worker.app import App
from worker.cli import output
from worker.cli.context import Json, changing, load_app
from worker.clock import as_text
from worker.errors import NotFound, UsageError
from worker.model import AccountId
from worker.sqlite.lock import is_locked
from worker.store import accounts
from worker.web.access import sessions
from worker.web.access.signing import Signer, base64url


def link(
    account: Annotated[
        str | None, typer.Argument(metavar="ACCOUNT", help="The account. Without it, the operators' page.")
    ] = None,
    name: Annotated[
        str | None, typer.Option("--name", metavar="NAME", help="Who will use it; shown in the log of settings.")
    ] = None,
    revoke: Annotated[bool, typer.Option("--revoke", help="End all sessions and links made so far instead.")] = False,
    key: Annotated[bool, typer.Option("--key", help="Print the key that signs links, for a program of yours.")] = False,
    json: Json = False,
) -> None:
    """Print a link that opens an account's page once, within five minutes."""
    app = load_app()
    if sum((revoke, key)) > 1 or (key and account is not None):
        raise UsageError(
            "These options exclude each other.", "Use --key alone, or --revoke, with an account or without."
        )
    account_id = AccountId(account) if account is not None else None
    if account_id is not None:
        check_id(account_id)
    if not app.has_secret:
        raise NotFound(
            f"There is no secret key for {app.config.staging.path} yet, so no worker would accept a link.",
            "Start the worker first, or name its database: WORKER_STAGING__PATH=...",
        )
    if key:
        link_key = base64url(app.secret.derived("web link"))
        output.result({"key": link_key}, link_key, json=json)
        return
    if revoke:
        with changing(app) as db:
            sessions.revoke(db, app.changelog, account_id, app.clock())
        owner = f"account {account}" if account is not None else "the operators"
        line = f"All earlier sessions and links of {owner} have ended."
        output.result({"account_id": account, "revoked": True}, line, json=json)
        return
    now = app.clock()
    token = sessions.new_link(
        Signer(app.secret.derived(f"web {sessions.link_purpose(account_id)}")), account_id, name, now
    )
    url = f"{app.config.web.url}/open?link={token}"
    for line in _notes(app, account_id):
        output.note(line)
    output.result({"account_id": account, "url": url, "expires_at": as_text(now + sessions.LINK)}, url, json=json)


def _notes(app: App, account_id: AccountId | None) -> Iterator[str]:
    """Yields what a person may not expect of the link."""
    path = app.config.staging.path
    if not path.is_file():
        return
    if not is_locked(path):
        yield "No worker is running with this database. The link opens only while one runs: mailchimp-worker run"
    with closing(app.open_database()) as db:
        if account_id is not None and accounts.find(db, account_id) is None:
            yield f"Account {account_id} is not connected. Check the id, unless its owner is to enter the API key."
