"""Records of ledger and settings that were not written with the secret key."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from tests.integration.topic import Topic
from worker.accounts import api_keys, settings
from worker.accounts.secrets import parsed
from worker.app import App
from worker.changelog.partition_writer import KeyValue, PartitionWriter
from worker.cli.context import changing
from worker.config import Config, Staging
from worker.errors import NotSigned
from worker.model import AccountId, AddressKey, CustomerId, ListId, MembershipKey
from worker.sqlite.rows import Changed
from worker.status.check_kafka import check_changelog
from worker.status.checks import Level
from worker.store import accounts, dead_letters, ledger, worker_urls
from worker.store.accounts import AccountSettings
from worker.store.ledger import LedgerEntry

pytestmark = pytest.mark.kafka
ACCOUNT = AccountId("acct-1")
A, B = "a@example.com", "b@example.com"
OLD, NEW = (base64.b64encode(letter * 32).decode() for letter in (b"o", b"n"))


class Worker:
    """One worker's parts, with a database of its own."""

    def __init__(self, folder: Path, topic: Topic, key: str, previous: str | None) -> None:
        folder.mkdir(exist_ok=True)
        keys = {"secret_key": SecretStr(key), "previous_secret_key": SecretStr(previous) if previous else None}
        self.app = App(Config(kafka=topic.settings(), staging=Staging(path=folder / "worker.db"), **keys))  # type: ignore[arg-type]
        self.db = self.app.open_database()
        self.topics = self.app.changelog.topics
        self.partition = self.topics.ledger.partition_of(ACCOUNT)

    def read(self) -> dict[str, str]:
        """Reads both topics as the writer of the account's partition; returns address to customer."""
        with closing(self.app.open_database()) as copy, closing(self.app.open_reader(copy)) as reader:
            reader.read_settings()
            reader.check_topics()
            self.app.changelog.take_all_settings(reader.read_settings)
            self.app.changelog.take(self.topics.ledger, self.partition, lambda: reader.read_ledger(self.partition))
        return {row["address"]: row["customer_id"] for row in self.db.execute("SELECT * FROM ledger")}

    def write(self, address: str, customer: str = "cus-1") -> None:
        """Writes settings and an entry of the ledger."""
        place = MembershipKey(ListId("master"), AddressKey(address))
        entry = LedgerEntry(place, CustomerId(customer), "present", "added", "2026-11-22T10:00:00Z")
        chosen = AccountSettings(ACCOUNT, key_hint="-us1", enabled=True)
        for act in (
            lambda: Changed(None, ledger.put_entries(self.db, ACCOUNT, [entry])),
            lambda: Changed(None, accounts.save(self.db, chosen)),
        ):
            self.app.changelog.commit(self.db, act)

    def sign(self) -> None:
        """Signs the existing records, as after an upgrade."""
        self.app.signing(self.db, lambda count: None).write_again(first_time=True)

    def letters(self) -> list[tuple[str, AccountId | None]]:
        """Records that were not applied: the reason, and whose they are."""
        return [(one.reason, one.account_id) for one in dead_letters.all_letters(self.db)]


Hire = Callable[..., Worker]


@pytest.fixture
def hire(whole_kafka: object, topic: Topic, tmp_path: Path) -> Iterator[Hire]:
    """Makes workers by their names, with a secret key and perhaps one before."""
    made: list[Worker] = []

    def new(name: str, key: str = OLD, previous: str | None = None) -> Worker:
        made.append(Worker(tmp_path / name, topic, key, previous))
        return made[-1]

    yield new
    for one in made:
        one.db.close()


def forge(worker: Worker, *records: KeyValue, topic: str = "ledger") -> None:
    """Writes records to a topic as somebody does who has no secret key."""
    name = worker.topics.ledger.name if topic == "ledger" else worker.topics.settings.name
    partition = worker.partition if topic == "ledger" else 0
    writer = PartitionWriter(worker.app.config.kafka, name, partition, lambda key, value: [])
    writer.open()
    writer.write(records)


def place(address: str, account: str = "acct-1") -> bytes:
    """The key of an entry of the ledger."""
    return f'["place","{account}","master","{address}"]'.encode()


ROW = b'{"format":2,"customer_id":"forged","state":"present","origin":"added","fields":"{}","sent_at":"now"}'


@pytest.mark.parametrize("value", [ROW, None, b"{}"], ids=["a row", "a null", "gone"])
def test_who_may_write_to_the_ledger_decides_nothing_without_the_key(hire: Hire, value: bytes | None) -> None:
    """A row, a null or an empty row that is not signed is not applied: it is kept, counted, and its account waits."""
    worker = hire("one")
    worker.read()
    worker.write(A)
    forge(worker, (place(A), value), (place(B), ROW))
    assert worker.read() == {A: "cus-1"}
    assert worker.letters() == [("it is not signed", ACCOUNT)] * 2
    assert worker.app.metrics.refused == {"ledger": 2}
    assert settings.missing(settings.load(worker.db, ACCOUNT))[0].code == "record_not_applied"
    fresh = hire("fresh")
    assert fresh.read() == {A: "cus-1"}  # before compaction takes it away
    assert len(fresh.letters()) == 2


