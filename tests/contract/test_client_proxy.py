"""The client behind a proxy that the environment names: what the proxy sees, and which calls were not sent."""

from __future__ import annotations

import base64
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from tests.contract.raw import KEY, LONG, PATCH, PING, SHORT, Raw, send
from tests.contract.test_client_tls import certificate
from worker.errors import ConfigError
from worker.mailchimp.api_key import parse
from worker.mailchimp.client import Client

SIGNED_IN = f"Basic {base64.b64encode(b'ann:se:cret').decode()}"


class Proxy:
    """A proxy that answers CONNECT as a test says, and then is the server behind the tunnel."""

    def __init__(self, raw: Raw, context: ssl.SSLContext) -> None:
        """Lets every tunnel through until a test sets another answer."""
        self.heads: list[str] = []
        self.answer: bytes | None = b"HTTP/1.1 200 Connection established\r\n\r\n"
        self._raw, self._context, self._behind = raw, context, raw.serve
        self.url = raw.base_url.removesuffix("/3.0").replace("http://", "http://ann:se%3Acret@")

    def serve(self, peer: socket.socket) -> None:
        """Reads the head of a CONNECT, answers it, and serves what follows over TLS."""
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += peer.recv(1) or b"\r\n\r\n"
        self.heads.append(head.decode())
        if self.answer is None:
            self._raw.over.wait(LONG)
            return
        peer.sendall(self.answer)
        if b" 200 " not in self.answer:
            return
        with suppress(OSError), self._context.wrap_socket(peer, server_side=True) as wrapped:
            self._behind(wrapped)  # type: ignore[arg-type]


@pytest.fixture
def named(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Names a proxy in an otherwise empty environment."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    return monkeypatch.setenv


@pytest.fixture
def proxy(raw: Raw, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: Callable[[str, str], None]) -> Proxy:
    """Returns a proxy that the environment names for HTTPS, and whose server the client trusts."""
    trusted, context = certificate(tmp_path)
    made = Proxy(raw, context)
    monkeypatch.setattr(raw, "serve", made.serve)
    named("https_proxy", made.url)
    named("REQUESTS_CA_BUNDLE", str(trusted))
    raw.base_url = raw.base_url.replace("http:", "https:")
    return made


def test_calls_go_through_one_tunnel(raw: Raw, proxy: Proxy) -> None:
    """The proxy sees where to, and its own password; the calls and the key are for the server only."""
    with Client(parse(KEY), raw.base_url, LONG) as client:
        assert client.send(PATCH).ok
        assert client.send(PATCH).ok
    (head,) = proxy.heads
    assert head.startswith(f"CONNECT {raw.base_url.split('/')[2]} ")
    assert f"Proxy-Authorization: {SIGNED_IN}" in head
    assert "\nAuthorization" not in head
    assert [one.line for one in raw.requests] == ["PATCH /3.0/lists/a1/members/b2 HTTP/1.1"] * 2
    assert raw.requests[0].headers["host"] == raw.base_url.split("/")[2]
    assert "proxy-authorization" not in raw.requests[0].headers


@pytest.mark.parametrize(
    "answer", [b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", b"no HTTP\r\n\r\n", b"", None]
)
def test_a_call_without_a_tunnel_was_not_sent(raw: Raw, proxy: Proxy, answer: bytes | None) -> None:
    """A proxy that refuses, answers something else, or hangs got nothing of the call."""
    proxy.answer = answer
    failed = send(raw, PATCH, SHORT if answer is None else LONG)
    assert (failed.failure, failed.unsent) == ("unconnected", True)
    assert len(proxy.heads) == 1
    assert raw.requests == []


def test_a_tunnel_that_trickles_in_is_given_up(raw: Raw, proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    """A byte of the proxy's answer now and then does not put the end off; nothing was sent."""

    def serve(peer: socket.socket) -> None:
        while not raw.over.wait(SHORT / 10):
            peer.sendall(b"H")

    monkeypatch.setattr(raw, "serve", serve)
    failed = send(raw, PATCH, SHORT)
    assert (failed.failure, failed.unsent) == ("unconnected", True)
    assert failed.seconds < LONG


def test_a_tunnel_to_a_server_that_is_not_trusted_gets_nothing(
    raw: Raw, proxy: Proxy, named: Callable[[str, str], None]
) -> None:
    """A server behind a proxy must have a trusted certificate, or it gets no call."""
    named("REQUESTS_CA_BUNDLE", "")
    answer = send(raw, PATCH)
    assert (answer.failure, answer.unsent) == ("certificate", True)
    assert answer.reason == "the certificate of 127.0.0.1 is not accepted: self-signed certificate"
    assert raw.requests == []


def test_without_tls_a_proxy_gets_the_whole_url(raw: Raw, named: Callable[[str, str], None]) -> None:
    """A plain call has the URL in its first line and the proxy's password; the connection is kept."""
    named("HTTP_PROXY", raw.base_url.removesuffix("/3.0").replace("http://", "http://ann:se%3Acret@"))
    with Client(parse(KEY), "http://mailchimp.invalid/3.0", LONG) as client:
        assert client.send(PATCH).ok
        assert client.send(PATCH).ok
    first, second = raw.requests
    assert first.line == "PATCH http://mailchimp.invalid/3.0/lists/a1/members/b2 HTTP/1.1"
    assert first.headers["proxy-authorization"] == SIGNED_IN
    assert first.headers["host"] == "mailchimp.invalid"
    assert first.raw == second.raw
    assert raw.connections == 1


def test_a_host_that_needs_no_proxy_is_called_directly(raw: Raw, named: Callable[[str, str], None]) -> None:
    """NO_PROXY names hosts that are called without the proxy, whose password they do not get."""
    named("HTTP_PROXY", "http://ann:secret@127.0.0.1:1")
    assert send(raw).failure == "unconnected"
    named("NO_PROXY", "127.0.0.1")
    assert send(raw).ok
    assert raw.requests[0].line == "GET /3.0/ping HTTP/1.1"
    assert "proxy-authorization" not in raw.requests[0].headers


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_whose_name_is_unknown_says_nothing_about_the_data_centre(
    monkeypatch: pytest.MonkeyPatch, named: Callable[[str, str], None], scheme: str
) -> None:
    """An unknown host name of a proxy is not reported as a wrong data centre."""

    def look_up(host: str, *_: object, **__: object) -> None:
        assert host == "proxy.invalid"
        raise socket.gaierror(socket.EAI_NONAME, "said by the test")

    named("ALL_PROXY", "http://proxy.invalid:3128")
    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    with Client(parse(KEY), f"{scheme}://us21.mailchimp.invalid/3.0", LONG) as client:
        assert client.send(PATCH).failure == "unconnected"


@pytest.mark.parametrize("url", ["http://", "ftp://127.0.0.1:1", "socks5://127.0.0.1:1"])
def test_a_proxy_that_cannot_be_used_is_an_error_of_the_configuration(
    named: Callable[[str, str], None], url: str
) -> None:
    """A proxy without a host, or of a kind that is not supported, is reported to the operator."""
    named("HTTPS_PROXY", url)
    with pytest.raises(ConfigError) as caught, Client(parse(KEY), "https://mailchimp.invalid/3.0", LONG) as client:
        client.send(PING)
    assert "HTTPS_PROXY" in caught.value.advice
