"""The host of Mailchimp's API and the way to it, prepared once per process. Only this module imports ``requests``.

``requests`` finds proxy and certificates in the environment, as operators expect. That takes longer than ten calls,
mostly because of the certificates.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import requests
from requests.adapters import HTTPAdapter
from requests.utils import DEFAULT_CA_BUNDLE_PATH
from urllib3.exceptions import LocationValueError
from urllib3.util.ssl_ import create_urllib3_context

from worker import __version__
from worker.errors import ConfigError

_HEADERS = {
    "User-Agent": f"mailchimp-worker/{__version__}",
    "Accept": "application/json",
    "Content-Type": "application/json",
}
_PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "request_method")
_VARIABLES = (*_PROXIES, *(name.upper() for name in _PROXIES), "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A host, and the proxy to it, if any.

    Attributes:
        target: the beginning of the request target, before a call's path; a whole URL for a proxy of plain HTTP.
        headers: header lines, without the last line end.
        proxied: whether there is a proxy before the host.
    """

    target: str
    headers: bytes
    proxied: bool
    _pool: Any

    def connection(self, timeout: float) -> Any:
        """Returns a connection of urllib3, not opened yet.

        Args:
            timeout: seconds for connecting, and for each read and write until it is open.
        """
        return _connection(self._pool, self.target, timeout)

    def host_to_trust(self, connection: Any) -> str:
        """Returns whose certificate a connection of urllib3 was checking: the host's, or that of its proxy."""
        at_proxy = self.proxied and not connection.has_connected_to_proxy
        return f"the proxy {self._pool.proxy.host}" if at_proxy else str(self._pool.host)


def endpoint_of(base_url: str) -> Endpoint:
    """Returns the endpoint of a URL; the same object until the environment changes.

    Raises:
        ConfigError: the URL, the proxy or the certificates cannot be used.
    """
    with _config_explained():
        return _endpoint(base_url, tuple(os.environ.get(name) for name in _VARIABLES))


@lru_cache(maxsize=128)
def _endpoint(base_url: str, _environment: tuple[str | None, ...]) -> Endpoint:
    request = requests.Request("GET", base_url).prepare()
    settings = requests.Session().merge_environment_settings(request.url, {}, False, None, None)
    proxies = settings["proxies"]
    adapter = _Adapter(_tls(settings["verify"]) if str(request.url).startswith("https:") else None)
    pool: Any = adapter.get_connection_with_tls_context(request, True, proxies)
    target = adapter.request_url(request, proxies).removesuffix("/")
    forwarded = {} if target.startswith("/") else pool.proxy_headers
    return Endpoint(target, _header_lines(pool, target, {**_HEADERS, **forwarded}), pool.proxy is not None, pool)


def _header_lines(pool: Any, target: str, headers: dict[str, str]) -> bytes:
    # By urllib3 itself, so that they include Host.
    connection, parts = _connection(pool, target, 0), list[bytes]()
    connection.send = parts.append
    connection.request("GET", target, headers=headers)
    return b"".join(parts).partition(b"\r\n")[2].removesuffix(b"\r\n\r\n")


def _connection(pool: Any, target: str, timeout: float) -> Any:
    host = pool.proxy or pool
    connection = pool.ConnectionCls(host.host, host.port, timeout=timeout, **pool.conn_kw)
    if pool.proxy is not None and target.startswith("/"):
        connection.set_tunnel(pool.host, pool.port, pool.proxy_headers, pool.proxy.scheme)
    return connection


class _Adapter(HTTPAdapter):
    """Chooses the connection pool of a request, and gives it the TLS context of the process."""

    def __init__(self, tls: ssl.SSLContext | None) -> None:
        super().__init__()
        self._tls = {} if tls is None else {"ssl_context": tls}

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
        """Returns the pool of a request.

        Raises:
            InvalidURL: of the request, or of its proxy.
        """
        try:
            return super().get_connection_with_tls_context(*args, **kwargs)
        except LocationValueError as error:
            raise requests.exceptions.InvalidURL(error) from None

    def build_connection_pool_key_attributes(self, *args: Any, **kwargs: Any) -> Any:
        """Returns the pool's key, with the TLS context."""
        host, _ = super().build_connection_pool_key_attributes(*args, **kwargs)
        return host, dict(self._tls)


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


@contextmanager
def _config_explained() -> Iterator[None]:
    try:
        yield
    except OSError as error:  # exceptions of requests are OSErrors too
        raise ConfigError(
            f"Mailchimp cannot be called with what is configured: {error}.",
            "Check mailchimp.base_url (WORKER_MAILCHIMP__BASE_URL) and the variables HTTPS_PROXY, HTTP_PROXY and "
            "REQUESTS_CA_BUNDLE of the environment.",
        ) from None
