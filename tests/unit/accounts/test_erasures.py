"""Every worker erases from its own file who is to be erased, of whom it only knows a hash."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.checked_changelog import CHANGELOG, CheckedChangelog
from tests.unit.accounts.build import ACCOUNT, AT, LATER, NEIGHBOUR, OTHER_SECRET, SECRET, connect, everything
from tests.unit.accounts.test_forget import ANN, letter, told, work
from worker.accounts import erasures
from worker.accounts.erasures import OwnCopy, carry_out
from worker.changelog import table_rows
from worker.changelog.records import changelog_row_of, key_of, value_of
from worker.changelog.table_rows import ChangelogRow
from worker.errors import KafkaError, SecretKeyError
from worker.model import AccountId, AddressKey
from worker.sqlite.database import Database, open_database
from worker.sqlite.rows import RowKey
from worker.store import dead_letters, erasure_requests, offsets
from worker.store.dead_letters import DeadLetter

LEDGER = "customers.ledger"
OWN_COPY = OwnCopy(LEDGER, lambda account_id: 0)


class Elsewhere(CheckedChangelog):
    """The changelog of a worker that does not have the accounts' partitions."""

    def failure_of(self, account_id: AccountId) -> KafkaError:  # type: ignore[override]
        """Returns that another worker has it."""
        return KafkaError("not ours", "")


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Database]:
    """The database of another worker, which was away."""
    (tmp_path / "other").mkdir()
    with closing(open_database(tmp_path / "other" / "x.db")) as db:
        yield db


def hand_on(db: Database, other: Database) -> list[ChangelogRow]:
    """Has another worker read what the settings' topic has of requests; returns the rows as Kafka has them."""
    keys = [RowKey("topic", ("hash_key", ""))]
    keys += [RowKey("erasure", (one.account_id, one.digest)) for one in erasure_requests.all_requests(db)]
    rows = table_rows.rows_of(db, keys)
    read = [changelog_row_of(key_of(one), value_of(one, erase=False)) for one in rows]
    found = [one for one in read if isinstance(one, ChangelogRow)]
    assert len(found) == len(rows)
    with other.transaction():
        table_rows.apply(other, found)
    return found


def ask(db: Database, address: AddressKey = ANN, at: datetime = AT) -> None:
    """Asks every worker to erase a person."""
    erasures.request_person(db, CHANGELOG, address, SECRET, at)


def test_a_request_names_nobody(db: Database, other: Database) -> None:
    """What goes to Kafka is a hash by a key that only who has the secret key knows: no address, in no form."""
    ask(db)
    rows = hand_on(db, other)
    for one in rows:
        assert b"example" not in key_of(one) + (value_of(one, erase=False) or b"")
    ask(other, AddressKey("2@example.com"))
    with pytest.raises(SecretKeyError):
        carry_out(other, CHANGELOG, OWN_COPY, OTHER_SECRET, "other", AT)


def test_a_worker_that_was_away_erases_wherever_the_address_is(db: Database, other: Database) -> None:
    """Customers, ledger, receipts, dead letters and their headers; the neighbours stay, and all see who has done it."""
    work(other, ACCOUNT, 1, 2)
    headers = [("to", b"Ann <1@Example.com>")]
    with other.transaction():
        in_headers = DeadLetter("customers", "", 0, 3, None, b"?", headers, "not JSON", "2026-11-20T10:00:00.000Z")
        dead_letters.keep(
            other, [letter(1, b"x", b'{"email": "1\\u0040EXAMPLE.com"'), letter(2, b"2@example.com"), in_headers]
        )
    ask(db)
    hand_on(db, other)
    gone = carry_out(other, CHANGELOG, OWN_COPY, SECRET, "other", LATER)
    path = Path(other.execute("PRAGMA database_list").fetchone()["file"])
    assert told(path, "1@example.com") == set()
    assert told(path, "2@example.com") >= {"customer", "ledger", "receipt", "dead_letter"}
    assert (gone["customers"], gone["places"], gone["dead letters"]) == (1, 2, 2)
    (one,) = erasure_requests.all_requests(other)
    assert list(one.done_by) == ["other"]
    assert carry_out(other, CHANGELOG, OWN_COPY, SECRET, "other", LATER) == {}


def test_a_person_known_by_a_dead_letter_alone_is_found(db: Database, other: Database) -> None:
    """Though no customer, receipt or ledger entry has the address."""
    with other.transaction():
        dead_letters.keep(other, [letter(1, None, "subject: 1@Example.com, and more".encode("utf-16-be"))])
    ask(db)
    hand_on(db, other)
    assert carry_out(other, CHANGELOG, OWN_COPY, SECRET, "other", LATER)["dead letters"] == 1


def test_a_worker_without_the_partition_erases_its_copy_and_reads_the_ledger_again(
    db: Database, other: Database
) -> None:
    """Should it get the partition: so what it erased here alone, and Kafka may still have, is found and erased then."""
    work(other, ACCOUNT, 1)
    with other.transaction():
        offsets.move_on(other, LEDGER, "id", 0, 77, "2026-11-20T10:00:00.000Z")
    ask(db)
    hand_on(db, other)
    carry_out(other, Elsewhere(), OWN_COPY, SECRET, "other", LATER)
    path = Path(other.execute("PRAGMA database_list").fetchone()["file"])
    assert told(path, "1@example.com") == set()
    assert offsets.next_of(other, LEDGER, "id", 0) == 0


def test_who_came_again_since_is_not_erased(db: Database, other: Database) -> None:
    """A worker that was away for long must not take away what was published after the request."""
    work(other, ACCOUNT, 1)
    other.execute("UPDATE customer SET event_time = '2026-11-20T10:00:01Z'")
    ask(db)
    hand_on(db, other)
    assert carry_out(other, CHANGELOG, OWN_COPY, SECRET, "other", LATER)["customers"] == 0


def test_an_account_is_forgotten_by_every_worker_unless_it_connected_since(db: Database, other: Database) -> None:
    """Also one that never had it: nothing is left of it, and an account that is back keeps its new settings."""
    work(other, ACCOUNT, 1)
    work(other, NEIGHBOUR, 2)
    erasures.request_account(db, CHANGELOG, ACCOUNT, LATER)
    hand_on(db, other)
    assert carry_out(other, CHANGELOG, OWN_COPY, SECRET, "other", LATER) == {"accounts": 1}
    path = Path(other.execute("PRAGMA database_list").fetchone()["file"])
    assert told(path, ACCOUNT) == {"customer", "bare_account", "erasure_request", "erasure_done"}
    connect(other)
    erasures.request_account(db, CHANGELOG, ACCOUNT, datetime(2026, 11, 19, tzinfo=UTC))
    hand_on(db, other)
    before = everything(path)["account"]
    assert carry_out(other, CHANGELOG, OWN_COPY, SECRET, "other", LATER) == {}
    assert everything(path)["account"] == before
