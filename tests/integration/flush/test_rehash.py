"""Hashes of what was sent, renewed after a change of the secret key."""

from __future__ import annotations

import base64
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from tests import setters
from tests.checked_changelog import CHANGELOG, CheckedChangelog
from tests.integration.flush.world import ACCOUNT, World
from tests.unit.fields.test_field_hashes import unkeyed
from worker.accounts import api_keys
from worker.accounts.secrets import parsed
from worker.errors import KafkaError
from worker.fields.field_hashes import HASHES, FieldHashes
from worker.fields.rehash import Rehashing
from worker.jobs.rehash import rehash
from worker.model import ListId
from worker.sqlite.database import Database
from worker.sqlite.rows import Changed
from worker.status.previous_key import previous_key
from worker.store import rekeying
from worker.store.offsets import TopicSize, note_size
from worker.store.rekeying import Rekeying

ANN = "ann@example.com"
NEW = parsed(base64.b64encode(b"n" * 32).decode(), "WORKER_SECRET_KEY")
TOPIC = "billmywork.customers"
WHOLE = {"line1": "1 High St", "city": "Leeds", "postcode": "LS1 1AA", "country": "GB"}
KINDS = {
    "PLAN": "dropdown",
    "SIZE": "radio",
    "BORN": "birthday",
    "SINCE": "date",
    "INVOICES": "number",
    "SITE": "url",
    "LOGO": "imageurl",
    "ZIP": "zip",
    "US": "phone",
    "NOTE": "text",
}
VALUES = {
    "PLAN": "gold",
    "SIZE": "Small",
    "BORN": "1980-05-03",
    "SINCE": "2026-11-20T08:00:00Z",
    "INVOICES": "12.50",
    "SITE": "https://example.com",
    "LOGO": "https://example.com/a.png",
    "ZIP": "12345-6789",
    "US": "(212) 555 0100",
    "NOTE": "x" * 300,
}


@pytest.fixture
def every_kind(world: World) -> World:
    """A world whose list has a field of each type, with one customer who has a value for each."""
    for tag, kind in KINDS.items():
        options: dict[str, Any] = {"dropdown": {"choices": ["Gold"]}, "radio": {"choices": ["small", "Small"]}}
        told = {"name": tag.title(), "type": kind, "tag": tag, "options": options.get(kind, {})}
        if kind == "phone":
            told["options"] = {"phone_format": "US"}
        world.standin.add_merge_field("master", told)
    setters.choose_fields(world.db, CHANGELOG, ACCOUNT, ListId("master"), {tag: tag.lower() for tag in KINDS})
    everything(world)
    world.flush()
    return world


def everything(world: World, **changed: Any) -> None:
    """Publishes the customer with a value for each field."""
    attributes = {tag.lower(): value for tag, value in VALUES.items()}
    fields = {"first_name": "Ann", "last_name": "Lee", "company": "Lee Ltd", "phone": "+44 113 496 0000"}
    world.event("ann", ANN, attributes=attributes, address=WHOLE, **(fields | changed))


def rehashing(world: World, changelog: Any = CHANGELOG) -> Rehashing:
    """Renews the account's hashes, with both keys."""
    both = replace(NEW, previous=world.app.secret.alone)
    return Rehashing(world.db, changelog, FieldHashes(ACCOUNT, both.derived_by_each(HASHES)), "-")


def with_new_key(world: World) -> None:
    """Has the new key in force alone."""
    api_keys.rekey(world.db, CHANGELOG, world.app.secret, NEW)
    world.app.__dict__["secret"] = NEW


def waiting(world: World) -> int:
    """How many customers wait for a flush."""
    return int(world.db.execute("SELECT count(*) FROM customer WHERE changed = 1").fetchone()[0])


def test_every_field_of_every_type_is_renewed_without_a_call(every_kind: World) -> None:
    """Afterwards, with the new key alone, the next change sends just what changed; nobody waits, nobody is asked."""
    world = every_kind
    assert len(world.fields(ANN)) == len(KINDS) + 5
    before = len(world.standin.audit.calls)
    assert rehashing(world).carry_out() == Counter({"renewed": 1})
    assert (len(world.standin.audit.calls), waiting(world)) == (before, 0)
    assert rehashing(world).carry_out() == Counter()
    with_new_key(world)
    everything(world, last_name="Low")
    world.flush()
    assert [call.body for call in world.writes()][-1] == {"merge_fields": {"LNAME": "Low"}}


