"""What Mailchimp's answers do: refusals, faults, lost answers, and who waits for what."""

import threading
from datetime import timedelta
from typing import Any

import pytest

from tests import setters
from tests.checked_changelog import CHANGELOG
from tests.integration.flush.world import ACCOUNT, KEY, Everybody, World
from worker.accounts import api_keys
from worker.clock import as_text
from worker.flush.eligibility import Refused
from worker.mailchimp.calls import Call
from worker.mailchimp.sender import Limiters
from worker.model import AccountId
from worker.sandbox.faults import Fault
from worker.store import accounts, marking, refusals, runs
from worker.store.run_result import RunResult

ANN = "ann@example.com"
pytestmark = pytest.mark.world(direct=False)


def test_a_fake_address_is_tried_after_1_3_and_7_days_and_then_suppressed(world: World):
    """Invalid Resource without a field may pass: it is tried again after days, then suppressed, others go on."""
    world.standin.find_list("master").fake.add(ANN)
    world.event("ann", ANN)
    world.event("bob", "bob@example.com")
    world.flush()
    assert world.status("bob@example.com") == "subscribed"
    assert world.outcomes("ann") == ["refused"]
    for days in (1, 3, 7):
        world.clock.forward(hours=1)
        world.run()
        assert world.writes() == [] or world.calls()
        world.clock.forward(days=days)
        assert world.waits("ann")
        world.run()
    assert world.outcomes("ann") == ["refused", "refused", "refused", "suppressed"]
    assert not world.waits("ann")


def test_a_refused_customer_is_not_due_before_the_date_of_its_next_try(world: World):
    """The run that was refused says when it tries again; until then nobody is asked to look."""
    world.standin.find_list("master").fake.add(ANN)
    world.event("ann", ANN)
    world.event("bob", "bob@example.com")
    (part,) = world.run().accounts
    tried_again = as_text(world.clock() + timedelta(days=1))[:13]
    assert part.ended is RunResult.INCOMPLETE
    assert f"1 customer whom Mailchimp refused is tried again by the first flush after {tried_again}" in part.message
    world.clock.forward(hours=1)
    run = world.run()
    (part,) = run.accounts
    assert (run.ended, part.ended, part.to_do, part.settled) == (RunResult.DONE, RunResult.DONE, 1, 0)
    assert f"is tried again by the first flush after {tried_again}" in part.message
    world.clock.forward(days=1)
    assert world.run().ended is RunResult.INCOMPLETE


def test_a_suppressed_customer_is_sent_again_once_an_operator_clears_it(world: World):
    """Clearing and resyncing takes a suppression back."""
    world.standin.find_list("master").fake.add(ANN)
    world.event("ann", ANN)
    for _ in range(4):
        world.run()
        world.clock.forward(days=8)
    assert world.outcomes("ann")[-1] == "suppressed"
    world.standin.find_list("master").fake.clear()
    world.event("ann", ANN, first_name="Ann")
    world.run()
    assert world.status(ANN) is None

    with world.db.transaction():
        assert refusals.clear(world.db, ACCOUNT, [*refusals.clearable(world.db, ACCOUNT, None)]).result == 1
        marking.mark_changed(world.db, ACCOUNT, None)
    world.run()
    assert world.status(ANN) == "subscribed"


def test_a_forgotten_person_is_suppressed_under_every_address(world: World):
    """Who was deleted for good in Mailchimp is never tried again, under another address neither."""
    world.by_hand(ANN, "subscribe")
    world.by_hand(ANN, "forget")
    world.event("ann", ANN)
    world.flush()
    assert world.outcomes("ann")[-1] == "suppressed"
    world.event("ann", "new@example.com")
    world.flush()
    assert world.members() == {}