def test_settings_that_are_not_signed_change_nothing(hire: Hire) -> None:
    """Nobody enables an account, or names other topics, without the key; a signature of the ledger does not serve."""
    worker = hire("one")
    worker.read()
    worker.write(A)
    key, value = b'["account","acct-1"]', b'{"format":2,"enabled":0}'
    forge(worker, (key, value), topic="settings")
    assert worker.read() == {A: "cus-1"}
    assert settings.load(worker.db, ACCOUNT).enabled
    sign = partial(worker.app.signatures.headers_of, "ledger")
    writer = PartitionWriter(worker.app.config.kafka, worker.topics.settings.name, 0, sign)
    writer.open()
    writer.write([(key, value), (b'["topic","hash_key",""]', b'{"format":2,"note":"x"}')])
    worker.read()
    assert settings.load(worker.db, ACCOUNT).enabled
    wrong = "its signature is not by this worker's secret key"
    assert worker.letters() == [(wrong, ACCOUNT), (wrong, None)]
    assert worker.app.metrics.refused == {"settings": 3}


def test_what_was_refused_is_written_over_by_what_the_database_has(hire: Hire) -> None:
    """By ledger sign: a new database then has it too, and nobody waits; what no database has is taken away if asked."""
    worker = hire("one")
    worker.read()
    worker.write(A)
    forge(worker, (place(A), None), (place(B), ROW))
    worker.read()
    signing = worker.app.signing(worker.db, lambda count: None)
    assert not signing.unsigned()
    with changing(worker.app, lambda db: [ACCOUNT]):
        assert signing.resolve_refused("restore") == {"restored": 1, "left": 1}
        assert signing.resolve_refused("drop") == {"dropped": 1}
    assert worker.letters() == []
    fresh = hire("fresh")
    assert fresh.read() == {A: "cus-1"}
    assert fresh.letters() == []


def test_what_an_earlier_release_wrote_too_late_is_signed_if_an_operator_says_so(hire: Hire) -> None:
    """As it is: a worker that nobody had ended knows what no other one does."""
    worker = hire("one")
    worker.read()
    worker.write(A)
    forge(worker, (place(A), ROW))
    assert worker.read() == {A: "cus-1"}
    with changing(worker.app, lambda db: [ACCOUNT]):
        assert worker.app.signing(worker.db, lambda count: None).resolve_refused("believe") == {"believed": 1}
    assert worker.read() == {A: "forged"}
    assert hire("fresh").read() == {A: "forged"}
    assert worker.letters() == []


def test_a_flood_of_records_that_are_not_signed_is_not_kept(hire: Hire) -> None:
    """With more than a thousand of a partition it is not read on, so the database does not grow without bound."""
    worker = hire("one")
    worker.read()
    worker.write(A)
    forge(worker, *((place(f"{number}@example.com"), ROW) for number in range(2500)))
    with pytest.raises(NotSigned, match="More than 1000 records"):
        worker.read()
    assert len(worker.letters()) <= 1000
    assert {row["address"] for row in worker.db.execute("SELECT address FROM ledger")} == {A}


def unsigned_release(monkeypatch: pytest.MonkeyPatch) -> None:
    """Has all writers write as a release before signatures does."""
    write = PartitionWriter._produce

    def without(self: PartitionWriter, topic: str, key: Any, value: Any, headers: object, *rest: Any) -> None:
        write(self, topic, key, value, None, *rest)

    monkeypatch.setattr(PartitionWriter, "_produce", without)


