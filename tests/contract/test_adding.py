"""POST /lists/{id}: many contacts added by one call, each taken or refused for itself."""

import pytest

from tests.contract.world import LIST, World, contact
from worker.mailchimp.calls import Call


def errors(body) -> dict[str, tuple[str, str]]:
    """Returns the refused addresses with their code and field."""
    return {one["email_address"]: (one["error_code"], one["field"]) for one in body["errors"]}


def test_new_contacts_become_members(world: World):
    """Contacts that are no members yet are added with their status and fields, and counted."""
    body = world.post(contact("Ann@example.com", FNAME="Ann"), contact("bob@example.com", "pending"))
    assert (body["total_created"], body["total_updated"], body["error_count"]) == (2, 0, 0)
    assert [one["email_address"] for one in body["new_members"]] == ["Ann@example.com", "bob@example.com"]
    assert (world.status("ann@example.com"), world.status("bob@example.com")) == ("subscribed", "pending")
    assert world.known("ann@example.com").merge_fields["FNAME"] == "Ann"


@pytest.mark.parametrize("acts", [(), ("unsubscribe",), ("clean",)])
def test_a_member_is_left_as_it_is(world: World, acts):
    """Without update_existing, a member of any status except archived is reported as existing and not changed."""
    world.become("ann@example.com", *acts)
    before = world.status("ann@example.com")
    body = world.post(contact("ann@example.com", FNAME="Ann"))
    assert errors(body) == {"ann@example.com": ("ERROR_CONTACT_EXISTS", "")}
    assert world.status("ann@example.com") == before
    assert world.known("ann@example.com").merge_fields.get("FNAME", "") == ""


def test_an_archived_member_is_put_back(world: World):
    """An archived member is added as if it were new: the danger that a flush must steer around."""
    world.become("ann@example.com", "unsubscribe", "archive")
    body = world.post(contact("ann@example.com"))
    assert body["total_created"] == 1
    assert world.status("ann@example.com") == "subscribed"
    assert [one.email for one in world.standin.audit.put_back()] == ["ann@example.com"]


def test_update_existing_writes_to_members(world: World):
    """With update_existing a member gets fields and status; one that opted out is refused."""
    world.become("ann@example.com")
    world.become("left@example.com", "unsubscribe")
    body = world.post(contact("ann@example.com", FNAME="Ann"), contact("left@example.com"), update_existing=True)
    assert body["total_updated"] == 1
    assert errors(body) == {"left@example.com": ("ERROR_GENERIC", "")}
    assert world.known("ann@example.com").merge_fields["FNAME"] == "Ann"


def test_bad_contacts_are_refused_alone(world: World):
    """A bad contact gets ERROR_GENERIC, with its field where one is to blame; the others are added."""
    world.become("gone@example.com", "forget")
    body = world.post(
        contact("no address"),
        contact("a@fake.invalid"),
        contact("gone@example.com"),
        contact("long@example.com", FNAME="x" * 256),
        contact("fine@example.com"),
    )
    assert errors(body) == {
        "no address": ("ERROR_GENERIC", "email address"),
        "a@fake.invalid": ("ERROR_GENERIC", ""),
        "gone@example.com": ("ERROR_GENERIC", ""),
        "long@example.com": ("ERROR_GENERIC", "FNAME"),
    }
    assert (body["total_created"], body["error_count"]) == (1, 4)


def test_an_address_that_comes_twice(world: World):
    """The first contact is added; the second is reported as existing, or skipped if the call asks for that."""
    twice = contact("ann@example.com", FNAME="1"), contact("ANN@example.com", FNAME="2")
    assert errors(world.post(*twice)) == {"ANN@example.com": ("ERROR_CONTACT_EXISTS", "")}
    other = contact("bob@example.com", FNAME="1"), contact("BOB@example.com", FNAME="2")
    assert world.post(*other, skip_duplicate_check="true")["errors"] == []
    assert world.known("bob@example.com").merge_fields["FNAME"] == "1"


def test_more_than_500_are_refused_as_a_whole(world: World):
    """A call takes 500 contacts; one more, and none of them is added."""
    people = [contact(f"a{n}@example.com") for n in range(501)]
    answer = world.sender.send(Call("POST", f"/lists/{LIST}", {}, {"members": people}))
    assert (answer.status, answer.title) == (400, "Invalid Resource")
    assert world.mailing_list.count(None) == 0
    assert world.post(*people[:500])["total_created"] == 500


def test_a_list_that_refuses_everybody(world: World):
    """A list that accepts nobody refuses the whole call with its title."""
    world.mailing_list.refuses = "Too Many Subscribes"
    answer = world.sender.send(Call("POST", f"/lists/{LIST}", {}, {"members": [contact("ann@example.com")]}))
    assert (answer.status, answer.title) == (400, "Too Many Subscribes")


def test_a_body_without_contacts_is_refused(world: World):
    """A body whose contacts are not a list is refused, with the name of the field."""
    for body in ({}, {"members": "ann"}, {"members": ["ann"]}):
        answer = world.unchecked.send(Call("POST", f"/lists/{LIST}", {}, body))
        assert (answer.status, answer.title) == (400, "Invalid Resource")
        assert answer.body is not None
        assert answer.body["errors"][0]["field"] == "members"


def test_a_contact_without_a_status_is_refused(world: World):
    """A contact needs one of the statuses that a call may ask for."""
    body = world.post({"email_address": "ann@example.com"})
    assert errors(body) == {"ann@example.com": ("ERROR_GENERIC", "status")}
