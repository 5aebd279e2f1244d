"""Calls Mailchimp over HTTP: the only module that imports ``requests``."""

from __future__ import annotations

import json
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from http.client import HTTPException
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self
from urllib.parse import urlencode

import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.auth import HTTPBasicAuth
from requests.utils import DEFAULT_CA_BUNDLE_PATH
from urllib3.util.ssl_ import create_urllib3_context

from worker import __version__
from worker.errors import ConfigError
from worker.mailchimp import kept_connection
from worker.mailchimp.api_key import ApiKey
from worker.mailchimp.call import Answer, Call, Failure, moment_of
from worker.mailchimp.timers import Timers
from worker.text.redaction import hide

CONNECT_SECONDS = 10.0
"""How long connecting may take, where the timeout allows more."""

LARGEST_ANSWER = 16 * 1024 * 1024
"""Bytes of an unpacked answer. The largest expected, to an add of 500 contacts, has less than a tenth of this."""
CHUNK = 64 * 1024
"""Bytes of an answer read at a time."""

_Outcome = tuple[int, bytes, str | None] | Failure
"""Status, content and Date header of an answer, or why there is none."""
_HEADERS = {
    "User-Agent": f"mailchimp-worker/{__version__}",
    "Accept": "application/json",
    "Content-Type": "application/json",
}
# Without EAI_AGAIN, which means that the lookup itself failed, not that the name is unknown.
_NO_SUCH_HOST = {socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)}
_MISCONFIGURED = (
    requests.exceptions.InvalidURL,
    requests.exceptions.InvalidSchema,
    requests.exceptions.MissingSchema,
)


class Client:
    """Sends calls with one API key. Thread-safe: each call has a connection to itself.

    It never retries and follows no redirects. Connections are reused. Proxies and certificates come from the
    environment, as operators expect of ``requests``.
    """

    def __init__(self, key: ApiKey, base_url: str, timeout: float) -> None:
        """Opens no connection yet.

        Args:
            key: its data centre replaces ``{dc}`` in the URL.
            base_url: Mailchimp's URL up to ``/3.0``, without a trailing slash.
            timeout: seconds until an answer must be complete, however slowly it arrives.
        """
        hide(key.reveal())
        self._base_url = base_url.replace("{dc}", key.data_centre)
        self._timeout = timeout
        # Set on every request, so that no .netrc overrides it.
        self._auth = HTTPBasicAuth("mailchimp-worker", key.reveal())
        self._timers = Timers(timeout)
        self._idle: list[_Adapter] = []
        self._lock = threading.Lock()

    @cached_property
    def _defaults(self) -> _Defaults:
        # Prepared once: it takes as long as a call.
        prepared = requests.Request("GET", self._base_url, headers=_HEADERS, auth=self._auth).prepare()
        environment = requests.Session().merge_environment_settings(prepared.url, {}, False, None, None)
        url, proxies = str(prepared.url), environment["proxies"]
        context = _tls(environment["verify"]) if url.startswith("https:") else None
        origin = url.removesuffix(HTTPAdapter().request_url(prepared, proxies))
        return _Defaults(url, origin, dict(prepared.headers), proxies, context)

    def send(self, call: Call) -> Answer:
        """Sends one call and waits for its answer. Never raises for a failure of Mailchimp or the network.

        Raises:
            ConfigError: the configured URL, proxy or certificates cannot be used.
        """
        started = time.monotonic()
        with _config_explained():
            defaults = self._defaults
            request = defaults.request(call)
            with self._adapter() as adapter:
                outcome = adapter.exchange(request, self._timeout, defaults)
        seconds = time.monotonic() - started
        if isinstance(outcome, str):
            return Answer(None, failure=outcome, seconds=seconds)
        status, content, date = outcome
        return Answer(status, _json_object(content), seconds=seconds, date=moment_of(date))

    @contextmanager
    def _adapter(self) -> Iterator[_Adapter]:
        with self._lock:
            adapter = self._idle.pop() if self._idle else _Adapter(self._timers, self._defaults.tls)
        try:
            yield adapter
        finally:
            with self._lock:
                self._idle.append(adapter)

    def close(self) -> None:
        """Closes the idle connections."""
        with self._lock:
            idle, self._idle = self._idle, []
        for adapter in idle:
            adapter.close()
        self._timers.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        """Returns the base URL, without the key."""
        return f"Client({self._base_url})"


