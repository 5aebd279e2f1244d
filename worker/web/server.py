"""Serves the web application of a worker in a thread of its own."""

from __future__ import annotations

import errno
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import partial

import uvicorn
from starlette.types import ASGIApp

from worker.app import App
from worker.config import Web, is_loopback
from worker.consumer.owned_partitions import OwnedPartitions
from worker.consumer.waiting import why_changelog_unread
from worker.errors import WebError
from worker.store.totals import why_not_writable
from worker.text.redaction import hide
from worker.web.application import web_application
from worker.web.call import WebContext
from worker.web.collector import WorkerCollector, registry_of
from worker.web.connection import LimitedConnection
from worker.web.forwarding import SeenRequests, other_worker
from worker.web.health import Health

END_SECONDS = 1.0
"""How long to wait for running requests at the end."""


@contextmanager
def web_server(app: App) -> Iterator[Callable[[Health, OwnedPartitions], None]]:
    """Binds the web server's port, if one is configured. Yields a function that starts serving a worker there.

    Raises:
        WebError: the port cannot be bound, or other machines could reach it without a token.
        DatabaseError: the database cannot be used.
    """
    web = app.config.web
    _require_token(web)
    if not web.port:
        yield lambda health, owned_partitions: None
        return
    with ExitStack() as stack:
        db = stack.enter_context(closing(app.open_database()))
        server = stack.enter_context(closing(WebServer(web.host, web.port)))
        db.must_end = lambda: True  # a probe waits for no lock

        def serve(health: Health, owned_partitions: OwnedPartitions) -> None:
            topic, in_flight = app.config.kafka.topic, app.limiters.in_flight
            collector = WorkerCollector(db, topic, owned_partitions, app.metrics, in_flight, app.clock, app.next_flush)
            context = WebContext(
                app,
                partial(why_changelog_unread, owned_partitions),
                partial(other_worker, topic, owned_partitions.owned),
                seen_requests=SeenRequests(app.clock()),
            )
            server.start(
                web_application(
                    health.live,
                    lambda: {"database_writable": why_not_writable(db), **health.ready()},
                    registry_of(collector),
                    context,
                )
            )

        yield serve


def _require_token(web: Web) -> None:
    if web.port and not web.token.get_secret_value() and not is_loopback(web.host):
        raise WebError(
            f"web.host is {web.host}, which other machines can reach, and no web.token is set.",
            "Set WORKER_WEB__TOKEN to 24 characters or more (openssl rand -hex 32), or listen on this machine only: "
            "WORKER_WEB__HOST=127.0.0.1. Health and metrics ask for no token.",
        )
    if token := web.token.get_secret_value():
        hide(token)


class WebServer:
    """Binds its port at once, so that a port in use fails the start before anything else."""

    def __init__(self, host: str, port: int) -> None:
        """Binds the port.

        Raises:
            WebError: it is in use, may not be used, or the host is not an address of this machine.
        """
        self._where = f"http://{host}:{port}"
        try:
            family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
            dual_stack = family == socket.AF_INET6 and socket.has_dualstack_ipv6()
            self._socket = socket.create_server((host, port), family=family, dualstack_ipv6=dual_stack)
        except OSError as error:
            raise _explained(host, port, error) from error
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """The server's URL, with its actual port."""
        return f"{self._where.rpartition(':')[0]}:{self._socket.getsockname()[1]}"

    def start(self, application: ASGIApp) -> None:
        """Starts to serve."""
        config = uvicorn.Config(
            application,
            http=LimitedConnection,
            log_config=None,
            access_log=False,
            lifespan="off",
            ws="none",
            server_header=False,
            timeout_graceful_shutdown=round(END_SECONDS),
        )
        self._server = server = uvicorn.Server(config)
        self._thread = threading.Thread(target=lambda: server.run(sockets=[self._socket]), name="web", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stops serving and releases the port."""
        if self._server is not None and self._thread is not None:
            self._server.should_exit = True
            self._thread.join(END_SECONDS)
        self._socket.close()


def _explained(host: str, port: int, error: OSError) -> WebError:
    advice = "Set web.port (WORKER_WEB__PORT) to a free port, or to 0 for no web server"
    if error.errno == errno.EADDRINUSE:
        return WebError(f"Port {port} on {host} is already in use.", f"{advice}, or end the process that has it.")
    if error.errno in (errno.EACCES, errno.EPERM):
        return WebError(f"This user may not listen on port {port}.", f"{advice}. Ports below 1024 often need rights.")
    return WebError(
        f"Nothing can listen on {host}, port {port}: {error.strerror or error}.",
        f"Set web.host (WORKER_WEB__HOST) to an address of this machine. {advice}.",
    )
