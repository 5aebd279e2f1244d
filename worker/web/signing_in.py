"""How a session begins and ends: by the operators' token, or by a link that is good once."""

from __future__ import annotations

from urllib.parse import quote

from starlette.responses import HTMLResponse, RedirectResponse, Response

from worker.model import AccountId
from worker.web import sessions
from worker.web.problems import NotAllowed, NotSignedIn
from worker.web.routing import Call, Page, address_of, check_token, cookie_name
from worker.web.sessions import Session
from worker.web.templates import render
from worker.web.visitor import Need


def account_path(account_id: AccountId) -> str:
    """Returns the path of an account's page."""
    return f"/accounts/{quote(account_id, safe='')}/mailchimp"


def open_link(call: Call) -> Response:
    """Uses a link up and opens a session; HEAD, which programs ask to look at a link, leaves it as it is."""
    if call.request.method == "HEAD":
        return Response()
    address = address_of(call.request)
    call.context.tries.check(address)
    link, parts = call.context.signer("link"), call.context.parts
    try:
        visitor = sessions.use_link(link, call.db, parts.changelog, call.query.get("link", ""), call.now)
    except NotAllowed:
        call.context.tries.failed(address)
        raise
    made = sessions.new_session(call.context.signer("session"), visitor.account_id, visitor.name, call.now)
    to = "/" if visitor.account_id is None else account_path(visitor.account_id)
    return _with_session(call, RedirectResponse(to, 303), made)


def show_login(call: Call) -> Response:
    """Shows the form for the token."""
    return HTMLResponse(render("login.html", wrong=None))


def login(call: Call) -> Response:
    """Opens an operator's session by the token."""
    try:
        check_token(call.context, call.request, call.field("token"))
    except NotSignedIn:
        return HTMLResponse(render("login.html", wrong="This is not the token."), 401)
    made = sessions.new_session(call.context.signer("session"), None, None, call.now)
    return _with_session(call, RedirectResponse("/", 303), made)


def logout(call: Call) -> Response:
    """Ends the session, at every worker."""
    sessions.end_session(call.db, call.context.parts.changelog, call.me, call.now)
    answer = RedirectResponse("/login", 303)
    answer.delete_cookie(cookie_name(call.context), path="/")
    return answer


def _with_session(call: Call, answer: Response, made: Session) -> Response:
    web = call.context.parts.config.web
    parts = [
        f"{cookie_name(call.context)}={made.value}",
        "Path=/",
        "HttpOnly",
        f"Max-Age={round(sessions.SESSION.total_seconds())}",
        "SameSite=None" if web.embed_origins else "SameSite=Lax",
    ]
    if web.secure:
        parts.append("Secure")
    if web.embed_origins:
        # In a frame of another site, browsers keep the cookie apart for that site.
        parts.append("Partitioned")
    answer.headers.append("Set-Cookie", "; ".join(parts))
    return answer


PAGES = (
    Page("/open", open_link, Need.NOTHING),
    Page("/login", show_login, Need.NOTHING),
    Page("/login", login, Need.NOTHING, ("POST",)),
    Page("/logout", logout, Need.OPERATOR, ("POST",)),
    Page("/accounts/{account_id}/logout", logout, Need.ACCOUNT, ("POST",), anywhere=True),
)
