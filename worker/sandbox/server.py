"""The stand-in over HTTP: its calls as Mailchimp takes them, and what only a stand-in has under ``/sandbox``."""

from __future__ import annotations

import base64
import binascii
import json
import socket
import threading
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, Self

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from worker.mailchimp.call import Answer, Call
from worker.sandbox.faults import Fault
from worker.sandbox.standin import StandIn

BASE = "/3.0"
START_SECONDS = 10.0
HANG_SECONDS = 600.0
"""How long a call without an answer is left hanging; its client gives up before."""

Handler = Callable[[Request], Awaitable[Response]]


class SandboxServer:
    """Serves a stand-in from a thread of its own, as a context manager."""

    def __init__(self, standin: StandIn, host: str = "127.0.0.1", port: int = 0) -> None:
        """Binds the port.

        Args:
            standin: what answers.
            host: address to listen on.
            port: 0 for any that is free.

        Raises:
            OSError: the port cannot be had.
        """
        self._closing = threading.Event()
        # Named as TCP: asyncio turns Nagle's algorithm off for such sockets only, which else costs 40 ms a call.
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self._socket.bind((host, port))
        except OSError:
            self._socket.close()
            raise
        # A connection that is cut on purpose is an error to the server's log; there is nothing else in it.
        config = uvicorn.Config(
            application(standin, self._closing), log_level="critical", access_log=False, timeout_graceful_shutdown=1
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._serve, name="sandbox", daemon=True)
        self.port: int = self._socket.getsockname()[1]
        self.base_url = f"http://{host}:{self.port}{BASE}"

    def _serve(self) -> None:
        self._server.run(sockets=[self._socket])

    def __enter__(self) -> Self:
        self._thread.start()
        waited = threading.Event()
        for _ in range(int(START_SECONDS * 200)):
            if self._server.started:
                return self
            waited.wait(0.005)
        raise TimeoutError("the sandbox did not start")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        self._server.should_exit = True
        self._thread.join(START_SECONDS)
        self._socket.close()

    def join(self) -> None:
        """Waits until the server ends, which it does only when it is told to."""
        while self._thread.is_alive():
            self._thread.join(1)


def application(standin: StandIn, closing: threading.Event) -> Starlette:
    """Returns the web application around a stand-in."""
    control = _Control(standin)

    async def call(request: Request) -> Response:
        key = _key(request)
        body = await request.body()
        path = request.scope["raw_path"].decode("ascii").split("?")[0][len(BASE) :] or "/"
        made = Call(request.method, path, dict(request.query_params), _object(body))  # type: ignore[arg-type]
        return await run_in_threadpool(_answered, standin, key, made, closing)

    methods = ["GET", "POST", "PUT", "PATCH", "DELETE"]
    return Starlette(
        routes=[
            Route(BASE + "/{path:path}", call, methods=methods),
            Route("/sandbox/audit", control.audit),
            Route("/sandbox/calls", control.calls, methods=["GET", "DELETE"]),
            Route("/sandbox/faults", control.faults, methods=["PUT", "DELETE"]),
            Route("/sandbox/latency", control.latency, methods=["PUT"]),
            Route("/sandbox/keys", control.keys, methods=["PUT", "DELETE"]),
            Route("/sandbox/lists", control.lists, methods=["GET", "PUT", "DELETE"]),
            Route("/sandbox/by-hand", control.by_hand, methods=["POST"]),
        ]
    )


def _answered(standin: StandIn, key: str, call: Call, closing: threading.Event) -> Response:
    answer = standin.handle(key, call)
    if answer.failure == "timeout":
        closing.wait(HANG_SECONDS)
    if answer.failure is not None:
        return _Cut()
    return _response(answer)


def _response(answer: Answer) -> Response:
    assert answer.status is not None, "an answer without a failure has a status"
    if answer.status == 204:
        return Response(status_code=204)
    if answer.body is None:
        return Response("<html>This is no JSON.</html>", answer.status, media_type="text/html")
    kind = "application/json" if answer.ok else "application/problem+json"
    return Response(json.dumps(answer.body), answer.status, media_type=f"{kind}; charset=utf-8")


class _Cut(Response):
    """Promises more than it sends, so that the connection is cut in the middle."""

    def __init__(self) -> None:
        super().__init__(b'{"half', media_type="application/json")
        self.raw_headers = [(b"content-type", b"application/json"), (b"content-length", b"1000")]


class _Control:
    """What only a stand-in has: people's acts, faults and what happened."""

    def __init__(self, standin: StandIn) -> None:
        self._standin = standin

    async def audit(self, request: Request) -> Response:
        return JSONResponse([one.as_json() for one in self._standin.audit.changes])

    async def calls(self, request: Request) -> Response:
        if request.method == "DELETE":
            self._standin.audit.calls.clear()
            return Response(status_code=204)
        return JSONResponse([one.as_json() for one in self._standin.audit.calls])

    async def faults(self, request: Request) -> Response:
        try:
            told = [] if request.method == "DELETE" else await request.json()
            self._standin.faults = [Fault.from_json(one) for one in told]
        except (TypeError, ValueError) as error:
            return _refused(error)
        return Response(status_code=204)

    async def latency(self, request: Request) -> Response:
        try:
            self._standin.latency = max(0.0, float((await request.json())["seconds"]))
        except (TypeError, ValueError, KeyError) as error:
            return _refused(error)
        return Response(status_code=204)

    async def keys(self, request: Request) -> Response:
        told = await request.json()
        if request.method == "DELETE":
            self._standin.revoke(told["key"])
        else:
            self._standin.add_key(told["key"], told["user"])
        return Response(status_code=204)

    async def lists(self, request: Request) -> Response:
        if request.method == "GET":
            found = [(user.name, one) for user in self._standin.users.values() for one in user.lists.values()]
            return JSONResponse(
                [
                    {"user": user, "list": one.as_json(), "members": [m.as_json() for m in one.members.values()]}
                    for user, one in found
                ]
            )
        told = await request.json()
        if request.method == "DELETE":
            self._standin.delete_list(told["list"])
        else:
            self._standin.create_list(told["user"], told["list"], told.get("name", told["list"]))
        return Response(status_code=204)

    async def by_hand(self, request: Request) -> Response:
        told = await request.json()
        try:
            self._standin.by_hand(told["list"], told["email"], told["act"], told.get("value"))
        except (KeyError, ValueError) as error:
            return _refused(error)
        return Response(status_code=204)


def _refused(error: Exception) -> Response:
    return JSONResponse({"error": str(error)}, status_code=400)


def _key(request: Request) -> str:
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return value
    try:
        return base64.b64decode(value).decode().partition(":")[2]
    except (binascii.Error, UnicodeDecodeError):
        return ""


def _object(body: bytes) -> dict[str, Any] | None:
    if not body:
        return None
    try:
        told = json.loads(body)
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}
