"""Calls to Mailchimp over HTTP: the only place that knows ``requests``."""

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
from worker.mailchimp.alarms import Alarms
from worker.mailchimp.api_key import ApiKey
from worker.mailchimp.call import Answer, Call, Failure, moment_of
from worker.text.redaction import hide

CONNECT_SECONDS = 10.0
"""How long making a connection may take, where the timeout allows more."""

LARGEST_ANSWER = 16 * 1024 * 1024
"""Bytes of an answer once it is unpacked. The largest that is asked for, of an add of 500, has less than a tenth."""
PART = 64 * 1024
"""Bytes of an answer that are read at once."""

_Outcome = tuple[int, bytes, str | None] | Failure
"""Status, content and Date of an answer, or why there is none."""
_HEADERS = {
    "User-Agent": f"mailchimp-worker/{__version__}",
    "Accept": "application/json",
    "Content-Type": "application/json",
}
# EAI_AGAIN is not among them: it says that no name could be looked up, not that this one is unknown.
_NO_SUCH_HOST = {socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)}
_MISCONFIGURED = (
    requests.exceptions.InvalidURL,
    requests.exceptions.InvalidSchema,
    requests.exceptions.MissingSchema,
)


class Client:
    """Sends calls with one API key. Threads may share it: each call has a connection to itself.

    It retries nothing and follows no redirect: an answer is handed back as it came. Connections are kept for the
    calls that follow. Proxies and certificates come from the environment, as operators expect of ``requests``.
    """

    def __init__(self, key: ApiKey, base_url: str, timeout: float) -> None:
        """Opens no connection yet.

        Args:
            key: its data centre takes the place of ``{dc}`` in the URL.
            base_url: Mailchimp's URL up to ``/3.0``, without a slash at its end.
            timeout: seconds until an answer must be whole, however it trickles in.
        """
        hide(key.reveal())
        self._base_url = base_url.replace("{dc}", key.data_centre)
        self._timeout = timeout
        # Given with every request, so that no .netrc can put another in its place.
        self._auth = HTTPBasicAuth("mailchimp-worker", key.reveal())
        self._alarms = Alarms(timeout)
        self._idle: list[_Line] = []
        self._lock = threading.Lock()

    @cached_property
    def _common(self) -> _Common:
        # Read once: for each call, it would take as long as the call itself does.
        prepared = requests.Request("GET", self._base_url, headers=_HEADERS, auth=self._auth).prepare()
        environment = requests.Session().merge_environment_settings(prepared.url, {}, False, None, None)
        url, proxies = str(prepared.url), environment["proxies"]
        context = _tls(environment["verify"]) if url.startswith("https:") else None
        origin = url.removesuffix(HTTPAdapter().request_url(prepared, proxies))
        return _Common(url, origin, dict(prepared.headers), proxies, context)

    def send(self, call: Call) -> Answer:
        """Sends one call and waits for its answer; never raises for what Mailchimp or the network did.

        Raises:
            ConfigError: the URL, the proxy or the certificates that the operator named cannot be used.
        """
        started = time.monotonic()
        with _config_explained():
            common = self._common
            request = common.request(call)
            with self._line() as line:
                outcome = line.exchange(request, self._timeout, common)
        seconds = time.monotonic() - started
        if isinstance(outcome, str):
            return Answer(None, failure=outcome, seconds=seconds)
        status, content, date = outcome
        return Answer(status, _json_object(content), seconds=seconds, date=moment_of(date))

    @contextmanager
    def _line(self) -> Iterator[_Line]:
        with self._lock:
            line = self._idle.pop() if self._idle else _Line(self._alarms, self._common.tls)
        try:
            yield line
        finally:
            with self._lock:
                self._idle.append(line)

    def close(self) -> None:
        """Closes the connections that no call is using."""
        with self._lock:
            idle, self._idle = self._idle, []
        for line in idle:
            line.close()
        self._alarms.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        """Returns the URL that is called, without the key."""
        return f"Client({self._base_url})"


@dataclass(frozen=True, slots=True)
class _Common:
    """What is the same for each call.

    Attributes:
        url: up to the path of a call.
        origin: what of it a request line leaves out; empty where a proxy needs all of it.
        proxies: as the environment names them, by scheme.
        tls: None where the URL has none.
    """

    url: str
    origin: str
    headers: Mapping[str, str]
    proxies: Mapping[str, str]
    tls: ssl.SSLContext | None

    def request(self, call: Call) -> requests.PreparedRequest:
        """Returns a call as it is sent."""
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
    """Returns what checks certificates: those of a file or folder, or the ones that ``requests`` trusts."""
    context = create_urllib3_context()
    trusted = DEFAULT_CA_BUNDLE_PATH if verify is True else verify
    try:
        folder = Path(trusted).is_dir()
        context.load_verify_locations(None if folder else trusted, trusted if folder else None)
    except OSError as error:
        raise OSError(f"the certificates in {trusted} cannot be read: {error.strerror or error}") from None
    return context


