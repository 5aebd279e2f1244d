"""What every route does before its own work: reads the request, identifies the visitor, and checks permissions.

A route's work is a plain function. It runs in a thread with its own connection, so that the event loop can answer
/healthz and /metrics meanwhile.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any
from urllib.parse import parse_qs, quote

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from worker.errors import WorkerError
from worker.model import AccountId
from worker.sqlite.database import Database
from worker.web import forwarding, sessions
from worker.web.context import WebContext
from worker.web.owner_messages import message_for_owner
from worker.web.problems import (
    BadInput,
    BodyTooLarge,
    Busy,
    NotAllowed,
    NotSignedIn,
    TooManyTries,
    problem_of,
    status_of,
)
from worker.web.sessions import Session
from worker.web.signing import same
from worker.web.templates import render
from worker.web.visitor import Need, Visitor

log = logging.getLogger("worker.web")

LARGEST_BODY = 64 * 1024
"""Bytes of a request body."""
BODY_SECONDS = 10.0
"""How long to wait for a request body."""
MOST_FIELDS = 2000
"""Fields of a form."""
MOST_AT_ONCE = 8
"""Requests handled at the same time."""
MOST_WAITING = 32
"""Requests that wait for that; any more are refused."""
SAFE = ("GET", "HEAD")
COOKIE, SECURE_COOKIE = "mailchimp_worker", "__Host-mailchimp_worker"


@dataclass(frozen=True)
class Call:
    """One request, for the route's function.

    Attributes:
        db: a connection used only by this request.
        visitor: None only if the route needs none and nobody is signed in.
        account_id: the account in the path; None if there is none.
        now: when the request arrived.
    """

    request: Request
    context: WebContext
    db: Database
    visitor: Visitor | None
    account_id: AccountId | None
    body: bytes
    now: datetime

    @property
    def query(self) -> Mapping[str, str]:
        """The query parameters."""
        return self.request.query_params

    @property
    def path(self) -> Mapping[str, str]:
        """The path parameters."""
        return self.request.path_params

    @cached_property
    def form(self) -> Mapping[str, list[str]]:
        """The fields of a submitted form, each with its values.

        Raises:
            BadInput: it is not a form.
        """
        if not _content_type(self.request).startswith("application/x-www-form-urlencoded"):
            return {}
        try:
            return parse_qs(self.body.decode(), keep_blank_values=True, max_num_fields=MOST_FIELDS)
        except ValueError as error:
            raise BadInput("The form cannot be read.", "Load the page again, and send the form from there.") from error

    def field(self, name: str, default: str = "") -> str:
        """Returns the last value of a form field."""
        return (self.form.get(name) or [default])[-1]

    @cached_property
    def json(self) -> Any:
        """The JSON body.

        Raises:
            BadInput: it is not JSON.
        """
        try:
            found = json.loads(self.body)
            json.dumps(found, ensure_ascii=False, allow_nan=False).encode()  # a lone surrogate cannot be stored
            return found
        except (ValueError, RecursionError) as error:
            raise BadInput("The body is not JSON.", "Send JSON, as /api/v1/openapi.json describes it.") from error

    @property
    def csrf(self) -> str:
        """The CSRF token that forms send as the hidden field ``csrf``, and scripts as the header ``X-CSRF-Token``."""
        return sessions.form_token(self.context.signer("form"), self.visitor) if self.visitor is not None else ""

    @property
    def me(self) -> Visitor:
        """The visitor.

        Raises:
            NotSignedIn: there is neither a session nor a token.
        """
        if self.visitor is None:
            raise NotSignedIn
        return self.visitor

    @property
    def account(self) -> AccountId:
        """The account in the path."""
        assert self.account_id is not None, "the route has {account_id} in its path"
        return self.account_id


Handle = Callable[[Call], Response]


@dataclass(frozen=True, slots=True)
class Page:
    """A route before it is bound to a context.

    Attributes:
        path: with {account_id} if it is about one account.
        need: who may use it.
        methods: HTTP methods; GET includes HEAD.
        anywhere: whether any worker can answer, because it needs only settings; else only the account's worker can.
    """

    path: str
    handle: Handle
    need: Need
    methods: Sequence[str] = ("GET",)
    anywhere: bool = False


class Slots:
    """Limits how many requests are handled and how many wait. Used by the event loop only."""

    def __init__(self, most: int = MOST_AT_ONCE, waiting: int = MOST_WAITING) -> None:
        self._most, self._waiting, self._taken = most, waiting, 0
        self._free = asyncio.Semaphore(most)

    async def __aenter__(self) -> None:
        """Waits for a slot.

        Raises:
            Busy: too many are waiting already.
        """
        if self._taken >= self._most + self._waiting:
            raise Busy("The worker is too busy now.", "Try again in a few seconds.")
        self._taken += 1
        try:
            await self._free.acquire()
        except BaseException:
            self._taken -= 1
            raise

    async def __aexit__(self, *raised: object) -> None:
        """Releases the slot."""
        self._taken -= 1
        self._free.release()


def routes(pages: Sequence[Page], context: WebContext, slots: Slots) -> list[Route]:
    """Returns pages as routes."""
    return [Route(one.path, _endpoint(one, context, slots), methods=list(one.methods)) for one in pages]


def _endpoint(page: Page, context: WebContext, slots: Slots) -> Callable[[Request], Any]:
    async def endpoint(request: Request) -> Response:
        try:
            body = await _body(request)
            async with slots:
                return await run_in_threadpool(_answer, page, context, request, body)
        except WorkerError as error:
            return error_response(request, error)
        except ClientDisconnect:
            return Response(status_code=400)  # the client is gone

    return endpoint


async def _body(request: Request) -> bytes:
    too_large = BodyTooLarge("The request is too large.", f"Send at most {LARGEST_BODY // 1024} KiB.")
    read = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for part in request.stream():
                read += part
                if len(read) > LARGEST_BODY:
                    raise too_large
    except TimeoutError as error:
        raise BadInput("The request did not arrive in time.", "Send it again.") from error
    return bytes(read)


def _answer(page: Page, context: WebContext, request: Request, body: bytes) -> Response:
    try:
        return _answered(page, context, request, body)
    except WorkerError as error:
        if status_of(error) >= 500:
            log.warning("a request was not answered: %s", error.what, extra={"reason": error.what})
        return error_response(request, error)
    except Exception:
        log.exception("a request met an internal error; see the traceback below")
        advice = "Try again. If it stays, the worker's log has the reason."
        return error_response(request, WorkerError("The worker met an internal error.", advice))


def _answered(page: Page, context: WebContext, request: Request, body: bytes) -> Response:
    named = request.path_params.get("account_id")
    account_id = AccountId(named) if named is not None else None
    with closing(context.open_database()) as db:
        now = context.parts.clock()
        given = request.headers.get(forwarding.HEADER)
        target = _target(request)
        visitor = (
            forwarding.visitor_of(context.signer("forwarded"), context.seen, given, request.method, target, body, now)
            if given is not None
            else _visitor(context, request, db, now)
        )
        request.state.visitor = visitor
        if visitor is None and page.need is not Need.NOTHING:
            raise NotSignedIn
        if visitor is not None and not visitor.may(page.need, account_id):
            advice = "Open the page of your own account, from your billmywork settings."
            raise NotAllowed("This page is not for you.", advice)
        call = Call(request, context, db, visitor, account_id, body, now)
        if request.method not in SAFE:
            _check_origin(call)
        if account_id is not None and not page.anywhere:
            url = context.elsewhere(db, account_id)
            if url is not None and given is not None:
                # Requests are forwarded once. What this worker has of the account is out of date.
                raise forwarding.away("the account has just moved")
            if url is not None:
                return _forwarded(call, url, target)
        return page.handle(call)


def _target(request: Request) -> str:
    path = quote(request.url.path, safe="/~")
    return f"{path}?{request.url.query}" if request.url.query else path


def _forwarded(call: Call, url: str, target: str) -> Response:
    request = call.request
    headers = {name: request.headers[name] for name in forwarding.FORWARDED_HEADERS if name in request.headers}
    headers[forwarding.HEADER] = forwarding.signed(
        call.context.signer("forwarded"), call.me, request.method, target, call.body, call.now
    )
    if not call.context.forwarding.acquire(timeout=forwarding.WAIT_SECONDS):
        raise forwarding.away("it does not answer, and other requests wait for it")
    try:
        answer = forwarding.forward(url, request.method, target, headers, call.body)
    finally:
        call.context.forwarding.release()
    return Response(answer.body, answer.status, answer.headers)


def _visitor(context: WebContext, request: Request, db: Database, now: datetime) -> Visitor | None:
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        check_token(context, request, given.strip())
        return Visitor(None)
    found = session_of_request(context, request, db, now)
    return found.visitor if found is not None else None


def session_of_request(context: WebContext, request: Request, db: Database, now: datetime) -> Session | None:
    """Returns the session of the request's cookie; None without a valid one."""
    value = request.cookies.get(cookie_name(context))
    return sessions.session_of(context.signer("session"), db, value, now) if value else None


