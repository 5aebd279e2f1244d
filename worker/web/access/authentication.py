"""Identifies the visitor of a request: by the operators' token or a session's cookie."""

from __future__ import annotations

from datetime import datetime
from urllib.parse import urlsplit

from starlette.requests import Request

from worker.sqlite.database import Database
from worker.web.access import sessions
from worker.web.access.signing import equal_secrets
from worker.web.access.visitor import Visitor
from worker.web.call import Call, WebContext
from worker.web.errors import NotAllowed, NotSignedIn

COOKIE, SECURE_COOKIE = "mailchimp_worker", "__Host-mailchimp_worker"


def visitor_of_request(context: WebContext, request: Request, db: Database, now: datetime) -> Visitor | None:
    """Returns the visitor by the operators' token, else by the session; None with neither.

    Raises:
        NotSignedIn: the token is wrong.
        TooManyTries: tokens of this client were wrong too often.
    """
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        check_token(context, request, token.strip())
        return Visitor(None)
    cookie = request.cookies.get(cookie_name(context))
    return sessions.visitor_of_session(context.signer("session"), db, cookie, now) if cookie else None


def check_token(context: WebContext, request: Request, token: str) -> None:
    """Checks the operators' token.

    Raises:
        NotSignedIn: it is wrong, or none is configured.
        TooManyTries: it was wrong too often.
    """
    address = address_of(request)
    context.failed_logins.check(address)
    configured = context.app.config.web.token.get_secret_value()
    if not configured or not equal_secrets(configured, token):
        context.failed_logins.failed(address)
        raise NotSignedIn


def address_of(request: Request) -> str:
    """Returns the client's address."""
    return request.client.host if request.client is not None else ""


def cookie_name(context: WebContext) -> str:
    """Returns the session cookie's name. Browsers accept the __Host- prefix only over https, for this host only."""
    return SECURE_COOKIE if context.app.config.web.secure else COOKIE


def check_origin(call: Call) -> None:
    """Refuses a cross-site request (CSRF).

    Raises:
        NotAllowed: it is one.
    """
    by_program = call.visitor is not None and call.visitor.session is None
    site = call.request.headers.get("sec-fetch-site")
    # A browser that names no site does so by the origin. A program's origin matters to nobody: it sends no cookie.
    if site not in (None, "same-origin", "none") or (site is None and not by_program and not _is_own_origin(call)):
        raise NotAllowed("Another site sent this request.", "Load the page again, then send the form from there.")
    if call.visitor is None or by_program:
        return  # there is no session to misuse
    if not equal_secrets(call.csrf, call.request.headers.get("x-csrf-token") or call.field("csrf")):
        raise NotAllowed("This form is out of date.", "Load the page again, then send the form from there.")


def _is_own_origin(call: Call) -> bool:
    origin = call.request.headers.get("origin")
    if origin is None:
        return True
    scheme = origin.partition(":")[0]
    # A proxy may have ended https, so the scheme of the request is not compared.
    own = (call.app.config.web.public_url, f"{scheme}://{call.request.headers.get('host')}")
    named = _host_and_port(origin)
    return named is not None and named in map(_host_and_port, own)


def _host_and_port(origin: str) -> tuple[str, int] | None:
    try:
        parts = urlsplit(origin)
        usual = {"http": 80, "https": 443}[parts.scheme]
        port = parts.port or usual
    except (ValueError, KeyError):
        return None
    return (parts.hostname, port) if parts.hostname else None
