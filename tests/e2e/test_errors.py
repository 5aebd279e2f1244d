"""What users see when something is wrong: one clear message, what to do, the exit code, and no traceback."""

import base64
import json

import pytest

from tests.e2e.conftest import KEY, Cli
from tests.integration.topic import Topic, event
from worker.sandbox.faults import Fault
from worker.sandbox.server_state import StandIn


def test_a_wrong_setting_stops_every_command_with_its_name(cli: Cli):
    """The error of a wrong or unknown setting has its name, its value and what is allowed; exit 2."""
    cli.environment["WORKER_FLUSH__AT"] = "25:00"
    cli.environment["WORKER_COLOUR"] = "red"
    told = cli("status", code=2)
    assert "flush.at = '25:00': must be a time of day as HH:MM, 00:00 to 23:59 (WORKER_FLUSH__AT)" in told
    assert "WORKER_COLOUR: there is no such setting" in told


@pytest.mark.parametrize("command", [("run",), ("run", "--once"), ("flush",)])
def test_an_unreachable_broker_is_one_message(cli: Cli, command: tuple[str, ...]):
    """Without a broker the worker says where it looked and what to check; exit 1."""
    cli.connect()
    cli.environment["WORKER_KAFKA__BOOTSTRAP_SERVERS"] = "127.0.0.1:1"
    told = cli(*command, code=1)
    assert "No Kafka broker answers at 127.0.0.1:1" in told
    assert "WORKER_KAFKA__BOOTSTRAP_SERVERS" in told
    assert len(told.splitlines()) == 2


def test_only_the_worker_itself_writes_its_log_as_json(cli: Cli):
    """An operator who runs a command in the worker's container reads text, although the worker's log is JSON."""
    cli.environment |= {"WORKER_LOG__FORMAT": "json", "WORKER_KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:1"}
    assert cli("account", "show", "acct-1", code=1).startswith("error: There is no database at ")
    assert json.loads(cli("run", "--once", code=1).splitlines()[-1])["code"] == "kafka_error"


def test_a_missing_topic_is_one_message(cli: Cli, whole_kafka):
    """A topic that is not there is named, with what to do."""
    cli.environment["WORKER_KAFKA__TOPIC"] = "no-such-topic"
    assert "Kafka has no topic no-such-topic" in cli("run", "--once", code=1)


def test_an_unreachable_mailchimp_is_one_message(cli: Cli):
    """A flush that no answer comes for tells the account and ends with 1; its customers stay changed."""
    cli.connect()
    cli.publish(event("ann", version=1, email="ann@example.com"))
    cli.environment["WORKER_MAILCHIMP__BASE_URL"] = "http://127.0.0.1:1/3.0"
    told = cli("run", "--once", code=1)
    assert "Mailchimp gave no useful answer" in told
    assert cli.json("status")["customers_waiting"] == 1
    assert "error: " in cli("account", "connect", "acct-2", "--api-key-stdin", stdin=KEY, code=1)


@pytest.mark.parametrize(
    ("key", "code", "told"),
    [
        ("nonsense", 2, "does not end with a dash and its data centre"),
        ("", 2, "No API key was given"),
        ("abc-evil.example/x", 2, "it has letters and digits only"),
        ("fedcba9876543210fedcba9876543210-us1", 1, "API Key Invalid"),
    ],
)
def test_a_key_that_is_none_is_reported_before_anything_is_stored(cli: Cli, key: str, code: int, told: str):
    """Malformed and refused keys have different errors, and the account is not made."""
    said = cli("account", "connect", "acct-1", "--api-key-stdin", stdin=key, code=code)
    assert told in said
    if code == 2:  # no database was needed, and a command that only reads makes none
        assert f"There is no database at {cli.folder / 'worker.db'}." in cli("account", "list", code=1)
        assert not (cli.folder / "worker.db").exists()
    else:
        assert cli.json("account", "list") == []