@pytest.mark.parametrize("title", ["Forgotten Email Not Subscribed", "Member In Compliance State"])
def test_a_refusal_that_only_the_person_can_end_is_not_cleared(world: World, title: str):
    """Clearing what is suppressed takes back refusals of addresses only, and says how many stay."""
    world.event("ann", ANN)
    world.standin.faults = [Fault("status", method="POST|PUT", status=400, title=title)]
    world.flush()
    world.standin.faults = []
    assert world.outcomes("ann")[-1] == "suppressed"
    assert [*refusals.clearable(world.db, ACCOUNT, None)] == []
    assert refusals.lasting_count(world.db, ACCOUNT, None) == 1
    with world.db.transaction():
        marking.mark_changed(world.db, ACCOUNT, None)
    world.flush()
    assert (world.outcomes("ann")[-1], world.writes()) == ("suppressed", [])


def test_a_call_refused_as_a_whole_is_halved_until_the_culprit_is_found(world: World):
    """One poisonous contact does not keep the other 99 off the list."""
    for number in range(100):
        world.event(f"c{number:03}", f"c{number}@example.com")

    def poisoned(call: Call) -> None:
        told = call.method == "POST" and any(
            one["email_address"] == "c37@example.com" for one in (call.body or {})["members"]
        )
        world.standin.faults = [Fault("status", method="POST", status=400, title="Bad Request")] if told else []

    one_by_one = Limiters(1)
    world.app.limiters = one_by_one
    world.before_call(poisoned)
    world.flush()
    assert len(world.members()) == 99
    assert world.outcomes("c037") == ["refused"]


def test_a_list_that_refuses_everybody_is_paused_and_nobody_is_suppressed(world: World):
    """After five single contacts in a row with one title the list is at fault, not they."""
    world.standin.find_list("master").refuses = "Bad Request"
    for number in range(40):
        world.event(f"c{number:02}", f"c{number}@example.com")
    world.event("other", "o@example.com", list_id="other")
    world.flush()
    master = world.settings.list_of("master")
    assert master is not None
    assert master.pause is not None
    assert "Bad Request" in master.pause.reason
    assert world.status("o@example.com", "other") == "subscribed"
    assert {one.outcome for number in range(40) for one in world.receipts(f"c{number:02}")} == {"list paused"}
    assert all(world.waits(f"c{number:02}") for number in range(40))
    world.standin.find_list("master").refuses = None
    setters.resume(world.db, CHANGELOG, ACCOUNT)
    world.flush()
    assert len(world.members()) == 40


def test_a_refused_key_pauses_its_account_once_and_a_new_key_starts_it_again(world: World):
    """A 401 pauses the account with its reason; nothing is sent until a new key is connected."""
    world.standin.revoke(KEY)
    world.event("ann", ANN)
    part = world.flush()
    pause = world.settings.pause
    assert pause is not None
    assert "API Key Invalid" in pause.reason
    assert "API Key Invalid" in (part.message or "")
    before = len(world.calls())
    world.run()
    assert len(world.calls()) == before
    assert world.settings.pause == pause
    new = "fedcba9876543210fedcba9876543210-us1"
    world.standin.add_key(new, "owner")
    api_keys.connect(
        world.db, CHANGELOG, ACCOUNT, new, secret=world.app.secret, open_sender=world.app.open_client, at=world.clock()
    )
    world.flush()
    assert world.status(ANN) == "subscribed"


def test_a_key_refused_in_the_middle_of_a_flush_settles_nobody_who_was_not_done(world: World):
    """A 403 with JSON on a write pauses the account and leaves its customer changed."""
    world.event("ann", ANN)
    world.flush()
    world.standin.faults = [Fault("status", method="PATCH", status=403, title="User Disabled")]
    world.event("ann", ANN, first_name="Ann")
    world.flush()
    assert world.waits("ann")
    assert world.outcomes("ann")[-1] == "account stopped"
    assert accounts.find(world.db, ACCOUNT).pause is not None  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "fault",
    [
        Fault("status", method="POST|PATCH", status=500),
        Fault("status", method="POST|PATCH", status=429, title="Too Many Requests"),
        Fault("bare", method="POST|PATCH", status=403),
        Fault("timeout_before", method="POST|PATCH"),
        Fault("cut", method="POST|PATCH"),
        Fault("garbled", method="POST|PATCH"),
        Fault("lacking", method="POST|PATCH"),
    ],
    ids=lambda fault: f"{fault.kind}-{fault.status}",
)
def test_what_may_pass_settles_nobody_and_is_sent_again_by_the_next_flush(tmp_path, fault: Fault):
    """No answer, half of one, 429, bare 403 and 5xx leave the customer changed; afterwards all is as it should be."""
    with World(tmp_path, timeout=0.3) as world:
        world.event("bob", "bob@example.com", first_name="Bob")
        world.flush()
        world.standin.faults = [fault]
        world.event("ann", ANN, first_name="Ann")
        world.event("bob", "bob@example.com", first_name="Bobby")
        world.flush()
        assert world.waits("ann")
        assert world.waits("bob")
        world.standin.faults = []
        world.flush()
        assert world.members() == {ANN: "subscribed", "bob@example.com": "subscribed"}
        assert world.fields(ANN) == {"FNAME": "Ann"}
        assert world.fields("bob@example.com") == {"FNAME": "Bobby"}
        assert not world.waits("ann")