@dataclass(frozen=True, slots=True)
class _Defaults:
    """What all calls have in common.

    Attributes:
        url: up to the path of a call.
        origin: the part of it that a request line leaves out; empty for a proxy, which needs the whole URL.
        proxies: from the environment, by scheme.
        tls: None for plain HTTP.
    """

    url: str
    origin: str
    headers: Mapping[str, str]
    proxies: Mapping[str, str]
    tls: ssl.SSLContext | None

    def request(self, call: Call) -> requests.PreparedRequest:
        """Returns the prepared request of a call."""
        made = requests.PreparedRequest()
        made.method = call.method
        made.url = f"{self.url}{call.path}?{urlencode(call.query)}" if call.query else self.url + call.path
        headers = dict(self.headers)
        if call.body is not None:
            made.body = json.dumps(call.body).encode()
        if call.body is not None or not call.reads_only:
            headers["Content-Length"] = str(len(made.body or b""))
        made.headers = headers  # type: ignore[assignment]
        return made


@lru_cache(maxsize=4)
def _tls(verify: Literal[True] | str) -> ssl.SSLContext:
    """Returns a TLS context that trusts the certificates of a file or folder, or those that ``requests`` trusts."""
    context = create_urllib3_context()
    trusted = DEFAULT_CA_BUNDLE_PATH if verify is True else verify
    try:
        folder = Path(trusted).is_dir()
        context.load_verify_locations(None if folder else trusted, trusted if folder else None)
    except OSError as error:
        raise OSError(f"the certificates in {trusted} cannot be read: {error.strerror or error}") from None
    return context


class _Adapter(HTTPAdapter):
    """One connection, used by one call at a time, with a limit for the whole exchange.

    ``requests`` limits each read, not the whole answer: one that arrives byte by byte would hold its connection
    forever.
    """

    def __init__(self, timers: Timers, tls: ssl.SSLContext | None) -> None:
        self._tls = {} if tls is None else {"ssl_context": tls}
        self._pool: Any = None
        super().__init__(pool_connections=1, pool_maxsize=1, max_retries=0)
        self._timers = timers
        self._lock = threading.Lock()
        self._connection: Any = None
        self._socket: Any = None
        self._seconds = 0.0
        self._number = 0  # of the exchange: a timer that expires late must not abort the next one
        self._late = False
        self._sent = False

    def exchange(self, request: requests.PreparedRequest, seconds: float, defaults: _Defaults) -> _Outcome:
        """Returns the status, content and Date header received within so many seconds, or why there is none."""
        with self._lock:
            self._number += 1
            self._seconds, self._late, self._sent = seconds, False, False
        timer = self._timers.start(partial(self._abort, self._number))
        try:
            if defaults.origin and self._connection is not None and self._connection.is_connected:
                outcome = self._send_again(request, defaults)
            else:
                outcome = self._send_first(request, defaults)
        finally:
            timer.cancel()
            with self._lock:
                self._socket = None
        # Checked even after a full read: without a Content-Length, an aborted answer looks complete.
        return "timeout" if self._late and self._sent else outcome

    def _send_first(self, request: requests.PreparedRequest, defaults: _Defaults) -> _Outcome:
        # The timer decides what is late; the read timeout is only a backstop.
        limits = (min(CONNECT_SECONDS, self._seconds), self._seconds + 1)
        try:
            # Not Session.send, which parses the target of a redirect and may raise for it.
            response = self.send(request, stream=True, timeout=limits, proxies=dict(defaults.proxies))
            return _content(response.raw)
        except _MISCONFIGURED:
            raise
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            return self._failure(error)

    def _send_again(self, request: requests.PreparedRequest, defaults: _Defaults) -> _Outcome:
        # Proxy, certificates and time limits are those of the first request: what is the same is not done for each.
        connection, method = self._connection, str(request.method)
        target, length = str(request.url).removeprefix(defaults.origin), request.headers.get("Content-Length")
        whole = kept_connection.request(connection.headers, method, target, request.body, length)  # type: ignore[arg-type]
        if whole is None:
            return self._send_first(request, defaults)
        try:
            self._watch(connection)
            with suppress(BrokenPipeError):  # an answer may have come before
                connection.sock.sendall(whole)
            outcome = _answer(connection, method)
        except (OSError, HTTPException, urllib3.exceptions.HTTPError) as error:
            outcome = self._failure(error)
        if isinstance(outcome, str):
            connection.close()  # the rest of an answer may still be unread
        return outcome

    def close(self) -> None:
        """Closes its connection now: without this, urllib3 closes it once Python has found the cycle that it is in."""
        super().close()
        if self._pool is not None:
            self._pool.close()
        if self._connection is not None:
            self._connection.close()

    # Overrides of HTTPAdapter: done once instead of for each call

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
        """Returns the URL's connection pool, whose connections register with this adapter before they send."""
        if self._pool is None:
            self._pool = super().get_connection_with_tls_context(*args, **kwargs)
            self._pool.ConnectionCls = _watched(self._pool.ConnectionCls, self._watch)
        return self._pool

    def build_connection_pool_key_attributes(self, *args: Any, **kwargs: Any) -> Any:
        """Returns the pool's key, with this client's TLS context."""
        host, _ = super().build_connection_pool_key_attributes(*args, **kwargs)
        return host, dict(self._tls)

    def cert_verify(self, *args: Any, **kwargs: Any) -> None:
        """Does nothing: the pool has its TLS context already."""

    def build_response(self, req: requests.PreparedRequest, resp: Any) -> requests.Response:
        """Returns a response without cookies, which Mailchimp's API does not use."""
        response = requests.Response()
        response.raw = resp
        return response

    def _watch(self, connection: Any) -> None:
        with self._lock:
            self._connection, self._socket = connection, connection.sock
            if self._late:
                raise TimeoutError
        self._sent = True
        if self._socket.gettimeout() < self._seconds:
            self._socket.settimeout(self._seconds)  # until now it had the connect timeout

    def _abort(self, number: int) -> None:
        with self._lock:
            if number != self._number:
                return
            self._late = True
            if self._socket is None:
                return
            beneath = getattr(self._socket, "socket", self._socket)  # of TLS within a proxy's TLS
            try:
                # Not through TLS, whose shutdown would end the session while another thread reads from it.
                socket.socket.shutdown(beneath, socket.SHUT_RDWR)
            except OSError:
                return  # it has just ended by itself

    def _failure(self, error: Exception) -> Failure:
        if self._sent:
            return "connection"
        return "unknown_host" if _is_unknown_host(error) else "unconnected"


