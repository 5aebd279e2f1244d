"""A settled deletion keeps what decides about later events and consent, and nothing that describes the person."""

from __future__ import annotations

from contextlib import closing
from dataclasses import fields

import pytest

from worker.model import AccountId, CustomerId, CustomerState
from worker.sqlite.database import Database, open_database
from worker.store import customers
from worker.store.customers import NAMING

ACCOUNT = AccountId("acct-1")
STATE = (
    b'{"email":"ann@example.com","first_name":"Ann","last_name":"Lee","company":"Lee Ltd","phone":"+44 113 496 0000",'
    b'"list_id":"x","marketing_consent":false,"address":{"line1":"1 High St"},'
    b'"attributes":{"plan":"Gold"},"tags":["vip"]}'
)


def stage(db: Database, deleted: bool) -> None:
    """Stages a customer, deleted or not."""
    row = (ACCOUNT, "ann", "ann@example.com", STATE, deleted, 7, "e", None, "customers", "id", 0, 3, "2026-11-22")
    with db.transaction():
        customers.stage(db, [row])


@pytest.mark.parametrize("elsewhere", [False, True])
@pytest.mark.parametrize("deleted", [True, False])
def test_what_describes_a_person_goes_with_the_settling(deleted: bool, elsewhere: bool) -> None:
    """At once, whether this worker settled the deletion or another one did; others keep all of it."""
    with closing(open_database(":memory:")) as db:
        stage(db, deleted)
        with db.transaction():
            customers.settle(db, ACCOUNT, [(CustomerId("ann"), 1)])
        if elsewhere:  # the same event again, as in a rebuilt database
            db.execute("DELETE FROM customer")
            db.execute("INSERT INTO account (account_id) VALUES (?)", (ACCOUNT,))
            db.execute("UPDATE standing SET settled = '0 id 0 3'")
            stage(db, deleted)
            assert customers.settle_known(db) == 1
        (one,) = customers.by_ids(db, ACCOUNT, [CustomerId("ann")])
        left = {field.name for field in fields(CustomerState) if getattr(one.state, field.name) not in (None, {}, ())}
        assert one.version == 7
        assert not one.state.marketing_consent
        wanted = {"email", "list_id", "marketing_consent"}
        assert left == (wanted if deleted else {field.name for field in fields(CustomerState)})
        assert not one.changed


def test_every_field_is_kept_or_dropped_on_purpose() -> None:
    """A field that is added to the event must be named here: it goes unless a decision needs it."""
    needed = {"email", "list_id", "marketing_consent"}
    assert needed | set(NAMING) == {field.name for field in fields(CustomerState)}
