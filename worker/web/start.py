"""Starts the web server of a worker."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager

from worker.app import App
from worker.config import Web, is_loopback
from worker.consumer.owned_partitions import OwnedPartitions
from worker.errors import WebError
from worker.store.totals import why_not_writable
from worker.text.redaction import hide
from worker.web.announcer import Announcer
from worker.web.application import web_application
from worker.web.collector import WorkerCollector, registry_of
from worker.web.context import WebContext
from worker.web.forwarding import Elsewhere, SeenRequests
from worker.web.health import Health
from worker.web.server import WebServer


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
            collector = WorkerCollector(db, topic, owned_partitions, app.metrics, in_flight, app.clock)
            context = WebContext(
                app,
                owned_partitions.why_changelog_unread,
                Elsewhere(topic, owned_partitions.owned).url_of,
                seen_requests=SeenRequests(app.clock()),
            )
            # Announced before its ledger is read, which waits for the calls of a partition's previous worker.
            announcer = Announcer(app, owned_partitions.owned, owned_partitions.why_settings_unread)
            server.start(
                web_application(
                    health.live,
                    lambda: {"database_writable": why_not_writable(db), **health.ready()},
                    registry_of(collector),
                    context,
                )
            )
            stack.enter_context(closing(announcer)).start()

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