def test_a_customer_that_changed_since_is_left(world: World) -> None:
    """What it has no more cannot be renewed, and is sent at the next flush; the rest of its fields is renewed."""
    for customer in ("ann", "bob"):
        world.event(customer, f"{customer}@example.com", first_name="Ann", last_name="Lee")
    world.flush()
    world.event("bob", "bob@example.com", first_name="Bob", last_name="Lee")
    assert rehashing(world).carry_out() == Counter({"renewed": 2, "left": 1})
    assert rehashing(world).carry_out() == Counter({"left": 1})
    with_new_key(world)
    world.flush()
    assert [call.body for call in world.writes()][-1] == {"merge_fields": {"FNAME": "Bob"}}


class Failing(CheckedChangelog):
    """Loses its topic after some commits."""

    def __init__(self, commits: int) -> None:
        self.left = commits

    def commit(self, db: Database, act: Callable[[], Changed[Any]], *, erase: bool = False) -> Any:
        """Commits as long as it may."""
        self.left -= 1
        if self.left < 0:
            raise KafkaError("It was taken.", "Wait.")
        return super().commit(db, act, erase=erase)


def test_renewing_that_was_cut_short_goes_on(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was done stays done, and the next time only the rest is written."""
    monkeypatch.setattr("worker.sqlite.parts.FIRST_ROWS", 4)
    monkeypatch.setattr("worker.sqlite.parts.MOST_ROWS", 4)
    for number in range(10):
        world.event(f"cus-{number}", f"{number}@example.com", first_name="Ann")
    world.flush()
    with pytest.raises(KafkaError):
        rehashing(world, Failing(1)).carry_out()
    left = rehashing(world).carry_out()["renewed"]
    assert 0 < left < 10
    assert rehashing(world).carry_out() == Counter()


def test_a_worker_renews_once_rekey_was_given_and_says_so(world: World) -> None:
    """Not before, not for other keys; then status says that the key before is no longer needed."""
    app, old = world.app, world.app.secret.alone
    world.event("ann", ANN, first_name="Ann", last_name="Lee")
    world.event("bob", "bob@example.com", first_name="Bob")
    world.flush()
    world.event("bob", "bob@example.com", first_name="Rob")
    app.__dict__["secret"] = both = replace(NEW, previous=old)
    ledger_of = CheckedChangelog()
    ledger_of.ledger_partition = lambda account_id: 0  # type: ignore[attr-defined]
    app.__dict__["changelog"] = ledger_of
    with world.db.transaction():
        note_size(world.db, TOPIC, TopicSize("", 1, 1))
    told = partial(previous_key, world.db, both, TOPIC)

    assert rehash(app, world.db, {0}) == 0
    assert "were not all written again" in told().words  # type: ignore[union-attr]
    begin(world, Rekeying("another", "pair", "t"))
    assert rehash(app, world.db, {0}) == 0
    begin(world, Rekeying(*both.names, "t"))
    app.__dict__["secret"] = NEW
    assert rehash(app, world.db, {0}) == 0
    app.__dict__["secret"] = both
    found = told()
    assert found is not None
    assert (found.needed, found.api_keys) == (
        True,
        2,
    )  # the test encrypted neither the API key nor that of the hashes again
    api_keys.rekey(world.db, CHANGELOG, both, NEW)
    found = told()
    assert found is not None
    assert (found.needed, found.partitions, found.rows) == (True, 1, 2)
    assert "hashes of 1 partition are being renewed" in found.words
    assert rehash(app, world.db, set()) == 0
    assert rehash(app, world.db, {0}) == 1
    found = told()
    assert found is not None
    assert (found.needed, found.partitions, found.rows, found.left) == (False, 0, 0, 1)
    assert "no longer needed. Hashes of 1 ledger row cannot be renewed" in found.words
    begin(world, Rekeying(*both.names, "later"))
    assert rehash(app, world.db, {0}) == 0
    assert rekeying.renewed(world.db, Rekeying(*both.names, "later")) == {0: 1}


def begin(world: World, change: Rekeying) -> None:
    """Notes a change of the key, as `account rekey` does."""
    CHANGELOG.commit(world.db, lambda: Changed(None, rekeying.begin(world.db, change)))


def test_hashes_of_releases_before_the_keyed_ones_are_renewed_too(world: World) -> None:
    """They become hashes by the new key, of the value where it is known."""
    world.event("ann", ANN, first_name="Ann")
    world.flush()
    with world.db.transaction():
        text = json.dumps({"FNAME": unkeyed("Ann"), "LNAME": unkeyed("Gone")})
        world.db.execute("UPDATE ledger SET fields = ?", (text,))
    assert rehashing(world).carry_out() == Counter({"renewed": 1, "left": 1})
    fields = json.loads(world.db.execute("SELECT fields FROM ledger").fetchone()[0])
    assert {tag: one[0] for tag, one in fields.items()} == {"FNAME": "v", "LNAME": "o"}