@pytest.mark.parametrize("kind", ["cut", "timeout_after", "garbled", "lacking"])
def test_an_add_whose_answer_was_lost_counts_as_added(tmp_path, kind):
    """The intent, written before, is older than the member: so it is ours, and archived when its customer goes."""
    with World(tmp_path, timeout=0.3) as world:
        world.standin.faults = [Fault(kind, method="POST", times=1)]
        world.event("ann", ANN)
        world.flush()
        assert world.status(ANN) == "subscribed"
        assert world.waits("ann")
        world.flush()
        assert world.entry(ANN).origin == "added"  # type: ignore[union-attr]
        world.deleted("ann", ANN)
        world.flush()
        assert world.status(ANN) == "archived"


def test_an_add_whose_answer_was_lost_is_left_when_the_address_changes_meanwhile(tmp_path):
    """Where the lost add went through, the next address is a rename of it, not a second member."""
    with World(tmp_path, timeout=0.3) as world:
        world.standin.faults = [Fault("timeout_after", method="POST", times=1)]
        world.event("ann", ANN)
        world.flush()
        world.event("ann", "new@example.com")
        world.flush()
        subscribed = [email for email, status in world.members().items() if status == "subscribed"]
        assert subscribed == ["new@example.com"]


def test_a_rename_whose_answer_was_lost_is_found_out(tmp_path):
    """The old member is gone and the new one is there: it is the same one, and nobody left."""
    with World(tmp_path, timeout=0.3) as world:
        world.event("ann", ANN, first_name="Ann")
        world.flush()
        world.standin.faults = [Fault("timeout_after", method="PATCH", times=1)]
        world.event("ann", "new@example.com", first_name="Anne")
        world.flush()
        assert world.waits("ann")
        world.flush()
        assert world.members() == {"new@example.com": "subscribed"}
        assert world.fields("new@example.com") == {"FNAME": "Anne"}
        assert not world.waits("ann")
        world.deleted("ann")
        world.flush()
        assert world.members() == {"new@example.com": "archived"}


def test_an_archive_whose_answer_was_lost_is_known_by_contact_and_time(tmp_path):
    """The same contact, archived within two seconds of the read before: it is ours, and is restored on a return."""
    with World(tmp_path, timeout=0.3) as world:
        world.event("ann", ANN)
        world.flush()
        world.standin.faults = [Fault("timeout_after", method="DELETE", times=1)]
        world.deleted("ann")
        world.flush()
        world.flush()
        assert world.status(ANN) == "archived"
        assert not world.waits("ann")
        world.event("ann", ANN)
        world.flush()
        assert world.status(ANN) == "subscribed"


def test_a_newer_event_while_a_call_is_in_flight_keeps_the_customer_changed(world: World):
    """An answer settles only the revision that was sent."""
    world.event("ann", ANN, first_name="Ann")
    came = threading.Event()

    def meanwhile(call: Call) -> None:
        if call.method == "POST" and not came.is_set():
            came.set()
            world.event("ann", ANN, first_name="Newer")

    world.before_call(meanwhile)
    world.flush()
    assert came.is_set()
    assert world.waits("ann")
    world.flush()
    assert world.fields(ANN) == {"FNAME": "Newer"}


