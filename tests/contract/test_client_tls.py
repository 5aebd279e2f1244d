"""The client and TLS: the key goes only to whom a trusted certificate vouches for."""

from __future__ import annotations

import socket
import ssl
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.contract.raw import LONG, PATCH, SHORT, WHOLE, Raw, hanging, send


@pytest.mark.parametrize("says", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"", None])
def test_without_tls_the_key_is_not_sent(raw: Raw, monkeypatch: pytest.MonkeyPatch, says: bytes | None) -> None:
    """A server that does not agree on TLS, or never answers to it, gets nothing of the call."""
    received: list[bytes] = []

    def serve(peer: socket.socket) -> None:
        received.append(peer.recv(65536))
        if says is None:
            raw.over.wait(LONG)
        else:
            peer.sendall(says)

    monkeypatch.setattr(raw, "serve", serve)
    raw.base_url = raw.base_url.replace("http:", "https:")
    answer = send(raw, PATCH, SHORT if says is None else LONG)
    assert (answer.failure, answer.unsent) == ("unconnected", True)
    assert len(received) == 1
    assert b"uthorization" not in received[0]


def certificate(folder: Path) -> tuple[Path, ssl.SSLContext]:
    """Returns a certificate for 127.0.0.1 that signs itself, and a server's side of TLS with it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file, key_file = folder / "certificate.pem", folder / "key.pem"
    file.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file, key_file)
    return file, context


def test_only_a_trusted_certificate_gets_the_key(raw: Raw, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A certificate that nobody vouches for ends the call before it is sent; the environment may name one to trust."""
    trusted, context = certificate(tmp_path)
    plain = raw.serve

    def serve(peer: socket.socket) -> None:
        with context.wrap_socket(peer, server_side=True) as wrapped:
            plain(wrapped)

    monkeypatch.setattr(raw, "serve", serve)
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    monkeypatch.delenv("CURL_CA_BUNDLE", raising=False)
    raw.base_url = raw.base_url.replace("http:", "https:")
    assert send(raw, PATCH).failure == "certificate"
    assert raw.requests == []
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(trusted))
    assert send(raw, PATCH).ok
    assert len(raw.requests) == 1
    hanging(raw, WHOLE[:-1])
    assert send(raw, PATCH, 3 * SHORT).failure == "timeout"


def test_a_handshake_that_trickles_in_is_given_up(raw: Raw, monkeypatch: pytest.MonkeyPatch) -> None:
    """A byte of the server's side of TLS now and then does not put the end off; nothing was sent."""

    def serve(peer: socket.socket) -> None:
        peer.sendall(b"\x16\x03\x03\x10\x00\x02\x00\x0f\xfc")  # a long record begins, with a long ServerHello
        while not raw.over.wait(SHORT / 10):
            peer.sendall(b"\x03")

    monkeypatch.setattr(raw, "serve", serve)
    raw.base_url = raw.base_url.replace("http:", "https:")
    failed = send(raw, PATCH, SHORT)
    assert (failed.failure, failed.unsent) == ("unconnected", True)
    assert failed.seconds < LONG
