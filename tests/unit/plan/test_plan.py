"""What a plan decides, on values alone."""

from datetime import UTC, datetime

import pytest

from tests.unit.plan.build import (
    HASHES,
    MASTER,
    OTHER,
    a_list,
    customer,
    customer_status,
    entry,
    inputs,
    membership,
    related,
    settings,
)
from worker.mailchimp import calls
from worker.plan.plan import make_plan
from worker.plan.planned_calls import planned_calls
from worker.plan.steps import Add, Archive, Move, Plan, Recheck, Restore, Unsubscribe, Update
from worker.store.accounts import Pause

SENT = HASHES.of({"FNAME": "Ann"})


def only_step(plan: Plan):
    """The one step of a plan."""
    steps = list(plan.steps())
    assert len(steps) == 1, steps
    return steps[0]


def kinds(plan: Plan) -> list[type]:
    """What kinds of steps a plan has."""
    return [type(step) for step in plan.steps()]


def test_a_customer_that_is_nowhere_is_added_to_the_master_list():
    """A new customer without a list of its own is added to the master list, and the share says why."""
    step = only_step(make_plan(related([customer()]), inputs()))
    assert isinstance(step, Add)
    assert step.membership == membership()
    assert step.targets[0].list_reason == "master list: no list given"


@pytest.mark.parametrize(
    ("list_id", "lists", "expected", "reason"),
    [
        ("other", (a_list(MASTER), a_list(OTHER)), OTHER, "its own list"),
        ("other", (a_list(MASTER), a_list(OTHER, stored=False)), MASTER, "master list: the list given is not stored"),
        (
            "other",
            (a_list(MASTER), a_list(OTHER, gone_at=datetime(2026, 11, 2, tzinfo=UTC))),
            MASTER,
            "master list: the list given is gone from Mailchimp",
        ),
        ("unknown", (a_list(MASTER),), MASTER, "master list: the list given is not stored"),
    ],
)
def test_the_list_is_the_customers_own_if_stored_else_the_master_list(list_id, lists, expected, reason):
    """A customer goes to its own list if that is stored and there, else to the master list with the reason."""
    step = only_step(make_plan(related([customer(list_id=list_id)]), inputs(settings(*lists))))
    assert step.membership.list_id == expected
    assert step.targets[0].list_reason == reason


def test_an_unchanged_member_costs_no_call():
    """A customer whose fields were sent as they are is settled without a call."""
    plan = make_plan(related([customer()], [entry(fields=SENT)], [customer_status()]), inputs())
    assert not list(plan.steps())
    assert [none.outcome for none in plan.no_calls] == ["unchanged"]


def test_an_address_changed_only_in_case_costs_no_call():
    """Mailchimp tells members apart by the lowercased address, so another case is no change."""
    plan = make_plan(related([customer(email="ANN@Example.com")], [entry(fields=SENT)], [customer_status()]), inputs())
    assert not list(plan.steps())


def test_only_changed_fields_are_sent_and_only_own_fields_are_cleared():
    """An update carries what differs; a field that this worker filled and billmywork no longer has becomes empty."""
    sent = HASHES.of({"FNAME": "Anne", "LNAME": "Lee"})
    step = only_step(make_plan(related([customer()], [entry(fields=sent)], [customer_status()]), inputs()))
    assert isinstance(step, Update)
    assert step.changes == {"FNAME": "Ann", "LNAME": ""}


def test_a_changed_address_renames_the_member_after_a_read():
    """With the old address wanted by nobody and the new one free in the ledger, the member is to be renamed."""
    plan = make_plan(related([customer(email="new@example.com")], [entry(fields=SENT)], [customer_status()]), inputs())
    move, archive = plan.steps()
    assert isinstance(move, Move)
    assert move.rename is not None
    assert [prior.membership for prior in move.priors] == [membership()]
    assert isinstance(archive, Archive)
    assert archive.after_rename


def test_swapped_addresses_change_fields_after_reads():
    """A swap of addresses leaves both members, behind gates; archived is what the other may not take on."""
    ann = customer(1, "bob@example.com", first_name="Ann")
    bob = customer(2, "ann@example.com", first_name="Bob")
    entries = [entry(1, fields=SENT), entry(2, "bob@example.com", fields=HASHES.of({"FNAME": "Bob"}))]
    plan = make_plan(
        related([ann, bob], entries, [customer_status(1), customer_status(2, "bob@example.com")]), inputs()
    )
    assert kinds(plan) == [Move, Move, Archive, Archive]
    moves, archives = list(plan.steps())[:2], list(plan.steps())[2:]
    assert all(step.rename is None and len(step.priors) == 1 for step in moves)
    assert [(step.membership, step.successors, step.targets[0].customer) for step in archives] == [
        (membership("ann@example.com"), (bob.customer_id,), ann),
        (membership("bob@example.com"), (ann.customer_id,), bob),
    ]