class _Line(HTTPAdapter):
    """One connection, for one call at a time, that can be cut.

    ``requests`` limits how long each read waits, not how long an answer takes: one that comes a byte at a time would
    hold its connection for ever.
    """

    def __init__(self, alarms: Alarms, tls: ssl.SSLContext | None) -> None:
        self._tls = {} if tls is None else {"ssl_context": tls}
        self._pool: Any = None
        super().__init__(pool_connections=1, pool_maxsize=1, max_retries=0)
        self._alarms = alarms
        self._lock = threading.Lock()
        self._connection: Any = None
        self._socket: Any = None
        self._seconds = 0.0
        self._number = 0  # of the exchange: an alarm that rings late must not cut the next one
        self._late = False
        self._sent = False

    def exchange(self, request: requests.PreparedRequest, seconds: float, common: _Common) -> _Outcome:
        """Returns the status, content and Date that came back within so many seconds, or why none did."""
        with self._lock:
            self._number += 1
            self._seconds, self._late, self._sent = seconds, False, False
        alarm = self._alarms.set(partial(self._cut, self._number))
        try:
            if common.origin and self._connection is not None and self._connection.is_connected:
                outcome = self._send_again(request, common)
            else:
                outcome = self._send_first(request, common)
        finally:
            alarm.cancel()
            with self._lock:
                self._socket = None
        # Whatever was read: an answer without a length ends where its connection does, so that a cut one looks whole.
        return "timeout" if self._late and self._sent else outcome

    def _send_first(self, request: requests.PreparedRequest, common: _Common) -> _Outcome:
        # The alarm decides what is late; the reads' own limit only backs it up.
        limits = (min(CONNECT_SECONDS, self._seconds), self._seconds + 1)
        try:
            # Not Session.send: it would parse where a redirect points, and raise for what it finds.
            response = self.send(request, stream=True, timeout=limits, proxies=dict(common.proxies))
            return _content(response.raw)
        except _MISCONFIGURED:
            raise
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            return self._failure(error)

    def _send_again(self, request: requests.PreparedRequest, common: _Common) -> _Outcome:
        # Proxy, certificates and time limits are those of the first request: what is the same is not done for each.
        connection, method = self._connection, str(request.method)
        target, length = str(request.url).removeprefix(common.origin), request.headers.get("Content-Length")
        whole = kept_connection.request(connection.headers, method, target, request.body, length)  # type: ignore[arg-type]
        if whole is None:
            return self._send_first(request, common)
        try:
            self._watch(connection)
            with suppress(BrokenPipeError):  # an answer may have come before
                connection.sock.sendall(whole)
            outcome = _answer(connection, method)
        except (OSError, HTTPException, urllib3.exceptions.HTTPError) as error:
            outcome = self._failure(error)
        if isinstance(outcome, str):
            connection.close()  # it may have the rest of an answer
        return outcome

    # What requests would do for each call is done once

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
        """Returns the pool of the URL, whose connections note in this line when they send."""
        if self._pool is None:
            self._pool = super().get_connection_with_tls_context(*args, **kwargs)
            self._pool.ConnectionCls = _watched(self._pool.ConnectionCls, self._watch)
        return self._pool

    def build_connection_pool_key_attributes(self, *args: Any, **kwargs: Any) -> Any:
        """Returns what names the pool, with this client's way to check certificates."""
        host, _ = super().build_connection_pool_key_attributes(*args, **kwargs)
        return host, dict(self._tls)

    def cert_verify(self, *args: Any, **kwargs: Any) -> None:
        """Does nothing: the pool has what checks certificates."""

    def build_response(self, req: requests.PreparedRequest, resp: Any) -> requests.Response:
        """Returns what is read from, without cookies: Mailchimp's answers need none."""
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
            self._socket.settimeout(self._seconds)  # until now it had the limit for connecting

    def _cut(self, number: int) -> None:
        with self._lock:
            if number != self._number:
                return
            self._late = True
            if self._socket is None:
                return
            beneath = getattr(self._socket, "socket", self._socket)  # of TLS within a proxy's TLS
            try:
                # Below TLS: its own shutdown would take the session from under the thread that reads.
                socket.socket.shutdown(beneath, socket.SHUT_RDWR)
            except OSError:
                return  # it ended by itself just now

    def _failure(self, error: Exception) -> Failure:
        if self._sent:
            return "connection"
        return "unknown_host" if _is_unknown_host(error) else "unconnected"


def _answer(connection: Any, method: str) -> _Outcome:
    with connection.sock.makefile("rb") as stream:
        head = kept_connection.read_head(stream, PART)
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
    if raw.length_remaining is not None and raw.length_remaining <= PART and "Content-Encoding" not in raw.headers:
        content = raw.read()
    else:
        # Part by part: a packed answer of some kilobytes may unpack to any size; what is too large is not read on.
        content = bytearray()
        for part in raw.stream(PART, decode_content=True):
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
    except OSError as error:  # those of requests are OSErrors too; what the network did was caught before
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
