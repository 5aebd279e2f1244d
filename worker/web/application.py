"""The web application: health and metrics, which hold no personal data and need no token; the pages and the API.

Its headers restrict what browsers do with the pages: frames, caching, referrers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from worker.web.access import signing_in
from worker.web.api import routes as api_routes
from worker.web.call import WebContext
from worker.web.error_responses import error_response
from worker.web.errors import BadInput, PageNotFound, WrongMethod
from worker.web.health import Conditions
from worker.web.pages import routes as page_routes
from worker.web.routing import Page, Slots, routes

STATIC = Path(__file__).parent / "static"
PAGES: Sequence[Page] = (*signing_in.PAGES, *page_routes.PAGES, *api_routes.PAGES)
"""All pages, and the routes of the API."""


def web_application(
    live: Callable[[], Conditions], ready: Callable[[], Conditions], registry: CollectorRegistry, context: WebContext
) -> Starlette:
    """Returns the application.

    Health and metrics run in the server's only thread, so what they read need not be shared; all other work has threads
    of its own.

    Args:
        live: must hold, or the worker must be restarted.
        ready: must hold for a worker that can do its work.
    """

    async def healthz(request: Request) -> Response:
        return _answer("live", live())

    async def readyz(request: Request) -> Response:
        return _answer("ready", ready())

    async def metrics(request: Request) -> Response:
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(registry), media_type=content_type)

    all_routes: list[BaseRoute] = [
        Route("/healthz", healthz),
        Route("/readyz", readyz),
        Route("/metrics", metrics),
        *routes(PAGES, context, Slots()),
        Mount("/static", StaticFiles(directory=STATIC)),
    ]
    embed = context.app.config.web.embed_origins
    return Starlette(
        routes=all_routes,
        middleware=[Middleware(SecurityHeaders, embed_origins=embed)],
        exception_handlers={HTTPException: _http_error},
    )


async def _http_error(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    if status == 404:
        return error_response(request, PageNotFound("There is no such page.", "Check the address."))
    if status == 405:
        advice = "See /api/v1/openapi.json for what there is."
        answer = error_response(request, WrongMethod("This page does not support that method.", advice))
        answer.headers.update(getattr(error, "headers", None) or {})
        return answer
    return error_response(request, BadInput("The request cannot be read.", "Check what was sent."))


def _answer(probe: str, conditions: Conditions) -> Response:
    missing = [name for name, reason in conditions.items() if reason is not None]
    data = {
        probe: not missing,
        "missing": missing,
        "conditions": {name: reason or "ok" for name, reason in conditions.items()},
    }
    return JSONResponse(data, status_code=503 if missing else 200, headers={"Cache-Control": "no-store"})


def security_headers(embed_origins: str) -> dict[str, str]:
    """Returns the headers of every response.

    Args:
        embed_origins: sites that may show the pages in a frame, separated by spaces; "" for none.
    """
    policy = {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "img-src": "'self' data:",
        "font-src": "'self'",
        "connect-src": "'self'",
        "form-action": "'self'",
        "base-uri": "'none'",
        "frame-ancestors": embed_origins or "'none'",
    }
    headers = {
        "Content-Security-Policy": "; ".join(f"{name} {value}" for name, value in policy.items()),
        "Referrer-Policy": "strict-origin",  # with none, browsers send the origin of a form as null
        "X-Content-Type-Options": "nosniff",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
        "Cache-Control": "no-store",
    }
    return headers if embed_origins else {**headers, "X-Frame-Options": "DENY"}


class SecurityHeaders:
    """Middleware that adds them to every response that does not set them itself."""

    def __init__(self, app: ASGIApp, embed_origins: str) -> None:
        self._app, self._headers = app, security_headers(embed_origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles a request."""

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, sending)
