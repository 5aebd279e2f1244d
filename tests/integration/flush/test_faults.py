"""An internal error with one customer's data costs that customer, and nobody else of its account."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from tests.integration.flush.world import World
from worker.flush import account_flush, bulk_add, put_member
from worker.store import receipts

NAMES = ("ann", "bob", "cat")


def write(world: World, version: int) -> None:
    """Stages a version of each customer, its number as the first name."""
    for name in NAMES:
        world.event(name, f"{name}@example.com", first_name=f"v{version}")


def names(world: World) -> dict[str, str]:
    """Customer to the first name that its member has."""
    return {name: world.fields(f"{name}@example.com")["FNAME"] for name in NAMES}


def failing(real: Any, concerns: Any) -> Any:
    """Returns a function that fails where its arguments are about bob."""

    def act(*arguments: Any, **named: Any) -> Any:
        if concerns(*arguments):
            raise KeyError("no such thing")
        return real(*arguments, **named)

    return act


FAULTS = {
    "step": (put_member, "update", lambda attempt, step: step.membership.address == "bob@example.com"),
    "plan": (account_flush, "make_plan", lambda related, inputs: "bob" in related.changed),
    "commit": (receipts, "write", lambda db, rows: any(one.customer_id == "bob" and one.call for one in rows)),
}


@pytest.mark.parametrize("where", FAULTS)
def test_a_fault_with_one_customer_costs_that_customer_only(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, where: str
) -> None:
    """The others are delivered, it gets a receipt, the log a traceback, and it waits for a flush without the fault."""
    write(world, 1)
    world.flush()
    write(world, 2)
    module, name, concerns = FAULTS[where]
    with monkeypatch.context() as patched, caplog.at_level(logging.ERROR, "worker.flush"):
        patched.setattr(module, name, failing(getattr(module, name), concerns))
        part = world.flush()
    assert (part.ended, part.settled, part.counts["fault"]) == ("incomplete", 2, 1)
    assert "1 customer met an internal error" in str(part.message)
    assert {name: version for name, version in names(world).items() if name != "bob"} == {"ann": "v2", "cat": "v2"}
    assert world.waits("bob")
    assert not world.waits("ann")
    assert world.receipts("bob")[-1].detail.startswith("An internal error of the worker ended it: KeyError.")
    (record,) = [one for one in caplog.records if "bob" in one.getMessage()]
    assert record.exc_info is not None
    world.flush()
    assert names(world) == dict.fromkeys(NAMES, "v2")
    assert not world.waits("bob")


@pytest.mark.parametrize("where", ["answer", "commit"])
def test_a_fault_with_one_of_many_new_contacts_keeps_no_other_away(
    world: World, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """The others are added by that flush, and all count as added by this worker in the end, each by one add."""
    write(world, 1)
    with monkeypatch.context() as patched:
        if where == "answer":
            about_bob = lambda attempt, add, *rest: add.contact.owner == "bob"  # noqa: E731
            patched.setattr(bulk_add, "_added_entry", failing(bulk_add._added_entry, about_bob))
        else:
            patched.setattr(receipts, "write", failing(receipts.write, FAULTS["commit"][2]))
        part = world.flush()
    assert (part.ended, part.settled, part.counts["fault"]) == ("incomplete", 2, 1)
    assert world.waits("bob")
    world.flush()
    assert world.members() == {f"{name}@example.com": "subscribed" for name in NAMES}
    assert {world.entry(f"{name}@example.com").origin for name in NAMES} == {"added"}  # type: ignore[union-attr]
    assert not any(world.waits(name) for name in NAMES)
