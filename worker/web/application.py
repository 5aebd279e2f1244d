"""The web application: health and metrics. Without personal data, so it asks for no token."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from worker.web.health import Conditions


def web_application(
    live: Callable[[], Conditions], ready: Callable[[], Conditions], registry: CollectorRegistry
) -> Starlette:
    """Returns the application. All of it runs in the server's one thread, so what it reads need not be shared.

    Args:
        live: what must hold for a worker that need not be started again.
        ready: what must hold for one that can do its work.
        registry: collects the metrics.
    """
    return Starlette(routes=[*_health_routes(live, ready), _metrics_route(registry)])


def _health_routes(live: Callable[[], Conditions], ready: Callable[[], Conditions]) -> list[Route]:
    async def healthz(request: Request) -> Response:
        return _answer("live", live())

    async def readyz(request: Request) -> Response:
        return _answer("ready", ready())

    return [Route("/healthz", healthz), Route("/readyz", readyz)]


def _answer(what: str, conditions: Conditions) -> Response:
    missing = [name for name, reason in conditions.items() if reason is not None]
    told = {
        what: not missing,
        "missing": missing,
        "conditions": {name: reason or "ok" for name, reason in conditions.items()},
    }
    return JSONResponse(told, status_code=503 if missing else 200, headers={"Cache-Control": "no-store"})


def _metrics_route(registry: CollectorRegistry) -> Route:
    async def metrics(request: Request) -> Response:
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(registry), media_type=content_type)

    return Route("/metrics", metrics)
