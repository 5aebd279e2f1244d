"""Whom the client trusts: the certificates that the operator names, for the host that is called, and nobody else."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from worker.mailchimp.api_key import parse
from worker.mailchimp.call import Answer, Call
from worker.mailchimp.client import Client

KEY = "0123456789abcdef0123456789abcdef-us21"
ANSWER = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 14\r\n\r\n{"ping": "ok"}'


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for localhost, signed by itself, with its key."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "own")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    path = tmp_path_factory.mktemp("tls") / "own.pem"
    path.write_bytes(
        made.public_bytes(serialization.Encoding.PEM) + key.private_bytes(serialization.Encoding.PEM, *plain)
    )
    return path


@pytest.fixture
def port(certificate: Path) -> Iterator[int]:
    """The port of a server with that certificate, which answers each call alike."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    plain, _ = server.accept()
                    with suppress(OSError), context.wrap_socket(plain, server_side=True) as connection:
                        while connection.recv(65536):
                            connection.sendall(ANSWER)

        threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)


def ping(host: str, port: int) -> Answer:
    """Calls the server twice by one client, and returns the second answer."""
    with Client(parse(KEY), f"https://{host}:{port}/3.0", 5) as client:
        client.send(Call("GET", "/ping"))
        return client.send(Call("GET", "/ping"))


@pytest.mark.parametrize(
    ("host", "trusted", "failure"),
    [("localhost", True, None), ("localhost", False, "unconnected"), ("127.0.0.1", True, "unconnected")],
)
def test_only_a_certificate_that_is_trusted_for_the_host_is_called(
    monkeypatch: pytest.MonkeyPatch, certificate: Path, port: int, host: str, trusted: bool, failure: str | None
) -> None:
    """An unknown certificate, or one of another host, ends the connection before anything is sent."""
    monkeypatch.setenv("no_proxy", "*")
    if trusted:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    answer = ping(host, port)
    assert (answer.failure, answer.unsent) == (failure, failure is not None)
    assert answer.body == (None if failure else {"ping": "ok"})
