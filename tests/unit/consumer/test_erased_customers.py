"""Events of customers who were erased: not staged again, unless they are newer than that."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.checked_changelog import CHANGELOG
from tests.connected import connected
from tests.staged import stage_batch
from tests.unit.accounts.build import OTHER_SECRET, SECRET
from tests.unit.consumer.test_batch import ACCOUNT, AT, event
from worker.accounts.forget import forget_person
from worker.accounts.hash_key import departed_of, hash_key
from worker.accounts.secrets import SecretKey
from worker.changelog import table_rows
from worker.clock import as_text
from worker.consumer.batch import replay
from worker.consumer.decode import Record
from worker.consumer.erased_customers import ErasedCustomers
from worker.errors import SecretKeyError
from worker.model import AddressKey, CustomerId, MembershipKey
from worker.sqlite.database import Database, open_database
from worker.store import counts, customers, dead_letters, forgotten, ledger
from worker.store.ledger import CustomerStatus

ANN = "ann@example.com"
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
EARLIER, LATER = as_text(NOW - timedelta(hours=1)), as_text(NOW + timedelta(hours=1))


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    """An empty staging database."""
    opened = connected(open_database(tmp_path / "x.db"))
    yield opened
    opened.close()


def key_of(db: Database, secret: SecretKey = SECRET) -> bytes | None:
    """The key of the hashes, as the worker opens it."""
    return hash_key(db, secret)


def stage(db: Database, *records: Record, topic_id: str = "id") -> None:
    """Stages records as the worker does."""
    stage_batch(db, "t", topic_id, records, AT, key_of)


def erase(db: Database) -> None:
    """Erases Ann."""
    forget_person(db, CHANGELOG, AddressKey(ANN), secret=SECRET, at=NOW)


def ids(db: Database) -> set[str]:
    """Who is staged."""
    return {row[0] for row in db.execute("SELECT customer_id FROM customer")}


LOG = (
    event(0, "ann", email=ANN, version=1, first_name="Ann"),
    event(1, "bob", email="bob@example.com", version=4),
    event(2, "ann", email=ANN, version=2),
)


def test_the_deletion_that_follows_an_erasing_brings_no_row_back(db: Database) -> None:
    """Whatever its version; but of one who came again since it counts, and so does one that withdraws consent."""
    stage(db, *LOG)
    erase(db)
    stage(db, event(3, "ann", kind="deleted", email=ANN, version=3))
    assert ids(db) == {"bob"}
    stage(db, event(4, "ann", kind="deleted", email=ANN, version=4, marketing_consent=False))
    assert ids(db) == {"ann", "bob"}
    erase(db)
    stage(db, event(5, "ann", email=ANN, version=5))
    stage(db, event(6, "ann", kind="deleted", email=ANN, version=6))
    (ann,) = customers.by_ids(db, ACCOUNT, [CustomerId("ann")])
    assert ann.deleted


def test_the_log_read_again_from_its_beginning_stages_nobody_who_was_erased(db: Database) -> None:
    """Others are read as ever, and what is not staged is counted."""
    stage(db, *LOG)
    erase(db)
    stage(db, *LOG)
    assert ids(db) == {"bob"}
    assert counts.totals(db, "t")["erased"] == 2


@pytest.mark.parametrize("version", [3, None])
def test_an_event_that_was_not_read_before_is_staged(db: Database, version: int | None) -> None:
    """Whom billmywork publishes again after that is a customer again."""
    stage(db, *LOG)
    erase(db)
    stage(db, *LOG, event(3, "ann", email=ANN, version=version))
    assert ids(db) == {"ann", "bob"}
    (found,) = customers.by_ids(db, ACCOUNT, [CustomerId("ann")])
    assert (found.position.offset, found.version) == (3, version)


@pytest.mark.parametrize(
    ("fields", "staged"),
    [
        ({"version": 2, "time": LATER}, False),
        ({"version": 3, "time": EARLIER}, True),
        ({"time": EARLIER}, False),
        ({"time": LATER}, True),
    ],
)
def test_in_another_log_version_and_time_decide(db: Database, fields: dict[str, object], staged: bool) -> None:
    """A topic that was recreated has other offsets; an event without a version is newer by its time."""
    stage(db, *LOG)
    erase(db)
    stage(db, event(0, "ann", email=ANN, **fields), topic_id="another")
    assert ("ann" in ids(db)) is staged


@pytest.mark.parametrize(("time", "staged"), [(EARLIER, False), (LATER, True)])
def test_of_who_never_had_a_version_a_version_says_nothing(db: Database, time: str, staged: bool) -> None:
    """Any would be above none, also that of an event of the past."""
    stage(db, event(0, "ann", email=ANN))
    erase(db)
    stage(db, event(0, "ann", email=ANN, version=1, time=time), topic_id="another")
    assert ("ann" in ids(db)) is staged


@pytest.mark.parametrize(("time", "staged"), [(EARLIER, False), (LATER, True)])
def test_who_was_erased_before_any_event_was_read_is_known_by_the_time(db: Database, time: str, staged: bool) -> None:
    """A new database may know a person by the ledger alone, and has read nothing of the log."""
    with db.transaction():
        ledger.put_customer_statuses(
            db,
            ACCOUNT,
            [CustomerStatus(CustomerId("ann"), MembershipKey("one", AddressKey(ANN)))],  # type: ignore[arg-type]
        )
    erase(db)
    stage(db, event(0, "ann", email=ANN, version=1, time=time))
    assert ("ann" in ids(db)) is staged


@pytest.mark.parametrize(("offset", "staged"), [(2, False), (3, True)])
def test_a_withdrawal_counts_that_was_published_later_whatever_its_version(
    db: Database, offset: int, staged: bool
) -> None:
    """It unsubscribes the address, and adds nobody; one that was read before is read no more."""
    stage(db, *LOG)
    erase(db)
    stage(db, event(offset, "ann", email=ANN, version=1, marketing_consent=False))
    assert ("ann" in ids(db)) is staged


def test_a_customer_whose_address_alone_was_erased_is_read_as_ever(db: Database) -> None:
    """Bob had the address once: of him a hash may stay for his opt-out, but he is not erased."""
    stage(db, event(0, "bob", email=ANN, version=1), event(1, "bob", email="bob@example.com", version=2))
    stage(db, event(2, "ann", email=ANN))
    erase(db)
    assert ids(db) == {"bob"}
    stage(db, event(3, "bob", email="bob@example.com", version=3))
    (found,) = customers.by_ids(db, ACCOUNT, [CustomerId("bob")])
    assert found.version == 3


def test_a_dead_letter_of_who_was_erased_is_not_staged_when_it_is_replayed(db: Database) -> None:
    """It is dropped, like one that is staged; one that was read later is staged."""
    stage(db, *LOG)
    erase(db)
    for offset in (1, 7):
        record = event(offset, "ann", email=ANN, version=2 + offset)
        letter = dead_letters.DeadLetter("t", "id", 0, offset, record.key, record.value, [], "not JSON", AT)
        with db.transaction():
            dead_letters.keep(db, [letter])
        (kept,) = dead_letters.all_letters(db)
        assert replay(db, kept, AT, key_of) is None
        assert dead_letters.count(db) == 0
        assert ("ann" in ids(db)) is (offset == 7)


def rebuilt(db: Database, folder: Path, *records: Record) -> Database:
    """A database that read the log before it knew who was erased."""
    other = connected(open_database(folder / "rebuilt.db"))
    stage(other, *records)
    with other.transaction():
        table_rows.apply(other, [one for one in table_rows.all_rows(db) if one.kind in ("forgotten", "topic")])
    return other


def test_who_was_staged_before_the_erasing_was_known_is_removed(db: Database, tmp_path: Path) -> None:
    """Delivered or not: a database that was lost has the events first, and another worker's has the row."""
    stage(db, *LOG)
    erase(db)
    other = rebuilt(db, tmp_path, *LOG)
    other.execute("UPDATE customer SET changed = 0")
    erased = ErasedCustomers(key_of)
    assert erased.drop_staged(other) == 1
    assert ids(other) == {"bob"}
    assert erased.drop_staged(other) == 0
    assert forgotten.compared_with(other, ACCOUNT) == forgotten.hashes_of_customers(other, ACCOUNT)
    other.close()


