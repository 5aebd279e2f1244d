"""What persons and owners do in the stand-in, and what its audit keeps of it."""

from datetime import UTC, datetime

import pytest

from tests.direct_sender import DirectSender
from worker.mailchimp.calls import Call, member_hash
from worker.model import AddressKey
from worker.sandbox.audit import BY_HAND
from worker.sandbox.errors import Problem
from worker.sandbox.server_state import StandIn

ANN = "ann@example.com"
PATH = f"/lists/l1/members/{member_hash(AddressKey(ANN))}"
BODY = {"email_address": ANN, "status_if_new": "subscribed"}


@pytest.fixture
def standin() -> StandIn:
    """Returns one with a list."""
    made = StandIn(lambda: datetime(2026, 11, 22, 10, tzinfo=UTC))
    made.add_key("secret-us1", "owner")
    made.create_list("owner", "l1", "Customers")
    return made


def send(standin: StandIn, method, path=PATH, body=None):
    """Sends a call."""
    return DirectSender(standin, "secret-us1").send(Call(method, path, {}, body))


def act(standin: StandIn, *acts: str) -> None:
    """Has Ann do all this."""
    for one in acts:
        standin.by_hand("l1", ANN, one)


def test_the_audit_names_the_call_that_changed_a_status(standin):
    """Each change has what was before and after, and the call with the end of its key, or that it was by hand."""
    send(standin, "PUT", body=BODY)
    act(standin, "unsubscribe")
    send(standin, "DELETE")
    act(standin, "forget")
    told = [(one.before, one.after, one.cause) for one in standin.audit.changes]
    assert told == [
        (None, "subscribed", f"PUT {PATH} by owner (…-us1)"),
        ("subscribed", "unsubscribed", BY_HAND),
        ("unsubscribed", "archived", f"DELETE {PATH} by owner (…-us1)"),
        ("archived", "forgotten", BY_HAND),
    ]


@pytest.mark.parametrize("acts", [("unsubscribe", "archive"), ("archive",), ("clean", "archive")])
@pytest.mark.parametrize("status", ["subscribed", "pending"])
def test_putting_back_who_left_is_marked(standin, acts, status):
    """The audit has an archived member who left by hand and whom a call revived, with its status before."""
    act(standin, "subscribe", *acts)
    send(standin, "POST", "/lists/l1", {"members": [{"email_address": ANN, "status": status}]})
    (found,) = standin.audit.put_back()
    assert (found.before, found.after) == ("archived", status)
    assert found.hidden == ("subscribed" if acts == ("archive",) else standin.audit.changes[1].after)


def test_putting_back_through_other_statuses_is_marked(standin):
    """Who left by hand has left, whatever calls did in between."""
    act(standin, "subscribe", "unsubscribe")
    send(standin, "DELETE")
    send(standin, "POST", "/lists/l1", {"members": [{"email_address": ANN, "status": "subscribed"}]})
    assert [one.email for one in standin.audit.put_back()] == [ANN]


def test_restoring_what_a_call_archived_is_no_putting_back(standin):
    """A call may undo what a call did, and persons may come back by themselves."""
    send(standin, "PUT", body=BODY)
    send(standin, "DELETE")
    send(standin, "PUT", body={**BODY, "status": "subscribed"})
    act(standin, "unsubscribe", "subscribe")
    send(standin, "DELETE")
    send(standin, "PUT", body={**BODY, "status": "subscribed"})
    assert standin.audit.put_back() == []


def test_a_status_that_stays_is_no_change(standin):
    """Writing the status that a member has leaves no trace in the audit."""
    act(standin, "subscribe", "subscribe")
    send(standin, "PATCH", body={"status": "subscribed"})
    assert len(standin.audit.changes) == 1


def test_what_nobody_can_do(standin):
    """Acts on nobody, unknown acts and ones that a status forbids are errors that name it."""
    for one in ("confirm", "unsubscribe", "archive", "forget", "rename", "nonsense"):
        with pytest.raises(KeyError, match=ANN):
            act(standin, one)
    act(standin, "subscribe")
    standin.by_hand("l1", "bob@example.com", "subscribe")
    for one, value in (("confirm", None), ("rename", None), ("rename", "Bob@example.com"), ("nonsense", None)):
        with pytest.raises(ValueError, match=one):
            standin.by_hand("l1", ANN, one, value)
    with pytest.raises(KeyError, match="l2"):
        standin.by_hand("l2", ANN, "subscribe")


def test_a_person_changes_the_own_address(standin):
    """By hand a member of any status gets another address, and its status stays."""
    act(standin, "subscribe", "unsubscribe")
    standin.by_hand("l1", ANN, "rename", "ann@example.org")
    assert [(one.email, one.status) for one in standin.members("l1")] == [("ann@example.org", "unsubscribed")]
    assert send(standin, "GET").status == 404


def test_a_person_edits_a_field(standin):
    """A merge field is written by hand, refused by the field's own rules, and unknown tags are errors."""
    act(standin, "subscribe")
    before = standin.find_list("l1").find(ANN).order
    standin.edit("l1", ANN, "FNAME", "Ann")
    assert standin.find_list("l1").find(ANN).merge_fields["FNAME"] == "Ann"
    assert standin.find_list("l1").find(ANN).order > before
    with pytest.raises(Problem):
        standin.edit("l1", ANN, "FNAME", "x" * 256)
    with pytest.raises(KeyError):
        standin.edit("l1", ANN, "NONE", "x")
    with pytest.raises(KeyError):
        standin.edit("l1", "bob@example.com", "FNAME", "x")


def test_members_are_handed_out_as_copies(standin):
    """What is done to a member that was handed out changes nothing."""
    act(standin, "subscribe")
    standin.members("l1")[0].status = "cleaned"
    assert standin.find_list("l1").find(ANN).status == "subscribed"


def test_calls_are_counted_until_they_are_forgotten(standin):
    """Calls are kept with their answers' status; forgetting them leaves the status changes."""
    send(standin, "GET")
    send(standin, "PUT", body=BODY)
    assert [one.call.method for one in standin.audit.writes()] == ["PUT"]
    assert standin.audit.as_counts()["by_method_and_status"] == {"GET 404": 1, "PUT 200": 1}
    standin.audit.clear_calls()
    assert (len(standin.audit.calls), len(standin.audit.changes)) == (0, 1)
    assert standin.audit.as_counts()["total"] == 0