def test_each_wrong_step_of_an_account_says_what_to_do(cli: Cli, standin: StandIn):
    """Out of order, unknown, not stored, gone: each step that cannot be done names the step that can."""
    refused = cli("account", "enable", "acct-1", "--json", code=1)
    assert json.loads(refused)["code"] == "not_found"
    assert "account connect" in json.loads(refused)["advice"]
    told = cli("account", "connect", "acct-1", "--api-key-stdin", stdin=KEY)
    assert 'accepts the API key …cdef-us1 of the Mailchimp account "owner" (login owner).' in told
    assert "lists refresh acct-1" in cli("lists", "store", "acct-1", "master", code=1)
    cli("lists", "refresh", "acct-1")
    assert "lists store acct-1" in cli("lists", "master", "acct-1", "master", code=1)
    assert "no list nowhere" in cli("lists", "store", "acct-1", "nowhere", code=1)
    stored = cli.json("lists", "store", "acct-1", "--all")
    assert {(one["list_id"], one["stored"]) for one in stored} == {("master", True), ("other", True), ("spare", True)}
    cli("lists", "master", "acct-1", "other")
    standin.delete_list("other")
    cli("lists", "refresh", "acct-1")
    assert "gone from Mailchimp" in cli("lists", "master", "acct-1", "other", code=1)
    assert "is gone from Mailchimp" in cli("account", "show", "acct-1")
    assert "Name the ids of the lists to store, or use --all" in cli("lists", "store", "acct-1", code=2)


def test_a_stored_list_of_another_account_cannot_be_stored(cli: Cli):
    """A list that another account has stored is refused, without saying which account that is."""
    cli.connect()
    cli("account", "connect", "acct-2", "--api-key-stdin", stdin=KEY)
    cli("lists", "refresh", "acct-2")
    told = cli("lists", "store", "acct-2", "master", code=1)
    assert "Only one account can store a list" in told
    assert "acct-1" not in told


def test_a_line_that_is_no_event_is_named_and_nothing_is_published(cli: Cli, topic: Topic):
    """Publish checks the whole file first."""
    path = cli.folder / "bad.jsonl"
    path.write_text(json.dumps(event("ann", version=1, email="a@example.com")) + "\n{}\n")
    told = cli("publish", str(path), code=2)
    assert f"Line 2 of {path} is not an event about a customer" in told
    cli("run", "--once")
    assert cli.json("status")["customers"] == 0
    assert "cannot be read" in cli("publish", str(cli.folder / "none.jsonl"), code=1)


def test_records_that_cannot_be_understood_are_dead_letters(cli: Cli, topic: Topic):
    """Dead letters are listed, shown whole, replayed, dropped; reading goes on."""
    cli.connect()
    topic.produce(b"no json", b"acct-1/x")
    topic.produce(b"\xff\xfe", None)
    topic.flush()
    cli.publish(event("ann", version=1, email="ann@example.com"))
    cli("run", "--once")
    found = cli.json("dead-letters", "list")
    assert len(found) == 2
    assert cli.json("status")["customers"] == 1
    shown = cli("dead-letters", "show", str(found[0]["number"]))
    assert "no json" in shown
    told = cli("dead-letters", "replay", str(found[0]["number"]), code=1)
    assert "still not understood" in told
    assert f"mailchimp-worker dead-letters drop {found[0]['number']}" in told
    cli("dead-letters", "drop", str(found[1]["number"]))
    assert "No dead letter matches" in cli("dead-letters", "drop", "--account", "acct-2", "--yes", code=1)
    assert "Abort" in cli("dead-letters", "drop", "--account", "acct-1", stdin="n", code=1)
    assert "Removed 1 dead letter." in cli("dead-letters", "drop", "--account", "acct-1", "--yes")
    assert "no dead letters" in cli("dead-letters", "list")
    assert "There is no dead letter 99" in cli("dead-letters", "show", "99", code=1)


def test_a_paused_account_is_reported_by_status_and_check_and_starts_again_by_a_new_key(cli: Cli, standin: StandIn):
    """A refused key pauses the account: run ends with 3 and says what to do; a new key ends the pause."""
    cli.connect()
    standin.faults = [Fault("status", path="/lists", status=401, title="API Key Invalid")]
    cli.publish(event("ann", version=1, email="ann@example.com"))
    told = cli("run", "--once", code=3)
    assert "API Key Invalid" in told
    assert "account acct-1 is paused: Store a new API key (mailchimp-worker account connect acct-1)" in told
    assert "paused" in cli("status")
    assert "paused" in cli("check", code=1)
    standin.faults = []
    cli("account", "connect", "acct-1", "--api-key-stdin", stdin=KEY)
    assert "1 added" in cli("run", "--once")
    told = cli.json("check") if not cli.topic.broker.whole else json.loads(cli("check", "--json", code=1))
    assert [one["what"] for one in told if one["level"] == "failed"] in ([], ["cleanup.policy"])


