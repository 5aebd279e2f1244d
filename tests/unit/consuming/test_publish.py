"""What a file of events must be before any of it is published."""

from __future__ import annotations

from pathlib import Path

import pytest

from worker.consuming.publish import events_of
from worker.errors import NotFound, UsageError

GOOD = b'{"type":"com.billmywork.customer.created","data":{"account_id":"a","customer":{"id":"c"}}}'


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The file."""
    return tmp_path / "events.jsonl"


def test_gives_account_customer_and_value_of_each_line(path: Path) -> None:
    """Empty lines are left out, and what a line's end is does not matter."""
    path.write_bytes(GOOD + b"\r\n\n" + GOOD.replace(b'"c"', b'"d"'))
    assert list(events_of(path)) == [("a", "c", GOOD), ("a", "d", GOOD.replace(b'"c"', b'"d"'))]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"hello", "malformed"),
        (b'{"type":"com.billmywork.customer.created","data":{"customer":{"id":"c"}}}', "account_id"),
        (b'{"type":"com.billmywork.invoice.sent"}', "its type is com.billmywork.invoice.sent"),
    ],
)
def test_names_the_line_that_is_no_event(path: Path, line: bytes, reason: str) -> None:
    """The line's number, counted with empty lines, and what is wrong with it."""
    path.write_bytes(GOOD + b"\n\n" + line + b"\n")
    with pytest.raises(UsageError) as caught:
        list(events_of(path))
    assert "Line 3" in caught.value.what
    assert reason in caught.value.what
    assert "Nothing was published" in caught.value.advice


def test_says_that_there_is_no_file(path: Path) -> None:
    """A file that is missing is named."""
    with pytest.raises(NotFound, match=r"events\.jsonl"):
        list(events_of(path))
