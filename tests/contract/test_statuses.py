"""What becomes of one member's status: by PUT, PATCH and DELETE, after what persons did."""

import pytest

from tests.contract.world import LIST, World, member
from worker.mailchimp.calls import Call

LEFT = [("unsubscribe",), ("clean",), ("archive",), ("unsubscribe", "archive")]


def test_put_adds_who_is_no_member(world: World):
    """PUT adds a new address with status_if_new."""
    answer = world.put("Ann@example.com", status_if_new="pending", merge_fields={"FNAME": "Ann"})
    assert answer.status == 200
    assert answer.body is not None
    assert (answer.body["email_address"], answer.body["status"]) == ("Ann@example.com", "pending")
    assert world.status("ann@example.com") == "pending"


@pytest.mark.parametrize("acts", [(), *LEFT])
def test_put_with_status_if_new_leaves_a_members_status(world: World, acts):
    """PUT without status writes fields of a member of any status, archived included, and leaves the status."""
    world.become("ann@example.com", *acts)
    before = world.status("ann@example.com")
    assert world.put("ann@example.com", status_if_new="subscribed", merge_fields={"FNAME": "Ann"}).status == 200
    assert world.status("ann@example.com") == before
    assert world.known("ann@example.com").merge_fields["FNAME"] == "Ann"
    assert world.standin.audit.put_back() == []


@pytest.mark.parametrize("acts", [(), *LEFT])
def test_patch_without_status_leaves_it(world: World, acts):
    """PATCH of fields alone changes no status."""
    world.become("ann@example.com", *acts)
    before = world.status("ann@example.com")
    assert world.patch("ann@example.com", merge_fields={"FNAME": "Ann"}).status == 200
    assert world.status("ann@example.com") == before


def test_patch_of_nobody_is_not_found(world: World):
    """PATCH, GET and DELETE of an address that is no member answer 404."""
    for answer in (world.patch("ann@example.com"), world.get(member("a@example.com")), world.delete("a@example.com")):
        assert (answer.status, answer.title) == (404, "Resource Not Found")


def test_a_status_un_archives(world: World):
    """PUT or PATCH with a status brings an archived member back with it."""
    world.become("ann@example.com", "archive")
    assert world.put("ann@example.com", status_if_new="subscribed", status="subscribed").status == 200
    assert world.status("ann@example.com") == "subscribed"
    world.standin.by_hand(LIST, "ann@example.com", "archive")
    assert world.patch("ann@example.com", status="unsubscribed").status == 200
    assert world.status("ann@example.com") == "unsubscribed"


@pytest.mark.parametrize("acts", [("unsubscribe",), ("clean",), ("unsubscribe", "archive"), ("clean", "archive")])
def test_nobody_who_opted_out_is_subscribed_by_a_call(world: World, acts):
    """Who unsubscribed or bounced is in a compliance state: no PUT or PATCH subscribes them, and nothing is written."""
    world.become("ann@example.com", *acts)
    before = world.status("ann@example.com")
    for answer in (
        world.patch("ann@example.com", status="subscribed", merge_fields={"FNAME": "Ann"}),
        world.put("ann@example.com", status_if_new="subscribed", status="subscribed"),
    ):
        assert (answer.status, answer.title) == (400, "Member In Compliance State")
    assert world.status("ann@example.com") == before
    assert world.known("ann@example.com").merge_fields.get("FNAME", "") == ""


def test_who_unsubscribed_may_be_asked_again(world: World):
    """Pending, which sends a mail to confirm, is allowed after an unsubscribe, and not after a bounce."""
    world.become("left@example.com", "unsubscribe")
    world.become("bounced@example.com", "clean")
    assert world.patch("left@example.com", status="pending").status == 200
    assert world.patch("bounced@example.com", status="pending").title == "Member In Compliance State"
    world.standin.by_hand(LIST, "left@example.com", "confirm")
    assert world.status("left@example.com") == "subscribed"


def test_who_was_unsubscribed_by_a_call_may_be_subscribed_by_one(world: World):
    """A call takes back what a call did."""
    world.become("ann@example.com")
    assert world.patch("ann@example.com", status="unsubscribed").status == 200
    assert world.patch("ann@example.com", status="subscribed").status == 200


@pytest.mark.parametrize("acts", [(), ("unsubscribe",)])
def test_delete_archives(world: World, acts):
    """DELETE archives a subscribed or unsubscribed member; Mailchimp then hides which it was."""
    world.become("ann@example.com", *acts)
    assert world.delete("ann@example.com").status == 204
    answer = world.get(member("ann@example.com"))
    assert answer.body is not None
    assert answer.body["status"] == "archived"
    assert "subscribed" not in str(answer.body)


