"""What a flush counts while customers come in, and what a plan says that could not ask."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.checked_changelog import CheckedChangelog
from tests.integration.flush.world import World
from worker.cli import flush_plan
from worker.errors import KafkaError, NotPlanned, WriterFenced
from worker.mailchimp.calls import Call
from worker.sandbox.faults import Fault
from worker.sqlite.database import Database
from worker.sqlite.rows import Changed

ANN, BOB = "ann@example.com", "bob@example.com"


def meanwhile(world: World, customer: str, address: str) -> None:
    """Lets one more customer come in before the first add."""

    def come(call: Call) -> None:
        if call.method == "POST":
            world.before_call(None)
            world.event(customer, address)

    world.before_call(come)


def test_customers_who_come_in_during_a_flush_are_counted_in_what_it_has_to_do(world: World):
    """Customers who arrive during a flush count in what it has to do, so that it never settles more than that."""
    world.event("ann", ANN)
    meanwhile(world, "bob", BOB)
    part = world.flush()
    assert (part.settled, part.to_do, part.ended) == (2, 2, "done")


def test_a_customer_who_came_in_does_not_hide_one_who_was_not_settled(world: World):
    """The flush is incomplete as long as one of those whom it took up waits."""
    world.event("ann", ANN)
    world.standin.find_list("master").fake.add(ANN)
    meanwhile(world, "bob", BOB)
    part = world.flush()
    assert (part.settled, part.to_do, part.ended) == (1, 2, "incomplete")


@pytest.mark.parametrize("as_json", [False, True])
def test_a_plan_that_could_not_ask_mailchimp_is_an_error(
    world: World, capsys: pytest.CaptureFixture[str], as_json: bool
):
    """A plan that could not query Mailchimp is an error with the reason, and does not look like an empty plan."""
    world.event("ann", ANN)
    world.standin.faults = [Fault("bare", status=503)]
    with pytest.raises(NotPlanned) as caught:
        flush_plan.show(world.app, world.db, None, confirmed=False, calls=False, json=as_json)
    assert caught.value.exit_code == 1
    assert "1 account could not be planned" in caught.value.message
    shown = capsys.readouterr().out
    assert "Nothing would be sent" not in shown
    assert "no useful answer: HTTP 503" in (json.loads(shown)[0]["problem"] if as_json else shown)
    assert as_json or "Not planned." in shown


class Refusing(CheckedChangelog):
    """A changelog that refuses every write after so many calls that write to Mailchimp."""

    def __init__(self, world: World, after: int, error: KafkaError) -> None:
        self._world, self._after, self._error = world, len(world.writes()) + after, error

    def commit(self, db: Database, write: Callable[[], Changed[Any]], *, erase: bool = False) -> Any:
        """Commits, or refuses."""
        if len(self._world.writes()) >= self._after:
            raise self._error
        return super().commit(db, write, erase=erase)


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (KafkaError("No Kafka broker answers.", "Check that it runs."), "No Kafka broker answers."),
        (WriterFenced("Another worker or command took over partition 0.", "Try again."), "as forget"),
    ],
)
def test_a_flush_that_fails_late_counts_whom_it_settled(tmp_path: Path, error: KafkaError, told: str):
    """What was settled, found or written before the failure stays counted, and so does what it had to do."""
    with World(tmp_path, direct=True, connections=1) as world:
        for customer in ("ann", "bob", "eve"):
            world.event(customer, f"{customer}@example.com")
        world.flush()
        for customer in ("ann", "bob", "eve"):
            world.event(customer, f"{customer}-new@example.com")
        world.app.__dict__["changelog"] = Refusing(world, 2, error)
        part = world.flush()
        settled = sum(not world.waits(customer) for customer in ("ann", "bob", "eve"))
        assert settled > 0
        assert (part.settled, part.to_do, part.ended) == (settled, 3, "failed")
        assert sum(part.counts.values()) == settled
        assert told in (part.message or "")


def test_a_customer_that_waits_for_a_changed_one_is_not_counted_as_changed(world: World):
    """It did not change, so a flush that settles the changed one is complete."""
    world.event("ann", "shared@example.com", marketing_consent=False)
    world.event("bob", "shared@example.com")
    assert world.flush().ended == "done"
    world.event("ann", "shared@example.com", marketing_consent=False, first_name="Anna")
    part = world.flush()
    assert (part.ended, part.to_do, part.settled) == ("done", 1, 1)


def test_a_customer_whose_members_are_left_alone_on_two_lists_is_settled_once(world: World):
    """Two receipts, one customer."""
    world.by_hand(ANN, "subscribe")
    world.by_hand(ANN, "subscribe", "other")
    world.event("ann", ANN)
    world.flush()
    world.event("ann", ANN, list_id="other")
    world.by_hand(ANN, "unsubscribe")
    world.by_hand(ANN, "unsubscribe", "other")
    world.flush()
    world.read_back()
    world.deleted("ann", ANN)
    part = world.flush()
    assert part.counts == {"left alone": 2}
    assert (part.to_do, part.settled) == (1, 1)
