"""What a signed text says, and when it says nothing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from worker.accounts.secrets import parsed
from worker.web.access.signing import Signer, equal_secrets

NOW = datetime(2026, 11, 22, 10, tzinfo=UTC)
LATER = NOW + timedelta(minutes=5)
SECRET = parsed("MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=", "a test")


def test_a_signed_text_says_what_it_was_given_until_it_expires() -> None:
    """Then, with another key or for another purpose, it says nothing."""
    signer = Signer(SECRET.derived("web link"))
    text = signer.signed({"account_id": "acct-1"}, LATER)
    assert signer.opened(text, NOW) == {"account_id": "acct-1", "expires": int(LATER.timestamp())}
    assert signer.opened(text, LATER) is None
    assert Signer(SECRET.derived("web session")).opened(text, NOW) is None


def test_what_the_key_before_signed_counts_while_that_is_in_force() -> None:
    """Sessions, links and forwarded requests outlast the change, and nothing more is signed with that key."""
    before, now = Signer(b"before"), Signer(b"now", (b"before",))
    assert now.opened(before.signed({"id": "1"}, LATER), NOW) is not None
    assert Signer(b"now").opened(now.signed({"id": "1"}, LATER), NOW) is not None
    assert before.opened(now.signed({"id": "1"}, LATER), NOW) is None
    assert Signer(b"now").opened(before.signed({"id": "1"}, LATER), NOW) is None
    assert now.mac("a form") == Signer(b"now").mac("a form")


@given(st.text(max_size=200), st.integers(0, 200))
def test_a_text_that_was_changed_says_nothing(noise: str, at: int) -> None:
    """Whatever is put in its place or into it, it is refused and raises nothing."""
    signer = Signer(b"key")
    text = signer.signed({"account_id": "acct-1"}, LATER)
    assert signer.opened(noise, NOW) is None
    changed = text[:at] + noise + text[at + 1 :]
    assert changed == text or signer.opened(changed, NOW) is None


def test_derived_keys_are_those_of_the_standard() -> None:
    """HKDF with SHA-256, as any library derives them: programs that sign links need no other."""
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    secret = b"0123456789abcdef0123456789abcdef"
    derived = HKDF(SHA256(), 32, salt=None, info=b"mailchimp-worker web link").derive(secret)
    assert SECRET.derived("web link") == derived


def test_secrets_are_compared_whole() -> None:
    """A beginning is not the same, nor is text beyond ASCII."""
    assert equal_secrets("é", "é")
    assert not equal_secrets("token", "toke")