def test_resync_and_forget(cli: Cli, standin: StandIn):
    """Resync marks customers again, forget erases a person, account forget an account; an unknown one is an error."""
    cli.connect()
    cli.publish(event("ann", version=1, email="ann@example.com"), event("bob", version=1, email="bob@example.com"))
    cli("run", "--once")
    assert "2 customers" in cli("resync", "acct-1")
    assert "1 customer of account" in cli("resync", "acct-1", "--email", "ann@example.com", "--clear-suppressed")
    unknown = cli("resync", "acct-1", "--email", "who@example.com", code=1)
    assert "No customer of account acct-1" in unknown
    assert "mailchimp-worker explain who@example.com" in unknown
    cli("forget", "ann@example.com", "--yes")
    assert "No customer with the address" in cli("explain", "ann@example.com", code=1)
    assert standin.find_list("master").find("ann@example.com") is not None
    assert "is forgotten here" not in cli("account", "forget", "nobody", "--yes")
    cli("account", "forget", "acct-1", "--yes")
    assert cli.json("account", "list") == []
    assert cli.json("receipts") == []


def test_wrong_use_ends_with_2(cli: Cli):
    """Unknown commands, missing and contradictory arguments are wrong use."""
    for arguments in (("fly",), ("lists", "master", "acct-1"), ("flush", "--confirm"), ("flush", "--calls")):
        cli(*arguments, code=2)


def test_a_corrupt_database_is_reported(cli: Cli):
    """A file that is no database is named as such, and is not touched."""
    path = cli.folder / "worker.db"
    path.write_bytes(b"this is no database, but long enough to be looked at" * 100)
    told = cli("status", code=1)
    assert "file is not a database" in told
    assert path.read_bytes().startswith(b"this is no database")


def test_a_new_secret_key_takes_over_by_rekey(cli: Cli):
    """With another secret key commands say so; rekey, given the old one, makes it the new one's."""
    cli.connect()
    old = (cli.folder / "worker.db.key").read_text()
    cli.environment["WORKER_SECRET_KEY"] = base64.b64encode(b"n" * 32).decode()
    assert "was encrypted with another secret key" in cli("lists", "refresh", "acct-1", code=1)
    assert "malformed" in cli("account", "rekey", stdin="nonsense", code=1)
    assert "Encrypted 1 API key with WORKER_SECRET_KEY." in cli("account", "rekey", stdin=old)
    cli("lists", "refresh", "acct-1")
    assert "0 API keys" in cli("account", "rekey", stdin=old)


def test_a_version_that_is_too_high_is_found_and_forgotten(cli: Cli, standin: StandIn):
    """The check names the customer and what to do: then the ignored event takes its place, and is sent."""
    cli.connect()
    for version, email in ((2**60, "old@example.com"), (18, "new@example.com")):
        cli.publish(event("ann", version=version, email=email))
    cli("run", "--once")
    assert {one.email for one in standin.members("master")} == {"old@example.com"}
    told = " ".join(cli("check", code=1).split())
    assert "acct-1/ann (old@example.com: version 18 came after 1152921504606846976)" in told
    assert "--forget-version" in told
    assert cli.json("status")["stuck_customers"] == 1
    assert "highest version of 1 customer" in cli("resync", "acct-1", "--email", "old@example.com", "--forget-version")
    assert cli.json("status")["stuck_customers"] == 0
    cli("run", "--once")
    assert {one.email for one in standin.members("master") if one.status == "subscribed"} == {"new@example.com"}


def test_events_are_published_from_a_pipe(cli: Cli):
    """`publish -` reads standard input, and an empty input is an error."""
    line = json.dumps(event("ann", version=1, email="ann@example.com"))
    assert "Published 1 event to" in cli("publish", "-", stdin=line)
    assert "There is no event in standard input" in cli("publish", "-", stdin="", code=2)


def test_a_link_before_there_is_a_secret_key_makes_none(cli: Cli):
    """`link` without a secret key is refused, because no worker would accept a link that a new key signs."""
    said = cli("link", "acct-1", code=1)
    assert "There is no secret key" in said
    assert "There is no secret key" in cli("link", "--key", code=1)
    assert "Invalid account id." in cli("link", "acct/1", code=2)
    assert "Invalid account id." in cli("account", "connect", "acct/1", "--api-key-stdin", stdin=KEY, code=2)
