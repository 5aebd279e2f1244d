"""What a file of events must be before any of it is published."""

from __future__ import annotations

import io
import os
import sys
import threading
from pathlib import Path

import pytest

from worker import publish as publishing
from worker.config import Kafka
from worker.errors import NotFound, PublishStopped, UsageError
from worker.publish import events_of, opened, publish

GOOD = b'{"type":"com.billmywork.customer.created","data":{"account_id":"a","customer":{"id":"c"}}}'


def events(path: Path) -> list[tuple[str, str, bytes]]:
    """All events of a file."""
    with opened(path) as lines:
        return list(events_of(lines, path))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The file."""
    return tmp_path / "events.jsonl"


def test_gives_account_customer_and_value_of_each_line(path: Path) -> None:
    """Empty lines are left out, and what a line's end is does not matter."""
    path.write_bytes(GOOD + b"\r\n\n" + GOOD.replace(b'"c"', b'"d"'))
    assert events(path) == [("a", "c", GOOD), ("a", "d", GOOD.replace(b'"c"', b'"d"'))]


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
        events(path)
    assert "Line 3" in caught.value.message
    assert reason in caught.value.message
    assert "Nothing was published" in caught.value.advice


def test_one_event_over_several_lines_is_explained(path: Path) -> None:
    """As an example of the README is, which reads better that way: it says how to put it on one line."""
    path.write_bytes(GOOD.replace(b",", b",\n "))
    with pytest.raises(UsageError, match="Line 1") as caught:
        events(path)
    assert f"tr -d '\\n' < {path} | mailchimp-worker publish -" in caught.value.advice


def test_says_that_there_is_no_file(path: Path) -> None:
    """A file that is missing is named."""
    with pytest.raises(NotFound, match=r"events\.jsonl"):
        events(path)


def test_a_pipe_is_read_as_often_as_a_file(path: Path) -> None:
    """What can be read only once is copied first: the check does not take the events away from the publishing."""
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_bytes, args=(GOOD + b"\n" + GOOD,))
    writer.start()
    with opened(path) as lines:
        writer.join()
        assert [len(list(events_of(lines, path))) for _ in range(2)] == [2, 2]


def test_standard_input_is_read_as_often_as_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is named by a dash, and named in words where a line is wrong."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(GOOD + b"\nhello")))
    with opened(Path("-")) as lines:
        assert next(events_of(lines, Path("-"))) == next(events_of(lines, Path("-")))
        with pytest.raises(UsageError, match="Line 2 of standard input"):
            list(events_of(lines, Path("-")))


def test_a_file_without_an_event_is_no_success(path: Path) -> None:
    """Nothing to publish is said and is an error: it is found before a broker is asked."""
    path.write_bytes(b"\n \n")
    with pytest.raises(UsageError, match=r"no event in .*events\.jsonl"):
        publish(Kafka(), path)


class Interrupted:
    """A producer whose user presses Ctrl-C at the third event; the broker takes what was sent before."""

    def __init__(self) -> None:
        """Sent nothing yet."""
        self.waiting: list[object] = []

    def produce(self, *_: object, on_delivery: object, **__: object) -> None:
        """Takes two events."""
        if len(self.waiting) == 2:
            raise KeyboardInterrupt
        self.waiting.append(on_delivery)

    def poll(self, _: float) -> None:
        """Has no answers yet."""

    def purge(self, **_: bool) -> None:
        """Forgets what was not sent: nothing here."""

    def flush(self, _: float) -> None:
        """Brings the answers."""
        for told in self.waiting:
            told(None, None)  # type: ignore[operator]


def test_who_stops_learns_what_was_published(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C waits for the answers that are under way, says how many events Kafka has, and ends with 3."""
    monkeypatch.setattr(publishing, "client", lambda *_: Interrupted())
    monkeypatch.setattr(publishing, "partitions_of_topic", lambda *_: (1, ""))
    path.write_bytes(b"\n".join([GOOD] * 5))
    with pytest.raises(PublishStopped, match="Kafka has 2 events of it") as caught:
        publish(Kafka(), path)
    assert caught.value.exit_code == 3


def test_who_stops_before_anything_was_published_learns_that(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the file is still checked, nothing was sent."""

    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(publishing, "client", stopped)
    path.write_bytes(GOOD)
    with pytest.raises(PublishStopped, match="nothing was published"):
        publish(Kafka(), path)