def test_another_list_is_an_add_there_and_an_archive_here():
    """A customer that goes to another list is added there behind a gate and archived on the old one."""
    plan = make_plan(related([customer(list_id=OTHER)], [entry(fields=SENT)], [customer_status()]), inputs())
    move, archive = plan.steps()
    assert isinstance(move, Move)
    assert move.rename is None
    assert isinstance(archive, Archive)
    assert archive.customers_moved
    assert archive.membership == membership()


def test_a_deleted_customer_is_archived_only_where_this_worker_added_it():
    """Deleting a customer archives an added member and leaves a found one alone."""
    added = make_plan(related([customer(deleted=True)], [entry()], [customer_status()]), inputs())
    found = make_plan(related([customer(deleted=True)], [entry(origin="found")], [customer_status()]), inputs())
    assert kinds(added) == [Archive]
    assert not list(found.steps())
    assert [none.outcome for none in found.no_calls] == ["left alone"]


def test_an_address_that_another_customer_still_wants_is_not_archived():
    """When one of two customers with an address is deleted, the member stays for the other."""
    entries = [entry(1, fields=SENT)]
    people = [customer(1, deleted=True), customer(2, changed=False)]
    plan = make_plan(related(people, entries, [customer_status(1), customer_status(2)]), inputs())
    assert Archive not in kinds(plan)


def test_of_two_customers_with_one_address_the_newest_gives_the_fields():
    """Two customers with one address on one list are one member with the fields of the later event."""
    people = [customer(1, first_name="Old"), customer(2, first_name="New")]
    step = only_step(make_plan(related(people), inputs()))
    assert step.contact.fields.values == {"FNAME": "New"}
    assert {target.customer.customer_id for target in step.targets} == {"cus-1", "cus-2"}


def test_withdrawn_consent_unsubscribes_on_every_stored_list_and_adds_nowhere():
    """Withdrawn consent is looked for on all stored lists, also where others added the member; nothing else is done."""
    plan = make_plan(related([customer(consent=False)]), inputs())
    assert kinds(plan) == [Unsubscribe, Unsubscribe]
    assert {step.membership.list_id for step in plan.steps()} == {MASTER, OTHER}


def test_consent_withdrawn_by_one_of_two_withholds_the_address_from_both():
    """One of two customers with an address is enough: consent belongs to the address."""
    plan = make_plan(related([customer(1, consent=False), customer(2)]), inputs())
    assert set(kinds(plan)) == {Unsubscribe}
    assert [none.outcome for none in plan.no_calls] == ["withheld"]


def test_withdrawn_consent_follows_to_the_old_address():
    """A customer that changes address and withdraws consent at once is unsubscribed at both addresses."""
    plan = make_plan(
        related([customer(email="new@example.com", consent=False)], [entry()], [customer_status()]), inputs()
    )
    assert {step.membership for step in plan.steps()} >= {membership(), membership("new@example.com")}
    assert set(kinds(plan)) == {Unsubscribe}


def test_a_returning_customer_is_restored_only_where_this_worker_archived_it():
    """A member archived by this worker is restored behind a read; it is never added again."""
    archived = entry(state="archived", status_before="subscribed", last_changed="2026-11-20T00:00:00+00:00")
    step = only_step(make_plan(related([customer()], [archived], [customer_status()]), inputs()))
    assert isinstance(step, Restore)


def test_a_member_that_is_gone_is_looked_for_and_not_added():
    """A member that Mailchimp no longer knew is only written if it is there again."""
    step = only_step(make_plan(related([customer()], [entry(state="gone")], [customer_status()]), inputs()))
    assert isinstance(step, Recheck)


@pytest.mark.parametrize("email", ["no-at-sign", "a@b", "two words@example.com", "a@@example.com", "x\x00@example.com"])
def test_a_malformed_address_is_refused_here(email):
    """What is no address is refused without a call, and its old member stays."""
    plan = make_plan(related([customer(email=email)], [entry()], [customer_status()]), inputs())
    assert not list(plan.steps())
    assert [none.outcome for none in plan.no_calls] == ["refused"]