def check_token(context: WebContext, request: Request, given: str) -> None:
    """Checks the operators' token.

    Raises:
        NotSignedIn: it is wrong, or none is configured.
        TooManyTries: it was wrong too often.
    """
    address = address_of(request)
    context.failed_logins.check(address)
    wanted = context.parts.config.web.token.get_secret_value()
    if not wanted or not same(wanted, given):
        context.failed_logins.failed(address)
        raise NotSignedIn


def address_of(request: Request) -> str:
    """Returns the client's address."""
    return request.client.host if request.client is not None else ""


def cookie_name(context: WebContext) -> str:
    """Returns the session cookie's name. Browsers accept the __Host- prefix only over https, for this host only."""
    return SECURE_COOKIE if context.parts.config.web.secure else COOKIE


def _check_origin(call: Call) -> None:
    """Refuses a cross-site request (CSRF)."""
    if call.request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        raise NotAllowed("Another site sent this request.", "Use the forms of this site.")
    if call.visitor is None or call.visitor.session is None:
        return  # there is no session to misuse
    given = call.request.headers.get("x-csrf-token") or call.field("csrf")
    if not same(call.csrf, given):
        raise NotAllowed("This form is out of date.", "Load the page again, then send the form from there.")


def _content_type(request: Request) -> str:
    return request.headers.get("content-type", "").lower()