def _answer(connection: Any, method: str) -> _Outcome:
    with connection.sock.makefile("rb") as stream:
        head = kept_connection.read_head(stream, CHUNK)
        if isinstance(head, kept_connection.PlainHead):
            return head.status, head.body(stream), head.date
        answer = kept_connection.read_again(head, stream, method)
        headers = urllib3.HTTPHeaderDict(answer.getheaders())
        raw = urllib3.HTTPResponse(answer, headers, answer.status, preload_content=False, request_method=method)
        outcome = _content(raw)
    if answer.will_close:
        connection.close()
    return outcome


def _content(raw: Any) -> _Outcome:
    if raw.length_remaining is not None and raw.length_remaining <= CHUNK and "Content-Encoding" not in raw.headers:
        content = raw.read()
    else:
        # In parts: a compressed answer of a few kilobytes may unpack to any size.
        content = bytearray()
        for part in raw.stream(CHUNK, decode_content=True):
            content += part
            if len(content) > LARGEST_ANSWER:
                raw.close()
                return "too_large"
    raw.release_conn()
    return raw.status, bytes(content), raw.headers.get("Date")


def _watched(connection: Any, watch: Any) -> Any:
    """Returns a class of connections that show themselves before they send, and send a request as a whole.

    Its `headers` are those of the last request that are the same for the next one.
    """

    class Watched(connection):  # type: ignore[misc]  # urllib3 chooses the class: plain or TLS
        watched = True
        parts: list[bytes] | None = None
        headers = b""

        def request(self, *args: Any, **kwargs: Any) -> None:
            self.parts = []
            try:
                super().request(*args, **kwargs)
                whole = b"".join(self.parts)
                self.headers = kept_connection.same_headers(whole.partition(b"\r\n\r\n")[0])
            finally:
                self.parts = None
            self.send(whole)

        def send(self, data: Any) -> Any:
            if self.parts is not None:
                self.parts.append(data)
                return None
            if self.sock is None:
                self.connect()
            watch(self)
            return super().send(data)

    return Watched


def _is_unknown_host(error: Exception) -> bool:
    reason = getattr(error.args[0] if error.args else None, "reason", None)
    cause = reason.__cause__ if isinstance(reason, urllib3.exceptions.NameResolutionError) else None
    return isinstance(cause, socket.gaierror) and cause.errno in _NO_SUCH_HOST


@contextmanager
def _config_explained() -> Iterator[None]:
    try:
        yield
    except OSError as error:  # those of requests are OSErrors too; network errors were caught before
        raise ConfigError(
            f"Mailchimp cannot be called with what is configured: {error}.",
            "Check mailchimp.base_url (WORKER_MAILCHIMP__BASE_URL) and the variables HTTPS_PROXY, HTTP_PROXY and "
            "REQUESTS_CA_BUNDLE of the environment.",
        ) from None


def _json_object(content: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