@pytest.mark.parametrize("email", [None, "", "  "])
def test_a_customer_without_an_address_leaves_its_list(email):
    """A customer whose address was taken away is archived where this worker added it, and is settled."""
    assert kinds(make_plan(related([customer(email=email)], [entry()], [customer_status()]), inputs())) == [Archive]
    plan = make_plan(related([customer(email=email)]), inputs())
    assert [none.outcome for none in plan.no_calls] == ["no address"]


def test_a_suppressed_address_is_not_sent_until_it_changes():
    """What Mailchimp refuses for good is settled without a call; another address is tried."""
    refused = customer_status(refusal="Invalid Resource", refused_address="ann@example.com")
    plan = make_plan(related([customer()], [], [refused]), inputs())
    assert [none.outcome for none in plan.no_calls] == ["suppressed"]
    other = make_plan(related([customer(email="new@example.com")], [], [refused]), inputs())
    assert kinds(other) == [Move]


def test_a_refusal_that_may_pass_waits_for_its_day():
    """Before the day of the next try a customer is held without another receipt; from then on it is sent."""
    waiting = customer_status(
        refusal="Invalid Resource", refused_address="ann@example.com", attempts=1, retry_at="2026-11-23"
    )
    held = make_plan(related([customer()], [], [waiting]), inputs())
    assert [(none.settles, none.retry_at) for none in held.no_calls] == [(False, "2026-11-23")]
    past = customer_status(
        refusal="Invalid Resource", refused_address="ann@example.com", attempts=1, retry_at="2026-11-21"
    )
    assert kinds(make_plan(related([customer()], [], [past]), inputs())) == [Add]


def test_a_paused_list_holds_its_customers():
    """Customers of a paused list stay changed with the reason, those of other lists go on."""
    paused = a_list(OTHER, pause=Pause("it refuses every contact: Bad Request", datetime(2026, 11, 2, tzinfo=UTC)))
    people = [customer(1, "a@example.com", list_id=OTHER), customer(2, "b@example.com")]
    plan = make_plan(related(people), inputs(settings(a_list(MASTER), paused)))
    assert [none.outcome for none in plan.no_calls] == ["held"]
    assert [step.membership.list_id for step in plan.steps()] == [MASTER]


def test_a_customer_who_was_on_a_list_that_is_gone_waits():
    """Who was on a list that is gone waits for the account to choose, because nobody can tell who had left it."""
    gone = a_list(OTHER, gone_at=datetime(2026, 11, 2, tzinfo=UTC))
    near_ = related([customer(list_id=OTHER)], [entry(list_id=OTHER)], [customer_status(list_id=OTHER)])
    plan = make_plan(near_, inputs(settings(a_list(MASTER), gone)))
    assert [(none.outcome, none.settles) for none in plan.no_calls] == [("held", False)]


def test_a_half_done_move_is_a_prior_of_the_next_one():
    """A member left behind by a move that was not finished is read before its customer goes anywhere else."""
    entries = [entry(1), entry(1, "second@example.com")]
    plan = make_plan(related([customer(email="third@example.com")], entries, [customer_status()]), inputs())
    move = next(step for step in plan.steps() if isinstance(step, Move))
    assert {prior.membership for prior in move.priors} == {membership(), membership("second@example.com")}


def test_a_prior_is_read_only_if_nobody_left_an_earlier_one():
    """The first read that keeps a customer out decides, so a plan shows the later ones with that condition."""
    entries = [entry(1), entry(1, "second@example.com")]
    plan = make_plan(related([customer(email="third@example.com")], entries, [customer_status()]), inputs())
    move = next(step for step in plan.steps() if isinstance(step, Move))
    paths = [calls.read(prior.membership).path for prior in move.priors]
    conditions = {planned.call.path: planned.when for planned in planned_calls(move) if planned.call.reads_only}
    assert [conditions[path] for path in paths] == [None, "if nobody left an earlier place"]


def test_every_changed_customer_is_in_the_plan():
    """No changed customer is forgotten: each has a step, or a reason why there is none."""
    people = [
        customer(1),
        customer(2, deleted=True),
        customer(3, email=None),
        customer(4, "x", consent=True),
        customer(5, "c@example.com", consent=False),
        customer(6, "c@example.com"),
    ]
    plan = make_plan(related(people), inputs())
    told = {target.customer.customer_id for part in (*plan.steps(), *plan.no_calls) for target in part.targets}
    assert told == {one.customer_id for one in people}