def error_response(request: Request, error: WorkerError) -> Response:
    """Returns an error as a page, or for programs as an RFC 9457 problem."""
    status = status_of(error)
    headers = {"Retry-After": "60"} if status in (429, 503) else {}
    if isinstance(error, NotSignedIn):
        headers["WWW-Authenticate"] = 'Bearer realm="mailchimp-worker"'
    if for_programs(request):
        return JSONResponse(problem_of(error), status, headers, media_type="application/problem+json")
    return HTMLResponse(_error_page(request, error, status), status, headers)


def _error_page(request: Request, error: WorkerError, status: int) -> str:
    path = request.url.path
    of_account, visitor = path.startswith("/accounts/"), getattr(request.state, "visitor", None)
    what, advice = message_for_owner(error) if of_account else (error.what, error.advice)
    operator = visitor is not None and visitor.operator
    settings = quote("/".join(path.split("/")[:3]), safe="/~") + "/mailchimp" if of_account and visitor else None
    again = request.method in SAFE and (status >= 500 or isinstance(error, TooManyTries))
    return render(
        "problem.html",
        what=what,
        advice=advice,
        more=f"{error.what} {error.advice}" if of_account and operator and what != error.what else None,
        sign_in=isinstance(error, NotSignedIn),
        again=_target(request) if again else None,
        settings=None if again else settings,
    )


def for_programs(request: Request) -> bool:
    """Returns whether the route is for programs."""
    return request.url.path.startswith("/api/")
