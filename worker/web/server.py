"""Serves the web application in a thread of its own."""

from __future__ import annotations

import errno
import socket
import threading

import uvicorn
from starlette.types import ASGIApp

from worker.errors import WebError

END_SECONDS = 1.0
"""How long to wait for running requests at the end."""


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