def test_who_came_back_and_was_erased_once_more_is_removed_whatever_the_clock_said(
    db: Database, tmp_path: Path
) -> None:
    """Also by a worker whose clock is behind that of another one: no hash is new, and none is later."""
    bob = "bob@example.com"
    stage(db, *LOG)
    erase(db)
    forget_person(db, CHANGELOG, AddressKey(bob), secret=SECRET, at=NOW + timedelta(hours=2))
    back = event(3, "ann", email=ANN, version=3)
    other = rebuilt(db, tmp_path, *LOG, back)
    ErasedCustomers(key_of).drop_staged(other)
    with other.transaction():
        other.execute("UPDATE customer SET changed = 0")
    assert ids(other) == {"ann"}
    stage(db, back)
    forget_person(db, CHANGELOG, AddressKey(ANN), secret=SECRET, at=NOW + timedelta(hours=1))
    with other.transaction():
        table_rows.apply(other, table_rows.all_rows(db))
    ErasedCustomers(key_of).drop_staged(other)
    assert ids(other) == set()
    other.close()


def test_who_came_back_since_is_not_removed(db: Database, tmp_path: Path) -> None:
    """A staged customer whose newest event is newer than the erasing stays."""
    stage(db, *LOG)
    erase(db)
    other = rebuilt(db, tmp_path, *LOG, event(3, "ann", email=ANN, version=3))
    assert ErasedCustomers(key_of).drop_staged(other) == 0
    assert ids(other) == {"ann", "bob"}
    other.close()


