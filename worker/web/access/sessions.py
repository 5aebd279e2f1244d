"""Browser sessions, links that open one, and form tokens. All are signed, so that any worker accepts them."""

from __future__ import annotations

import secrets
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from worker.changelog.commit import Changelog
from worker.clock import as_moment, as_text
from worker.model import AccountId
from worker.sqlite.database import Database
from worker.sqlite.rows import Changed
from worker.store import web_access
from worker.store.web_access import WebAccess
from worker.web.access.signing import Signer, base64url
from worker.web.access.visitor import Visitor
from worker.web.errors import NotAllowed

SESSION = timedelta(hours=12)
LINK = timedelta(minutes=5)
"""How long a link can be used, once."""
LONGEST_NAME = 200
LINK_PURPOSES = ("link", "operators link")
"""The purposes that accounts' and operators' links are signed for. Programs get only the first one's key."""


def link_purpose(account_id: AccountId | None) -> str:
    """Returns the purpose that a link is signed for; None for the operators' account id."""
    return LINK_PURPOSES[account_id is None]


def new_link(signer: Signer, account_id: AccountId | None, name: str | None, now: datetime) -> str:
    """Returns the token of a link that opens one session, once, within five minutes.

    Args:
        signer: for the purpose from :func:`link_purpose`.
        account_id: the account whose page it opens; None for the operators' page.
        name: of the person who will use it, for the settings log; None if it does not matter.
    """
    return signer.signed(_payload(account_id, name, now), now + LINK)


def visitor_of_session(signer: Signer, db: Database, value: str, now: datetime) -> Visitor | None:
    """Returns the visitor of a session by its cookie; None if it is forged or expired."""
    payload = signer.opened(value, now)
    if payload is None:
        return None
    visitor, made_at = _visitor(payload)
    if visitor.session is None or not web_access.find(db, visitor.account_id).good(visitor.session, made_at):
        return None
    return visitor


def new_session(signer: Signer, account_id: AccountId | None, name: str | None, now: datetime) -> str:
    """Returns the cookie of a new session; None for the operators' account id."""
    return signer.signed(_payload(account_id, name, now), now + SESSION)


def use_link(
    signer: Signer, of_operators: Signer, db: Database, changelog: Changelog, token: str, now: datetime
) -> Visitor:
    """Uses up a link, and returns the visitor for whom to open a session.

    Its use is written to Kafka first. The settings have one writer at a time, so no second worker accepts the link, nor
    does this one after a restart.

    Raises:
        NotAllowed: it is forged, expired, used, or revoked.
        KafkaError: Kafka cannot be written; the link stays valid.
    """
    payload, operator = signer.opened(token, now), False
    if payload is None:
        payload, operator = of_operators.opened(token, now), True
    try:
        visitor, made_at = _visitor(payload or {})
        expires = datetime.fromtimestamp(payload["expires"] if payload else 0, now.tzinfo)
        too_long = made_at > now + LINK or expires > now + 2 * LINK
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise _bad_link() from error
    if too_long or visitor.session is None or visitor.operator is not operator:
        raise _bad_link()
    name = visitor.session

    def write() -> Changed[None]:
        access = web_access.find(db, visitor.account_id)
        if not access.good(name, made_at):
            raise _bad_link()
        return Changed(None, web_access.save(db, visitor.account_id, access.with_spent(name, expires, now)))

    changelog.commit(db, write)
    return visitor


def end_session(db: Database, changelog: Changelog, visitor: Visitor, now: datetime) -> None:
    """Ends one session everywhere.

    Raises:
        KafkaError: Kafka cannot be written.
    """
    name = visitor.session
    if name is None:
        return

    def write() -> Changed[None]:
        access = web_access.find(db, visitor.account_id).with_spent(name, now + SESSION, now)
        return Changed(None, web_access.save(db, visitor.account_id, access))

    changelog.commit(db, write)


def revoke(db: Database, changelog: Changelog, account_id: AccountId | None, now: datetime) -> None:
    """Ends every session and link of an account created so far; None for the operators'.

    Raises:
        KafkaError: Kafka cannot be written.
    """

    def write() -> Changed[None]:
        # Links used earlier have expired or are revoked by this.
        access = replace(WebAccess(), since=now + timedelta(milliseconds=1))
        return Changed(None, web_access.save(db, account_id, access))

    changelog.commit(db, write)


def form_token(signer: Signer, visitor: Visitor) -> str:
    """Returns the CSRF token of a session's forms."""
    return base64url(signer.mac(visitor.session or ""))


def _payload(account_id: AccountId | None, name: str | None, now: datetime) -> dict[str, Any]:
    fields = {"account_id": account_id, "id": secrets.token_urlsafe(12), "at": as_text(now)}
    return fields | ({"name": name[:LONGEST_NAME]} if name else {})


def _visitor(payload: dict[str, Any]) -> tuple[Visitor, datetime]:
    # Other programs make links too, so their payload is validated.
    account_id, name = payload["account_id"], payload.get("name")
    if not isinstance(payload["id"], str) or not isinstance(account_id, str | None) or not isinstance(name, str | None):
        raise TypeError("it holds other values than it may")
    if account_id == "" or not 8 <= len(payload["id"]) <= 64:
        raise ValueError("it names no account, or has no id")
    made_at = as_moment(payload["at"])
    return Visitor(AccountId(account_id) if account_id is not None else None, payload["id"], name), made_at


def _bad_link() -> NotAllowed:
    return NotAllowed(
        "This link is not valid any more.",
        "A link opens the page once, within five minutes. Open the page again from your billmywork settings.",
    )
