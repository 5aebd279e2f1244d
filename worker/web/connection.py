"""Limits the connections of the web server: how many there are, and how long one may be without a request."""

from __future__ import annotations

import asyncio
from typing import cast

from uvicorn.protocols.http.h11_impl import H11Protocol

MOST_CONNECTIONS = 200
"""At the same time. Each takes a file, of which the database and Kafka need some too."""
REQUEST_SECONDS = 10.0
"""Within this time a connection must send the line and the headers of a request."""


class LimitedConnection(H11Protocol):
    """A connection that ends if it sends no whole request in time, or if there are too many.

    uvicorn has a time limit only between two requests of a connection, and none for the first.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Takes a connection. If there are too many, one that has no request in progress ends for it."""
        if len(self.connections) >= MOST_CONNECTIONS:
            connections = cast("set[LimitedConnection]", self.connections)
            waiting = next((connection for connection in connections if connection.waits), None)
            (waiting.transport if waiting is not None else transport).abort()
            connections.discard(waiting or self)
        super().connection_made(transport)
        self._check_later()

    @property
    def waits(self) -> bool:
        """Whether no request is in progress."""
        return self.cycle is None or self.cycle.response_complete

    def _check_later(self) -> None:
        self.loop.call_later(REQUEST_SECONDS, self._check, self.cycle)

    def _check(self, cycle: object) -> None:
        if self.transport.is_closing():
            return
        if self.waits and self.cycle is cycle:
            self.transport.abort()
        else:
            self._check_later()
