"""Whom the client trusts: the certificates that the operator names, for the host that is called, and nobody else."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from worker.errors import CertificateNotAccepted
from worker.mailchimp.answers import Answer, classify
from worker.mailchimp.api_key import parse
from worker.mailchimp.calls import Call
from worker.mailchimp.client import Client
from worker.mailchimp.errors import error_for

KEY = "0123456789abcdef0123456789abcdef-us21"
ANSWER = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 14\r\n\r\n{"ping": "ok"}'


NOW = datetime.now(UTC)
DAY = timedelta(days=1)


def made(folder: Path, first: datetime, last: datetime, host: str = "localhost") -> Path:
    """Returns a certificate that signs itself, with its key, valid from and until."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "own")])
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(first)
        .not_valid_after(last)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    path = folder / "own.pem"
    path.write_bytes(
        certificate.public_bytes(serialization.Encoding.PEM) + key.private_bytes(serialization.Encoding.PEM, *plain)
    )
    return path


@contextmanager
def serving(certificate: Path) -> Iterator[tuple[int, list[bytes]]]:
    """The port of a server with a certificate, which answers each call alike, and all that it received."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    received = list[bytes]()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    plain, _ = server.accept()
                    with suppress(OSError), context.wrap_socket(plain, server_side=True) as connection:
                        while request := connection.recv(65536):
                            received.append(request)
                            connection.sendall(ANSWER)

        threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1], received
        server.shutdown(socket.SHUT_RDWR)


def ping(host: str, port: int) -> Answer:
    """Calls the server twice by one client, and returns the second answer."""
    with Client(parse(KEY), f"https://{host}:{port}/3.0", 5) as client:
        client.send(Call("GET", "/ping"))
        return client.send(Call("GET", "/ping"))


def test_a_trusted_certificate_of_the_host_is_called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A certificate in REQUESTS_CA_BUNDLE is trusted."""
    certificate = made(tmp_path, NOW - DAY, NOW + DAY)
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    with serving(certificate) as (port, received):
        answer = ping("localhost", port)
    assert (answer.body, answer.failure) == ({"ping": "ok"}, None)
    assert len(received) == 2


@pytest.mark.parametrize(
    ("certificate_of", "since", "until", "trusted", "reason"),
    [
        ("localhost", -DAY, DAY, False, "self-signed certificate"),
        ("localhost", -2 * DAY, -DAY, True, "certificate has expired"),
        ("localhost", DAY, 2 * DAY, True, "certificate is not yet valid"),
        ("us21.api.mailchimp.com", -DAY, DAY, True, "Hostname mismatch, certificate is not valid for 'localhost'"),
    ],
    ids=["unknown CA", "expired", "not yet valid", "wrong host"],
)
def test_a_certificate_that_is_not_accepted_is_named_with_its_reason(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    certificate_of: str,
    since: timedelta,
    until: timedelta,
    trusted: bool,
    reason: str,
) -> None:
    """The server gets nothing, and the error says whose certificate it is, what is wrong with it, and what to do."""
    certificate = made(tmp_path, NOW + since, NOW + until, certificate_of)
    monkeypatch.setenv("no_proxy", "*")
    if trusted:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    else:
        monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
        monkeypatch.delenv("CURL_CA_BUNDLE", raising=False)
    with serving(certificate) as (port, received):
        answer = ping("localhost", port)
    assert (answer.failure, answer.unsent, received) == ("certificate", True, [])
    said = f"the certificate of localhost is not accepted: {reason}"
    assert answer.reason == said
    assert classify(answer).title == said
    error = error_for(answer)
    assert (type(error), error.code) == (CertificateNotAccepted, "certificate_not_accepted")
    assert error.message == f"Mailchimp was not called: {said}. No API key was sent."
    assert "clock" in error.advice
    assert "REQUESTS_CA_BUNDLE" in error.advice
