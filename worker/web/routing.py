"""What every route does before its own work: reads the request, identifies the visitor, and checks permissions.

A route's work is a plain function. It runs in a thread with its own connection, so that the event loop can answer
/healthz and /metrics meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from worker.errors import WorkerError
from worker.model import AccountId
from worker.web import forwarding
from worker.web.access.authentication import check_origin, visitor_of_request
from worker.web.access.visitor import Need
from worker.web.call import SAFE_METHODS, Call, WebContext, target_of
from worker.web.error_responses import error_response
from worker.web.errors import BadInput, BodyTooLarge, Busy, NotAllowed, NotSignedIn, status_of
from worker.web.forwarding import ForwardedRequest

log = logging.getLogger("worker.web")

LARGEST_BODY = 64 * 1024
"""Bytes of a request body."""
BODY_SECONDS = 10.0
"""How long to wait for a request body."""
MOST_AT_ONCE = 8
"""Requests handled at the same time."""
MOST_WAITING = 32
"""Requests that wait for that; any more are refused."""
Handle = Callable[[Call], Response]


@dataclass(frozen=True, slots=True)
class Page:
    """A route before it is bound to a context.

    Attributes:
        path: with {account_id} if it is about one account.
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

    def __init__(self) -> None:
        self._taken = 0
        self._free = asyncio.Semaphore(MOST_AT_ONCE)

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Waits for a slot, and releases it after the block.

        Raises:
            Busy: too many are waiting already.
        """
        if self._taken >= MOST_AT_ONCE + MOST_WAITING:
            raise Busy("The worker is too busy now.", "Try again in a few seconds.")
        self._taken += 1
        try:
            async with self._free:
                yield
        finally:
            self._taken -= 1


def routes(pages: Sequence[Page], context: WebContext, slots: Slots) -> list[Route]:
    """Returns pages as routes."""
    return [Route(page.path, _endpoint(page, context, slots), methods=list(page.methods)) for page in pages]


def _endpoint(page: Page, context: WebContext, slots: Slots) -> Callable[[Request], Any]:
    async def endpoint(request: Request) -> Response:
        try:
            body = await _body(request)
            async with slots.slot():
                return await run_in_threadpool(_answer, page, context, request, body)
        except WorkerError as error:
            return error_response(request, error)
        except ClientDisconnect:
            return Response(status_code=400)  # the client is gone

    return endpoint


async def _body(request: Request) -> bytes:
    too_large = BodyTooLarge("The request is too large.", f"Send at most {LARGEST_BODY // 1024} KiB.")
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for part in request.stream():
                body += part
                if len(body) > LARGEST_BODY:
                    raise too_large
    except TimeoutError as error:
        raise BadInput("The request did not arrive in time.", "Send it again.") from error
    return bytes(body)


def _answer(page: Page, context: WebContext, request: Request, body: bytes) -> Response:
    try:
        return _answered(page, context, request, body)
    except WorkerError as error:
        if status_of(error) >= 500:
            log.warning("a request was not answered: %s", error.message, extra={"reason": error.message})
        return error_response(request, error)
    except Exception:
        log.exception("a request met an internal error; see the traceback below")
        advice = "Try again. If it stays, the worker's log has the reason."
        return error_response(request, WorkerError("The worker met an internal error.", advice))


def _answered(page: Page, context: WebContext, request: Request, body: bytes) -> Response:
    in_path = request.path_params.get("account_id")
    account_id = AccountId(in_path) if in_path is not None else None
    with closing(context.app.open_database()) as db:
        now = context.app.clock()
        forwarded_request = ForwardedRequest(request.method, target_of(request), body)
        signature = request.headers.get(forwarding.HEADER)
        visitor = (
            forwarding.visitor_of(context.signer("forwarded"), context.seen_requests, signature, forwarded_request, now)
            if signature is not None
            else visitor_of_request(context, request, db, now)
        )
        request.state.visitor = visitor
        if visitor is None and page.need is not Need.NOTHING:
            raise NotSignedIn
        if visitor is not None and not visitor.may(page.need, account_id):
            advice = "Open the page of your own account, from your billmywork settings."
            raise NotAllowed("This page is not for you.", advice)
        call = Call(request, context, db, visitor, account_id, body, now)
        if request.method not in SAFE_METHODS:
            check_origin(call)
        if account_id is not None and not page.anywhere:
            url = context.elsewhere(db, account_id)
            if url is not None and signature is not None:
                # Requests are forwarded once. What this worker has of the account is out of date.
                raise forwarding.away("the account has just moved")
            if url is not None:
                return _forwarded(call, url, forwarded_request)
        return page.handle(call)


def _forwarded(call: Call, url: str, request: ForwardedRequest) -> Response:
    received, context = call.request.headers, call.context
    headers = {name: received[name] for name in forwarding.FORWARDED_HEADERS if name in received}
    headers[forwarding.HEADER] = forwarding.signed(context.signer("forwarded"), call.signed_in, request, call.now)
    if not context.forwarding.acquire(timeout=forwarding.WAIT_SECONDS):
        raise forwarding.away("it does not answer, and other requests wait for it")
    try:
        return forwarding.forward(url, request, headers)
    finally:
        context.forwarding.release()