def test_after_an_upgrade_nothing_is_believed_until_it_is_signed_once(
    hire: Hire, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No worker starts before, check says what to do, and afterwards every database has what was there."""
    with monkeypatch.context() as before:
        unsigned_release(before)
        upgraded, away = hire("upgraded"), hire("away")
        # That release checked nothing.
        before.setattr("worker.changelog.signatures.Signatures.flaw_of", lambda *_: None)
        upgraded.read()
        upgraded.write(A)
        assert away.read() == {A: "cus-1"}
        upgraded.read()
        upgraded.write(A, "cus-2")
        upgraded.write(B)
        upgraded.app.changelog.commit(
            upgraded.db,
            lambda: Changed(
                None, ledger.drop_entries(upgraded.db, ACCOUNT, [MembershipKey(ListId("master"), AddressKey(B))])
            ),
            erase=True,
        )
    for name in ("upgraded", "away", "fresh"):
        with pytest.raises(NotSigned, match="not signed: an earlier release"):
            hire(name).read()
    with closing(upgraded.app.open_database()) as copy, closing(upgraded.app.open_reader(copy)) as reader:
        found = check_changelog(reader)
    assert found.level is Level.FAILED
    assert "ledger sign" in (found.advice or "")
    assert upgraded.app.signing(upgraded.db, lambda count: None).unsigned()
    upgraded.sign()
    for name in ("upgraded", "away", "fresh"):
        worker = hire(name)
        assert worker.read() == {A: "cus-2"}
        assert worker.letters() == []
        assert settings.load(worker.db, ACCOUNT).enabled
        assert not worker.app.signing(worker.db, lambda count: None).unsigned()
    forge(upgraded, (place(A), ROW))
    assert hire("away").read() == {A: "cus-2"}
    assert hire("away").letters() == [("it is not signed", ACCOUNT)]


def test_what_is_written_behind_signed_records_is_no_earlier_releases(hire: Hire) -> None:
    """Where compaction left a forged record as the first, signing for the first time believes none without a word."""
    worker = hire("one")
    worker.read()
    forge(worker, (place(B), ROW))
    sign = partial(worker.app.signatures.headers_of, "ledger")
    writer = PartitionWriter(worker.app.config.kafka, worker.topics.ledger.name, worker.partition, sign)
    writer.open()
    writer.write([(place("c@example.com"), ROW)])
    forge(worker, (place(A), ROW))
    fresh = hire("fresh")
    signing = fresh.app.signing(fresh.db, lambda count: None)
    with pytest.raises(NotSigned, match="1 record that") as caught:
        signing.write_again(first_time=True)
    assert "ledger sign --believe" in caught.value.advice
    signing.write_again(first_time=True, believe=True)
    assert hire("fresh").read() == {A: "forged", B: "forged", "c@example.com": "forged"}


def note_url(worker: Worker, url: str) -> None:
    """Writes a note beside the settings, which is no account's."""
    worker.app.changelog.commit(worker.db, lambda: Changed(None, worker_urls.put(worker.db, url, [0], "now")))


def test_a_worker_with_the_old_key_alone_catches_up_once_it_has_both(hire: Hire) -> None:
    """What it refused meanwhile is applied, also what is no account's, or goes where a newer record replaces it."""
    old = hire("old")
    old.read()
    old.write(A)
    new = hire("new", NEW, OLD)
    assert new.read() == {A: "cus-1"}
    note_url(new, "http://one")
    note_url(new, "http://two")
    with closing(old.app.open_reader(old.db)) as reader:
        reader.read_settings()
    assert [account for _, account in old.letters()] == [None, None]
    note_url(new, "http://two")
    both = hire("old", NEW, OLD)
    with closing(both.app.open_reader(both.db)) as reader:
        reader.read_settings()
        assert len(both.letters()) == 1
        assert reader.apply_dead_letters() == 1
    assert both.letters() == []
    assert worker_urls.with_partition(both.db, 0) is not None


def test_a_new_secret_key_signs_everything_again(hire: Hire) -> None:
    """With both keys in force either signature counts; after rekey the former key is needed no more, nor believed."""
    worker = hire("one")
    worker.read()
    worker.write(A)
    with pytest.raises(NotSigned, match="a secret key that this worker has"):
        hire("too early", NEW).read()
    both = hire("one", NEW, OLD)
    assert both.read() == {A: "cus-1"}
    both.write(B)
    assert hire("other", NEW, OLD).read() == {A: "cus-1", B: "cus-1"}
    with changing(both.app):
        old = parsed(OLD, "the test")
        api_keys.rekey(both.db, both.app.changelog, old, both.app.secret.alone)
        both.app.signing(both.db, lambda count: None).write_again(first_time=False)
    for name in ("one", "other", "fresh"):
        assert hire(name, NEW).read() == {A: "cus-1", B: "cus-1"}
        assert hire(name, NEW).letters() == []
    sign = partial(worker.app.signatures.headers_of, "ledger")
    writer = PartitionWriter(worker.app.config.kafka, worker.topics.ledger.name, worker.partition, sign)
    writer.open()
    writer.write([(place(A), ROW)])
    assert hire("fresh", NEW).read() == {A: "cus-1", B: "cus-1"}


def test_a_new_secret_key_does_not_sign_what_somebody_else_wrote(hire: Hire) -> None:
    """Rekey says so and signs nothing for good, while the newest record of a key is not signed."""
    worker = hire("one", NEW, OLD)
    worker.read()
    worker.write(A)
    forge(worker, (place(A), ROW))
    with pytest.raises(NotSigned, match="nothing was changed"):
        worker.app.signing(worker.db, lambda count: None).write_again(first_time=False)
    assert worker.read() == {A: "cus-1"}
