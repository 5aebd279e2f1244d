"""Serves the stand-in over HTTP: Mailchimp's API below ``/3.0``, and its own endpoints below ``/sandbox``."""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import socket
import threading
import time
from email.utils import format_datetime
from ipaddress import ip_address
from typing import Any, Self
from urllib.parse import parse_qsl

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from worker.mailchimp.answers import Answer
from worker.mailchimp.calls import Call
from worker.sandbox.control import control
from worker.sandbox.errors import Problem
from worker.sandbox.server_state import StandIn

BASE = "/3.0"
START_SECONDS = 10.0


class SandboxServer:
    """A context manager that serves a stand-in from its own thread."""

    def __init__(self, standin: StandIn, host: str = "127.0.0.1", port: int = 0) -> None:
        """Binds the port.

        Args:
            port: 0 for any free port.

        Raises:
            OSError: the port cannot be bound.
        """
        # With IPPROTO_TCP: asyncio disables Nagle's algorithm, which costs 40 ms per call, only for such sockets.
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self._socket.bind((host, port))
        except OSError:
            self._socket.close()
            raise
        self._application = Application(standin)
        config = uvicorn.Config(
            self._application,
            log_level="critical",  # a connection that is cut on purpose would be logged as an error
            access_log=False,
            lifespan="off",
            ws="none",
            timeout_graceful_shutdown=1,
            date_header=False,  # the stand-in's time, not this machine's
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._serve, name="sandbox", daemon=True)
        # Not Thread.join: if Ctrl-C interrupts it, Python 3.11 believes that the thread has ended (bpo-45274).
        self._ended = threading.Event()
        self.port: int = self._socket.getsockname()[1]
        # On all addresses, a client in another container needs the name of this one.
        name = socket.gethostname() if ip_address(self._socket.getsockname()[0]).is_unspecified else host
        self.base_url = f"http://{name}:{self.port}{BASE}"

    def _serve(self) -> None:
        try:
            self._server.run(sockets=[self._socket])
        finally:
            self._ended.set()

    def __enter__(self) -> Self:
        self._thread.start()
        give_up_at = time.monotonic() + START_SECONDS
        while not self._server.started:
            if time.monotonic() > give_up_at or self._ended.is_set():
                raise TimeoutError("the sandbox did not start")
            time.sleep(0.005)
        return self

    def __exit__(self, *raised: object) -> None:
        self._application.close()
        self._server.should_exit = True
        if self._ended.wait(START_SECONDS):  # otherwise the server still needs it, and closes it
            self._socket.close()

    def join(self) -> None:
        """Waits until the server has been stopped."""
        self._ended.wait()


class Application:
    """The web application of a stand-in. Calls use ASGI without a framework, because benchmarks wait for them."""

    def __init__(self, standin: StandIn) -> None:
        self._standin = standin
        self._control: ASGIApp = control(standin)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closing = asyncio.Event()

    def close(self) -> None:
        """Ends calls that a fault left without an answer. Thread-safe."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._closing.set)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        self._loop = asyncio.get_running_loop()
        path: str = scope["raw_path"].decode("ascii")
        if path != BASE and not path.startswith(f"{BASE}/"):
            await self._control(scope, receive, send)
            return
        call = _call(scope, path[len(BASE) :] or "/", await _body_of(receive))
        answer = call.answer() if isinstance(call, Problem) else await self._answer(_key(scope), call, receive)
        if answer.failure is not None:
            # The length announces more than is sent, so the server cuts the connection within the answer.
            await _send(send, 200, b'{"half', "application/json", promised=1000)
            return
        date = format_datetime(answer.date, usegmt=True).encode() if answer.date is not None else None
        await _send(send, *_rendered(answer), date=date)

    async def _answer(self, key: str, call: Call, receive: Receive) -> Answer:
        with self._standin.in_flight(key) as crowded:
            # Even without latency, so that calls that arrive together are in flight together.
            await asyncio.sleep(self._standin.latency)
            answer = self._standin.answer(key, call, crowded=crowded)
            if answer.failure == "timeout":
                await self._hang(receive)
            return answer

    async def _hang(self, receive: Receive) -> None:
        waits = {asyncio.ensure_future(receive()), asyncio.ensure_future(self._closing.wait())}
        _, pending = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for task in pending:
            task.cancel()


async def _body_of(receive: Receive) -> bytes:
    parts = bytearray()
    while True:
        message = await receive()
        parts += message.get("body", b"")
        if not message.get("more_body", False):
            return bytes(parts)


async def _send(
    send: Send, status: int, content: bytes, kind: str, promised: int | None = None, date: bytes | None = None
) -> None:
    length = str(len(content) if promised is None else promised).encode()
    headers = [] if status == 204 else [(b"content-type", kind.encode()), (b"content-length", length)]
    headers += [(b"date", date)] if date is not None else []
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content})


def _rendered(answer: Answer) -> tuple[int, bytes, str]:
    assert answer.status is not None, "an answer without a failure has a status"
    if answer.status == 204:
        return 204, b"", ""
    if answer.body is None:
        return answer.status, b"<html>This is no JSON.</html>", "text/html"
    kind = "application/json" if answer.ok else "application/problem+json"
    return answer.status, json.dumps(answer.body).encode(), f"{kind}; charset=utf-8"


def _call(scope: Scope, path: str, body: bytes) -> Call | Problem:
    query = dict(parse_qsl(scope["query_string"].decode("ascii"), keep_blank_values=True))
    parsed: Any = None
    if body:
        try:
            parsed = json.loads(body)
        except (ValueError, RecursionError):
            return Problem(400, "JSON Parse Error", "We encountered an unspecified JSON parsing error.")
        if not isinstance(parsed, dict):
            return Problem(400, "Invalid Resource", "The body must be a JSON object.")
    return Call(scope["method"], path, query, parsed)


def _key(scope: Scope) -> str:
    header = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
    scheme, _, value = header.decode("latin-1").partition(" ")
    if scheme.lower() == "bearer":
        return str(value)
    try:
        return base64.b64decode(value).decode().partition(":")[2]
    except (binascii.Error, ValueError):
        return ""