def test_who_is_staged_while_somebody_is_erased_is_removed_before_the_next_flush(db: Database) -> None:
    """Also after all of the account were compared: what was staged since is changed, and looked at."""
    stage(db, *LOG)
    erase(db)
    erased = ErasedCustomers(key_of)
    assert erased.drop_staged(db) == 0
    stage_batch(db, "t", "id", LOG, AT)  # by a batch that was begun before
    assert ids(db) == {"ann", "bob"}
    assert erased.drop_staged(db) == 1
    assert ids(db) == {"bob"}


def test_an_event_that_comes_while_customers_are_compared_keeps_its_customer(db: Database) -> None:
    """Only the very row that was compared is removed."""
    stage(db, *LOG)
    erase(db)
    stage_batch(db, "t", "id", LOG, AT)
    (before,) = (one for page in customers.staged_of(db, ACCOUNT, only_changed=True) for one in page if one[0] == "ann")
    stage(db, event(3, "ann", email=ANN, version=3))
    with db.transaction():
        assert forgotten.delete_staged(db, [(ACCOUNT, "ann", before.revision)]) == 0
    assert ids(db) == {"ann", "bob"}


def test_without_the_key_reading_goes_on_and_the_account_is_not_delivered(
    db: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """Another secret key stops no reading; what follows is said once, and a flush of the account fails."""
    stage(db, *LOG)
    erase(db)
    erased = ErasedCustomers(lambda db: key_of(db, OTHER_SECRET))
    stage_batch(db, "t", "id", LOG, AT, lambda db: key_of(db, OTHER_SECRET))
    assert ids(db) == {"ann", "bob"}
    assert (erased.drop_staged(db), erased.drop_staged(db)) == (0, 0)
    assert len([one for one in caplog.records if "cannot be recognised" in one.message]) == 2
    with pytest.raises(SecretKeyError):
        departed_of(db, ACCOUNT, OTHER_SECRET)


def test_accounts_without_erased_customers_cost_no_hash(db: Database) -> None:
    """The key is asked for only where somebody of the account was erased."""

    def no_key(db: Database) -> bytes | None:
        raise AssertionError("nobody was erased")

    stage_batch(db, "t", "id", LOG, AT, no_key)
    assert ErasedCustomers(no_key).drop_staged(db) == 0
