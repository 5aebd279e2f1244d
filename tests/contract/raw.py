"""A server of which each test writes the answers byte by byte, and a client that calls it."""

from __future__ import annotations

import socket
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from worker.mailchimp.answers import Answer
from worker.mailchimp.api_key import parse
from worker.mailchimp.calls import Call
from worker.mailchimp.client import Client

KEY = "0123456789abcdef0123456789abcdef-us21"
PING = Call("GET", "/ping")
PATCH = Call("PATCH", "/lists/a1/members/b2", body={"merge_fields": {"FNAME": "Zoë"}})
LONG, SHORT = 30.0, 0.5
WHOLE = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"


class Request:
    """A request as it came over the wire."""

    def __init__(self, head: bytes, body: bytes) -> None:
        """Takes the request line and headers, and the body."""
        line, *headers = head.decode("latin-1").split("\r\n")
        self.raw, self.line, self.body = head + b"\r\n\r\n" + body, line, body
        self.headers = {name.lower(): value for name, _, value in (one.partition(": ") for one in headers)}


class Raw:
    """A server of which each test writes the answers, byte by byte."""

    def __init__(self) -> None:
        """Answers 200 with an empty object until a test sets another answer."""
        self.requests: list[Request] = []
        self.connections = 0
        self.act: Callable[[socket.socket, Request], bool] = lambda peer, request: bool(peer.sendall(WHOLE)) or True
        self.ended = threading.Event()  # set once a connection has ended
        self.over = threading.Event()  # releases what hangs
        self.base_url = ""

    def says(self, answer: bytes) -> None:
        """Answers every request with these bytes and closes the connection."""

        def act(peer: socket.socket, request: Request) -> bool:
            peer.sendall(answer)
            return False

        self.act = act

    def serve(self, peer: socket.socket) -> None:
        """Reads requests from a connection until one is not to be followed by more."""
        self.connections += 1
        with peer.makefile("rb") as stream:
            while head := b"".join(iter(stream.readline, b"\r\n")) if stream.peek(1) else b"":
                length = [
                    int(one.split(b":")[1]) for one in head.split(b"\r\n") if one.lower().startswith(b"content-le")
                ]
                request = Request(head.rstrip(b"\r\n"), stream.read(length[0]) if length else b"")
                self.requests.append(request)
                if not self.act(peer, request):
                    return


@contextmanager
def serving() -> Iterator[Raw]:
    """Serves connections until the end, each in a thread of its own."""
    made = Raw()

    class _Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            try:
                made.serve(self.request)
            except OSError:
                return  # the client left
            finally:
                made.ended.set()

    class _Server(socketserver.ThreadingTCPServer):
        daemon_threads = True

    with _Server(("127.0.0.1", 0), _Handler) as server:
        made.base_url = f"http://127.0.0.1:{server.server_address[1]}/3.0"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield made
        made.over.set()
        server.shutdown()
        thread.join()


def send(raw: Raw, call: Call = PING, timeout: float = LONG) -> Answer:
    """Sends one call with a client of its own."""
    with Client(parse(KEY), raw.base_url, timeout) as client:
        return client.send(call)


def hanging(raw: Raw, *parts: bytes) -> None:
    """Sends these bytes, and then nothing."""

    def act(peer: socket.socket, request: Request) -> bool:
        for part in parts:
            peer.sendall(part)
        raw.over.wait(LONG)
        return False

    raw.act = act