@pytest.mark.parametrize("acts", [("archive",), ("clean",), ("sign up",)])
def test_delete_is_refused_for_the_others(world: World, acts):
    """DELETE answers 405 for a member that is archived, cleaned or pending, and leaves it."""
    world.become("ann@example.com", *acts)
    before = world.status("ann@example.com")
    answer = world.delete("ann@example.com")
    assert (answer.status, answer.title) == (405, "Method Not Allowed")
    assert world.status("ann@example.com") == before


def test_a_subscribed_member_is_renamed(world: World):
    """PATCH of the address moves a subscribed member, status and fields kept; the old one is nobody then."""
    world.put("ann@example.com", status_if_new="subscribed", merge_fields={"FNAME": "Ann"})
    assert world.patch("ann@example.com", email_address="Ann@example.org").status == 200
    assert (world.status("ann@example.com"), world.status("ann@example.org")) == (None, "subscribed")
    assert world.known("ann@example.org").merge_fields["FNAME"] == "Ann"


@pytest.mark.parametrize("acts", [*LEFT, ("sign up",)])
def test_nobody_else_is_renamed(world: World, acts):
    """The address of a member that is not subscribed cannot be changed, and nothing else of the call is done."""
    world.become("ann@example.com", *acts)
    answer = world.patch("ann@example.com", email_address="ann@example.org", merge_fields={"FNAME": "Ann"})
    assert (answer.status, answer.title) == (400, "Invalid Resource")
    assert world.known("ann@example.com").merge_fields.get("FNAME", "") == ""


def test_a_taken_address_cannot_be_had(world: World):
    """Renaming to another member's address answers Member Exists, even where that one is archived."""
    world.become("ann@example.com")
    world.become("bob@example.com")
    world.become("cy@example.com", "archive")
    for taken in ("bob@example.com", "CY@example.com"):
        assert world.patch("ann@example.com", email_address=taken).title == "Member Exists"
    world.mailing_list.refuses = None
    assert world.patch("ann@example.com", email_address="ANN@example.com").status == 200


def test_a_forgotten_address_is_never_added_again(world: World):
    """After a permanent deletion no call adds the address, nor renames a member to it."""
    world.become("ann@example.com", "forget")
    world.become("bob@example.com")
    assert world.put("ann@example.com", status_if_new="subscribed").title == "Forgotten Email Not Subscribed"
    assert world.patch("bob@example.com", email_address="ann@example.com").title == "Forgotten Email Not Subscribed"
    permanently = Call("POST", f"{member('bob@example.com')}/actions/delete-permanent")
    assert world.sender.send(permanently).status == 204
    assert world.put("bob@example.com", status_if_new="subscribed").title == "Forgotten Email Not Subscribed"


def test_a_fake_address_is_refused_without_a_field(world: World):
    """An address that looks fake is an Invalid Resource that names no field; one that is none names its field."""
    world.mailing_list.fake.add("ann@example.com")
    for email in ("Ann@example.com", "somebody@nowhere.invalid"):
        answer = world.put(email, status_if_new="subscribed")
        assert (answer.status, answer.title) == (400, "Invalid Resource")
        assert answer.body is not None
        assert "errors" not in answer.body
        assert "fake or invalid" in answer.body["detail"]
    answer = world.put("no address", status_if_new="subscribed")
    assert answer.body is not None
    assert answer.body["errors"][0]["field"] == "email_address"


def test_post_of_one_member(world: World):
    """POST …/members adds a new or archived address and refuses one that exists."""
    world.become("gone@example.com", "archive")
    for email, status in (("new@example.com", 200), ("gone@example.com", 200), ("NEW@example.com", 400)):
        body = {"email_address": email, "status": "subscribed"}
        answer = world.sender.send(Call("POST", f"/lists/{LIST}/members", {}, body))
        assert answer.status == status
    assert answer.title == "Member Exists"


def test_put_by_another_address_does_not_overwrite_a_member(world: World):
    """PUT under the hash of nobody, with the address of a member, is refused."""
    world.become("ann@example.com", "unsubscribe")
    call = Call("PUT", member("x@example.com"), {}, {"email_address": "ann@example.com", "status_if_new": "subscribed"})
    assert world.sender.send(call).title == "Member Exists"
    assert world.status("ann@example.com") == "unsubscribed"


@pytest.mark.parametrize("status", ["archived", "nonsense", "transactional"])
def test_a_status_that_no_patch_may_ask_for(world: World, status):
    """PATCH takes the four statuses that Mailchimp publishes for it."""
    world.become("ann@example.com")
    answer = world.unchecked.send(Call("PATCH", member("ann@example.com"), {}, {"status": status}))
    assert (answer.status, answer.title) == (400, "Invalid Resource")
    assert answer.body is not None
    assert answer.body["errors"][0]["field"] == "status"