def test_mailchimp_out_of_reach_fails_the_account_and_keeps_everything_changed(world: World):
    """When no call is answered usefully the run says so and ends as failed."""
    world.standin.faults = [Fault("status", status=503)]
    world.event("ann", ANN)
    part = world.flush()
    assert part.failed
    assert "no useful answer" in (part.message or "")
    assert world.waits("ann")


def test_an_account_is_given_up_after_useless_answers_in_a_row(world: World):
    """An outage in the middle of many updates is not waited out contact by contact."""
    for number in range(60):
        world.event(f"c{number}", f"c{number}@example.com", first_name="A")
    world.flush()
    for number in range(60):
        world.event(f"c{number}", f"c{number}@example.com", first_name="B")
    world.standin.faults = [Fault("status", method="PATCH", status=500)]
    part = world.flush()
    assert part.failed
    assert len(world.writes()) < 30
    world.standin.faults = []
    assert world.flush().settled == 60


def test_a_flush_that_is_stopped_leaves_the_rest_for_the_next_one(world: World):
    """Once asked to stop no call is begun; what was not done stays changed and is done by the next flush."""
    for number in range(40):
        world.event(f"c{number}", f"c{number}@example.com", first_name="A")
    world.flush()
    for number in range(40):
        world.event(f"c{number}", f"c{number}@example.com", first_name="B")
    world.standin.audit.calls.clear()

    def stopping(call: Call) -> None:
        if len(world.writes()) >= 5:
            world.stop.set()

    world.before_call(stopping)
    run = world.run()
    assert run.ended == "stopped"
    done = sum(not world.waits(f"c{number}") for number in range(40))
    assert 0 < done < 40
    world.stop.clear()
    world.before_call(None)
    world.flush()
    assert {world.fields(f"c{number}@example.com")["FNAME"] for number in range(40)} == {"B"}


@pytest.mark.parametrize(("status", "title"), [(418, ""), (400, "Invalid Resource")])
def test_a_read_of_the_list_that_is_refused_refuses_no_customer(world: World, status: int, title: str):
    """The customer waits for the next flush, and not for a day."""
    world.event("ann", "ann@example.com")
    refused = Fault("status", method="GET", path="/members$", status=status, title=title)

    def refuse(call: Call) -> None:
        world.standin.faults = [refused] if call.query.get("count") == "1" else []

    world.before_call(refuse)
    world.flush()
    world.before_call(None)
    world.standin.faults = []
    assert world.outcomes("ann") == ["later"]
    world.flush()
    assert world.outcomes("ann") == ["later", "added"]


def test_a_flush_of_one_account_that_another_worker_has_is_incomplete_though_nothing_is_known_to_wait(world: World):
    """The other worker may have changes that this one has not read, so it does not say that all is settled."""

    class Elsewhere(Everybody):
        def why_not(self, account_id: AccountId) -> Any:
            return Refused("Left to another worker: its partition is not this worker's.", RunResult.DONE)

    with world.db.transaction():
        request = runs.ask(world.db, as_text(world.clock()), ACCOUNT)
    run = world.app.flusher(world.stop).flush("command", lambda db: Elsewhere(), request)
    (part,) = run.accounts
    assert (part.ended, part.to_do) == (RunResult.INCOMPLETE, 0)
    assert "another worker" in (part.message or "")


def test_a_partition_lost_in_the_middle_of_a_flush_ends_its_account_and_completes_nothing(world: World):
    """Once the partition is another worker's no call is begun, and the run ends as stopped: so it stays due."""
    for number in range(40):
        world.event(f"c{number}", f"c{number}@example.com", first_name="A")
    lost = threading.Event()

    class Losing(Everybody):
        def may_call(self, account_id: AccountId) -> bool:
            return not lost.is_set()

    world.before_call(lambda call: lost.set() if "status" in call.query else None)
    run = world.app.flusher(world.stop).flush("daily", lambda db: Losing())
    world.before_call(None)
    assert run.ended == "stopped"
    assert "another worker has its partition" in (run.accounts[0].message or "")
    before = len(world.calls())
    world.app.flusher(world.stop).flush("daily", lambda db: Losing())
    assert len(world.calls()) == before
    lost.clear()
    world.flush()
    assert len(world.members()) == 40
