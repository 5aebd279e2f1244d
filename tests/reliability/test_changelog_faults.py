"""Ledger and settings in Kafka: databases that are lost, old or another worker's, and nobody who left comes back."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import OFFSET_END, TopicPartition
from confluent_kafka.admin import NewTopic

from tests.e2e.conftest import KEY, Cli
from tests.integration.broker import Broker, KafkaProcess
from tests.integration.topic import Topic
from tests.reliability.shop import Shop, committed, records
from worker.changelog.signatures import Signatures
from worker.changelog.writer import ChangelogWriter
from worker.clock import utc_now
from worker.mailchimp.calls import Call
from worker.model import AccountId
from worker.sandbox.faults import Fault
from worker.sandbox.server import SandboxServer
from worker.sandbox.server_state import StandIn
from worker.sqlite.database import open_database
from worker.store import accounts, customers, ledger_erasure, offsets

pytestmark = pytest.mark.kafka
A, B, C = "a@example.com", "b@example.com", "c@example.com"


# A database that is lost, or an old copy of it


def test_a_lost_database_costs_a_replay_and_no_call(shop: Shop) -> None:
    """Settings are there, unchanged customers cost no call, and what changed since is sent by what was sent before."""
    for number in range(20):
        shop.publish(f"cus-{number}", f"{number}@example.com", first_name="Ann")
    shop.publish("gone", A)
    shop.publish("withdrawn", B)
    shop.calls(shop.worker())
    shop.publish("gone", A, "deleted")
    shop.publish("withdrawn", B, marketing_consent=False)
    shop.calls(shop.worker())
    before = shop.members()
    shop.lose()
    assert shop.calls(shop.worker()) == []
    assert shop.members() == before
    shop.lose()
    shop.publish("cus-3", "3@example.com", first_name="Bob")
    (call,) = shop.calls(shop.worker())
    assert call.method == "PATCH"
    assert call.body == {"merge_fields": {"FNAME": "Bob"}}


@pytest.mark.parametrize("what", ["lost", "old copy", "another worker", "another worker with an old copy"])
def test_nobody_who_left_comes_back_with_another_database(shop: Shop, what: str) -> None:
    """Members that left, withdrew consent or were archived stay so, though the database does not know what was done."""
    cli = shop.worker()
    shop.calls(cli)
    shop.copy("first", "old")
    for customer, email in (("left", A), ("withdrawn", B), ("archived", C)):
        shop.publish(customer, email)
    shop.publish("refused", "forgotten@example.com")
    shop.standin.by_hand("master", "forgotten@example.com", "subscribe")
    shop.standin.by_hand("master", "forgotten@example.com", "forget")
    shop.calls(cli)
    shop.standin.by_hand("master", A, "unsubscribe")
    shop.publish("withdrawn", B, marketing_consent=False)
    shop.publish("archived", C, "deleted")
    shop.calls(cli)
    shop.publish("left", "new-a@example.com")
    shop.publish("withdrawn", "new-b@example.com", marketing_consent=True)
    shop.publish("archived", C)
    shop.publish("refused", "new-refused@example.com")
    name = "second" if what.startswith("another") else "first"
    if what == "lost":
        shop.lose()
    elif what == "old copy":
        shop.copy("old", "first")
    elif what == "another worker with an old copy":
        shop.copy("old", "second")
        with closing(open_database(shop.folder / "second" / "worker.db")) as db, db.transaction():
            db.execute("UPDATE group_instance SET id = 'worker-second'")
    shop.calls(shop.worker(name))
    assert shop.members() == {A: "unsubscribed", B: "unsubscribed", C: "subscribed"}
    assert shop.standin.audit.put_back() == []


def test_what_a_flush_left_undone_is_done_with_another_database(shop: Shop) -> None:
    """An add that was begun, whose answer the lost database would have known, is recognised by its intent."""
    shop.publish("ann", A)
    shop.standin.faults = [Fault("timeout_after", method="POST", times=1)]
    shop.calls(shop.worker(), code=3)
    assert shop.status(A) == "subscribed"
    shop.lose()
    shop.publish("ann", A, "deleted")
    shop.calls(shop.worker())
    assert shop.status(A) == "archived"


def test_a_resync_reaches_other_workers(shop: Shop) -> None:
    """A list chosen at one worker's database has the account's customers looked at again where they are delivered."""
    shop.publish("ann", A)
    shop.calls(shop.worker())
    shop.worker("second")("lists", "master", "acct-1", "other", "--yes")
    shop.calls(shop.worker())
    assert shop.status(A, "other") == "subscribed"
    assert shop.status(A) == "archived"


# What is in Kafka


def test_settings_are_confirmed_only_when_kafka_has_them(
    own_kafka: KafkaProcess, tmp_path: Path, sandbox: SandboxServer, standin: StandIn
) -> None:
    """Without a broker nothing is changed, and one message says so; API keys go to Kafka encrypted."""
    topic = Topic(Broker(own_kafka.bootstrap_servers, "its own"), "customers", 2)
    topic.create()
    shop = Shop(tmp_path, topic, sandbox, standin)
    (tmp_path / "secret").write_text("MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=\n")
    (tmp_path / "secret").chmod(0o600)
    cli = shop.worker()
    cli.connect()
    kept = list(records(topic, "customers.settings"))
    assert kept
    assert not any(KEY.encode() in (value or b"") for _, value in kept)
    own_kafka.stop()
    told = cli("account", "disable", "acct-1", code=1)
    assert "No Kafka broker answers" in told
    with closing(open_database(shop.folder / "first" / "worker.db")) as db:
        assert all(one.enabled for one in accounts.all_accounts(db))


def test_a_person_who_is_forgotten_leaves_only_nulls(shop: Shop) -> None:
    """Of a forgotten person compaction keeps nothing; of everybody else there is never a null."""
    shop.publish("ann", A)
    shop.publish("bob", B)
    cli = shop.worker()
    shop.calls(cli)
    cli("forget", A, "--yes")
    newest = dict(records(shop.topic, f"{shop.topic.name}.ledger"))
    named = {key: value for key, value in newest.items() if A.encode() in (key or b"") or b'"ann"' in (key or b"")}
    assert named
    assert set(named.values()) == {None}
    assert all(value is not None for key, value in newest.items() if key not in named)


def test_a_forgotten_account_is_forgotten_everywhere(shop: Shop) -> None:
    """Its key, settings and ledger go from Kafka too; what stays is the request, which other workers carry out."""
    shop.publish("ann", A)
    shop.calls(shop.worker())
    shop.worker()("account", "forget", "acct-1", "--yes")
    for name in ("ledger", "settings"):
        newest = dict(records(shop.topic, f"{shop.topic.name}.{name}"))
        of_account = {key: value for key, value in newest.items() if b'"acct-1"' in (key or b"")}
        left = {json.loads(key or b"")[0] for key, value in of_account.items() if value is not None}
        assert left == ({"erasure"} if name == "settings" else set())
    assert shop.calls(shop.worker("second")) == []
    assert shop.worker("second").json("account", "list") == []


# What a database alone knows


def make_it_older(shop: Shop, name: str = "first") -> None:
    """Takes from a database that its ledger and settings ever were in Kafka, and from Kafka that it had them."""
    with closing(open_database(shop.folder / name / "worker.db")) as db, db.transaction():
        db.execute("DELETE FROM next_offset WHERE topic LIKE '%.ledger' OR topic LIKE '%.settings'")
        db.execute("DELETE FROM changelog_topic")
    kept = [f"{shop.topic.name}.ledger", f"{shop.topic.name}.settings"]
    for deleted in shop.topic.admin.delete_topics(kept).values():
        deleted.result(30)


def test_a_database_from_before_is_moved_by_one_command(shop: Shop) -> None:
    """Until then the worker refuses to deliver, and says what to do; afterwards the file may be lost."""
    shop.publish("ann", A)
    shop.publish("bob", B)
    shop.calls(shop.worker())
    shop.standin.by_hand("master", A, "unsubscribe")
    make_it_older(shop)
    told = shop.worker()("run", "--once", code=1)
    assert "mailchimp-worker move-ledger" in told
    assert "1 account" in shop.worker()("move-ledger")
    assert "Kafka has everything" in shop.worker()("move-ledger")
    shop.lose()
    shop.publish("ann", C)
    shop.calls(shop.worker())
    assert shop.members() == {A: "unsubscribed", B: "subscribed"}


# Topics


def test_a_topic_that_forgets_is_refused(shop: Shop) -> None:
    """A ledger that expires would forget who left a list; check and the worker say how to repair it."""
    ledger_topic = f"{shop.topic.name}.ledger"
    shop.topic.admin.delete_topics([ledger_topic])[ledger_topic].result(30)
    new = NewTopic(ledger_topic, 2, 1, config={"cleanup.policy": "delete"})
    shop.topic.admin.create_topics([new])[ledger_topic].result(30)
    for command in (("run", "--once"), ("check",)):
        told = shop.worker()(*command, code=1)
        assert "kafka-configs.sh" in told.replace("\n", " ")
        assert "cleanup.policy=compact" in told.replace("\n", " ")


def test_topics_that_the_worker_creates_are_no_failure(whole_kafka: object, topic: Topic, tmp_path: Path) -> None:
    """`check` creates no topic, and says that the worker does; only the missing account is left to do."""
    cli = Cli(tmp_path, topic, "http://127.0.0.1:9/3.0")
    topic.configure(cleanup_policy="compact")
    told = " ".join(cli("check", code=3).split())
    assert told.count("It does not exist yet. The worker creates it when it starts.") == 3
    assert f"{topic.name}.ledger" not in topic.admin.list_topics(timeout=10).topics
    with closing(open_database(cli.path)):
        assert "FAILED" not in cli("check", code=0)
    assert f"{topic.name}.ledger" not in topic.admin.list_topics(timeout=10).topics


@pytest.mark.parametrize("gone", [("ledger",), ("settings",), ("ledger", "settings")])
def test_check_fails_if_ledger_or_settings_were_deleted(shop: Shop, gone: tuple[str, ...]) -> None:
    """The worker would create them empty, without who left a list: check says how to write them again."""
    names = [f"{shop.topic.name}.{one}" for one in gone]
    for deleted in shop.topic.admin.delete_topics(names).values():
        deleted.result(30)
    told = " ".join(shop.worker()("check", code=1).split())
    assert told.count("It does not exist any more.") == len(gone)
    assert "mailchimp-worker move-ledger, then" in told


# A worker that is not the ledger's writer any more


def test_a_resync_of_a_whole_account_takes_no_ledger(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """A command that writes only settings lets a flush under way continue."""
    answer, marked = shop.standin.answer, list[str]()

    def marking(key: str, call: Call, *, crowded: bool) -> Any:
        if not call.reads_only and not marked:
            marked.append(shop.worker()("resync", "acct-1"))
        return answer(key, call, crowded=crowded)

    monkeypatch.setattr(shop.standin, "answer", marking)
    shop.publish("ann", A)
    cli = shop.worker()
    cli.environment["WORKER_MAILCHIMP__TIMEOUT"] = "60"
    assert "took over" not in cli("run", "--once")
    assert "checks 1 customer" in marked[0]
    with closing(open_database(shop.folder / "first" / "worker.db")) as db:
        assert [row["state"] for row in db.execute("SELECT state FROM ledger")] == ["present"]


def test_a_flush_whose_ledger_was_taken_settles_nothing(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """A flush whose ledger partition another worker took over settles nothing, and Kafka refuses its record."""
    changelog = ChangelogWriter(shop.topic.settings(), utc_now, lambda: Signatures([b"k" * 32]))
    ledger_topic = changelog.topics.ledger
    answer, taken = shop.standin.answer, list[int]()

    def taking(key: str, call: Call, *, crowded: bool) -> Any:
        if not call.reads_only and not taken:
            taken.append(changelog.ledger_partition(AccountId("acct-1")))
            changelog.take(ledger_topic, taken[0], lambda: None)
        return answer(key, call, crowded=crowded)

    monkeypatch.setattr(shop.standin, "answer", taking)
    shop.publish("ann", A)
    cli = shop.worker()
    cli.environment["WORKER_MAILCHIMP__TIMEOUT"] = "20"
    assert "took over partition" in cli("run", "--once", code=1)
    assert shop.status(A) == "subscribed"
    with closing(open_database(shop.folder / "first" / "worker.db")) as db:
        assert customers.changed_count(db, AccountId("acct-1")) == 1
        assert [row["state"] for row in db.execute("SELECT state FROM ledger")] == ["intended"]
    told = [
        json.loads(value or b"{}")
        for key, value in records(shop.topic, ledger_topic.name)
        if b'"place"' in (key or b"")
    ]
    assert {one["state"] for one in told} == {"intended"}
    shop.calls(cli)
    shop.publish("ann", A, "deleted")
    shop.calls(cli)
    assert shop.status(A) == "archived"


# A ledger that is lost


@pytest.mark.parametrize("what", ["ledger recreated", "settings recreated", "ledger expired"])
def test_a_lost_ledger_is_not_taken_for_an_empty_one(shop: Shop, what: str, until: Callable[..., None]) -> None:
    """Nobody is delivered, with whatever database, before an operator says so; check and the worker tell why."""
    shop.publish("ann", A)
    shop.calls(shop.worker())
    shop.standin.by_hand("master", A, "unsubscribe")
    shop.publish("ann", A, first_name="Ann")
    shop.calls(shop.worker())
    name = f"{shop.topic.name}.{'settings' if what.startswith('settings') else 'ledger'}"
    if what.endswith("recreated"):
        shop.topic.admin.delete_topics([name])[name].result(30)
    else:
        # As retention does where cleanup.policy was delete for a while; brokers learn of a policy a moment later.
        kept = Topic(shop.topic.broker, name, shop.topic.partitions)
        kept.configure(**{"cleanup.policy": "delete"})
        ends = [TopicPartition(name, one, OFFSET_END) for one in range(shop.topic.partitions)]
        until(lambda: all(one.exception(30) is None for one in shop.topic.admin.delete_records(ends).values()))
        kept.configure(**{"cleanup.policy": "compact"})
    shop.publish("ann", C)
    for worker in ("second", "first"):
        told = shop.worker(worker)("run", "--once", code=1)
        assert "mailchimp-worker ledger accept-loss" in told.replace("\n", " ")
        assert "accept-loss" in shop.worker(worker)("check", code=1).replace("\n", " ")
        shop.lose("second")
    assert shop.members() == {A: "unsubscribed"}
    told = shop.worker("second")("ledger", "accept-loss", "--yes")
    assert "Who left a list under an earlier address" in told
    shop.standin.audit.calls.clear()
    shop.worker("second")("run", "--once")
    queries = [one.call.query for one in shop.standin.audit.calls]
    read = [one for one in queries if "members.email_address" in one.get("fields", "")]
    # Everybody who ever left: what was read of them before is lost. Without settings nothing is delivered.
    assert bool(read) == (what != "settings recreated")
    assert not any("since_last_changed" in one for one in read)


def test_no_loss_is_accepted_where_nothing_is_lost(shop: Shop) -> None:
    """`ledger accept-loss` says so, asks nothing and changes nothing."""
    shop.publish("ann", A)
    cli = shop.worker()
    shop.calls(cli)
    assert "Nothing is lost" in cli("ledger", "accept-loss")
    shop.publish("bob", B)
    calls = shop.calls(cli)
    assert any(one.method == "POST" for one in calls)
    # A loss that was accepted has everybody read who ever left; otherwise only what changed since is read.
    queries = [one.call.query for one in shop.standin.audit.calls]
    read = [query for query in queries if "members.email_address" in query.get("fields", "")]
    assert read
    assert all("since_last_changed" in query for query in read)


# A partition's new owner


def test_a_new_owner_waits_for_calls_of_the_one_before(shop: Shop, until: Callable[..., None]) -> None:
    """A worker that was killed may have calls under way: who takes its partition begins none before they are over."""
    shop.publish("ann", A)
    shop.calls(shop.worker())
    first = shop.worker()
    first.environment["WORKER_FLUSH__AT"] = "00:00"
    process = first.start("run")
    try:
        path = shop.folder / "first" / "worker.db"
        shop.publish("bob", B)

        def staged() -> bool:
            with closing(open_database(path)) as db:
                return bool(customers.total_count(db) == 2)

        until(staged)
        until(lambda: committed(shop.topic) == {"worker"})
    finally:
        process.kill()
        process.communicate()
    second = shop.worker("second")
    process = second.start("run", "--once")
    _, err = process.communicate(timeout=90)
    assert "was another worker's" in err
    assert shop.status(B) == "subscribed"


def test_reading_goes_on_where_the_copy_ends(shop: Shop) -> None:
    """What a database's own worker wrote is not read again by it."""
    shop.publish("ann", A)
    shop.calls(shop.worker())
    with closing(open_database(shop.folder / "first" / "worker.db")) as db:
        ends = {one.partition: one.next_offset for one in offsets.of_topic(db, f"{shop.topic.name}.ledger")}
        assert ledger_erasure.customers_at(db, A)  # type: ignore[arg-type]
    assert list(records(shop.topic, f"{shop.topic.name}.ledger"))
    assert list(records(shop.topic, f"{shop.topic.name}.ledger", ends)) == []
