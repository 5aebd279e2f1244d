"""Starts and ends sessions: with the operators' token, or with a link that works once."""

from __future__ import annotations

from urllib.parse import quote

from starlette.responses import HTMLResponse, RedirectResponse, Response

from worker.errors import KafkaError
from worker.model import AccountId
from worker.web.access import sessions
from worker.web.access.authentication import address_of, check_token, cookie_name
from worker.web.access.visitor import Need, Visitor
from worker.web.call import Call
from worker.web.errors import NotAllowed, NotSignedIn
from worker.web.routing import Page
from worker.web.templates import render


def account_path(account_id: AccountId) -> str:
    """Returns the path of an account's page."""
    return f"/accounts/{quote(account_id, safe='')}/mailchimp"


def open_link(call: Call) -> Response:
    """Uses up a link and opens a session; HEAD, which programs use to preview a link, does not use it up."""
    if call.request.method == "HEAD":
        return Response()
    address = address_of(call.request)
    call.context.failed_logins.check(address)
    of_accounts, of_operators = (call.context.signer(purpose) for purpose in sessions.LINK_PURPOSES)
    token, changelog = call.query.get("link", ""), call.app.changelog
    try:
        visitor = sessions.use_link(of_accounts, of_operators, call.db, changelog, token, call.now)
    except NotAllowed:
        call.context.failed_logins.failed(address)
        raise
    return _open_session(call, visitor)


def show_login(call: Call) -> Response:
    """Shows the form for the token."""
    return HTMLResponse(render("login.html", wrong=None, signed_out="signed_out" in call.query))


def login(call: Call) -> Response:
    """Opens an operator's session with the token."""
    try:
        check_token(call.context, call.request, call.field("token"))
    except NotSignedIn:
        return HTMLResponse(render("login.html", wrong="This is not the token.", signed_out=False), 401)
    return _open_session(call, Visitor(None))


def logout(call: Call) -> Response:
    """Ends the session at every worker, or at least in this browser while that cannot be written."""
    everywhere = True
    try:
        sessions.end_session(call.db, call.app.changelog, call.signed_in, call.now)
    except KafkaError:
        everywhere = False
    to = "/login?signed_out" if call.signed_in.operator else "/signed-out"
    answer = RedirectResponse(to if everywhere else "/signed-out?here", 303)
    _set_cookie(call, answer, "", 0)
    return answer


def show_signed_out(call: Call) -> Response:
    """Tells that the session has ended, and how to come back."""
    return HTMLResponse(render("signed_out.html", here_only="here" in call.query))


def _open_session(call: Call, visitor: Visitor) -> Response:
    answer = RedirectResponse("/" if visitor.account_id is None else account_path(visitor.account_id), 303)
    session = sessions.new_session(call.context.signer("session"), visitor.account_id, visitor.name, call.now)
    _set_cookie(call, answer, session, round(sessions.SESSION.total_seconds()))
    return answer


def _set_cookie(call: Call, answer: Response, value: str, seconds: int) -> None:
    # A browser deletes a cookie only if its attributes match.
    web = call.app.config.web
    parts = [
        f"{cookie_name(call.context)}={value}",
        "Path=/",
        "HttpOnly",
        f"Max-Age={seconds}",
        "SameSite=None" if web.embed_origins else "SameSite=Lax",
    ]
    if web.secure:
        parts.append("Secure")
    if web.embed_origins:
        # In another site's frame, browsers partition the cookie by that site.
        parts.append("Partitioned")
    answer.headers.append("Set-Cookie", "; ".join(parts))


PAGES = (
    Page("/open", open_link, Need.NOTHING),
    Page("/login", show_login, Need.NOTHING),
    Page("/login", login, Need.NOTHING, ("POST",)),
    Page("/signed-out", show_signed_out, Need.NOTHING),
    Page("/logout", logout, Need.OPERATOR, ("POST",)),
    Page("/accounts/{account_id}/logout", logout, Need.ACCOUNT, ("POST",), anywhere=True),
)
