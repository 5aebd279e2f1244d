"""`demo --serve`: runs the daemon with its pages, on the embedded broker and the stand-in."""

from __future__ import annotations

import http.client
import secrets
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager

from worker.app import App
from worker.config import Web
from worker.daemon import Daemon
from worker.errors import WebError
from worker.model import AccountId
from worker.web.access import sessions
from worker.web.access.signing import Signer

PORT = 8080
"""The port of the pages, if it is free; otherwise any."""
START_SECONDS = 30.0
END_SECONDS = 12.0
"""How long to wait for the end of the daemon, which takes less than ten seconds."""


def web_config() -> Web:
    """Returns the config of the demo's pages: for this machine only, with a random token."""
    return Web(port=_free_port(), token=secrets.token_urlsafe(18))  # type: ignore[arg-type]


def _free_port() -> int:
    for port in (PORT, 0):
        try:
            with closing(socket.create_server(("127.0.0.1", port))) as bound:
                return int(bound.getsockname()[1])
        except OSError:
            continue
    raise WebError("No port of this machine is free.", "End some other program, and try again.")


@contextmanager
def daemon_of(app: App) -> Iterator[None]:
    """Runs the daemon in a thread during the block, which starts once the pages can be used.

    Raises:
        WorkerError: the daemon ended at once; this is its error.
        WebError: the pages do not answer.
    """
    stop, ended = threading.Event(), threading.Event()
    failed: list[BaseException] = []

    def run() -> None:
        try:
            Daemon(app, stop).run()
        except BaseException as error:
            failed.append(error)
        finally:
            ended.set()

    thread = threading.Thread(target=run, name="daemon", daemon=True)
    thread.start()
    try:
        give_up_at = time.monotonic() + START_SECONDS
        while not _answers(app) and not ended.wait(0.05):
            if time.monotonic() > give_up_at:
                raise WebError("The demo's pages do not answer.", "Try the demo again.")
        if failed:
            raise failed[0]
        yield
    finally:
        stop.set()
        thread.join(END_SECONDS)


def _answers(app: App) -> bool:
    """Returns whether ``/readyz`` says that the daemon is ready."""
    connection = http.client.HTTPConnection("127.0.0.1", app.config.web.port, timeout=2)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def links_of(app: App, accounts: Sequence[AccountId]) -> list[tuple[str, str]]:
    """Returns a new link for each account: its id and the URL, which works once, within five minutes."""
    signer, url, now = Signer(app.secret.derived("web link")), app.config.web.url, app.clock()
    return [
        (account_id, f"{url}/open?link={sessions.new_link(signer, account_id, 'You', now)}") for account_id in accounts
    ]
