"""What a write did whose answer was lost: decided by the contact and by Mailchimp's own times, never by the intent."""

from datetime import timedelta
from pathlib import Path

import pytest

from tests.integration.flush.world import World
from worker.mailchimp.calls import Call
from worker.sandbox.faults import Fault

A, B, C = (f"{one}@example.com" for one in "abc")


def losing(world: World, method: str, kind: str = "timeout_after") -> None:
    """Flushes while the answer to one call is lost."""
    world.standin.faults = [Fault(kind, method=method, status=503, times=1)]  # type: ignore[arg-type]
    world.flush()
    world.standin.faults = []


# Restored, and the answer is lost


def restored_without_answer(world: World) -> None:
    """Ann was archived with her customer and comes back; the answer to the restoring is lost."""
    world.event("ann", A)
    world.flush()
    world.deleted("ann", A)
    world.flush()
    world.event("ann", A)
    losing(world, "PUT")
    assert world.status(A) == "subscribed"
    assert world.waits("ann")


def test_who_was_restored_without_an_answer_is_archived_when_the_customer_is_deleted(world: World):
    """The member is this worker's as before: by contact, and subscribed right after the read before the call."""
    restored_without_answer(world)
    world.deleted("ann", A)
    world.flush()
    assert world.status(A) == "archived"


def test_who_was_restored_without_an_answer_and_left_goes_nowhere_else(world: World):
    """Restored, the answer lost, then unsubscribed by herself: her new address is not added."""
    restored_without_answer(world)
    world.by_hand(A, "unsubscribe")
    world.event("ann", B)
    world.flush()
    assert world.members() == {A: "unsubscribed"}


def test_who_joined_again_by_herself_while_a_restore_was_in_doubt_is_not_ours(world: World):
    """The restoring was never done; minutes later she joins by the form: she stays when the customer goes."""
    world.event("ann", A)
    world.flush()
    world.deleted("ann", A)
    world.flush()
    world.event("ann", A)
    losing(world, "PUT", "timeout_before")
    world.clock.forward(minutes=20)
    world.by_hand(A, "subscribe")
    world.deleted("ann", A)
    world.flush()
    assert world.status(A) == "subscribed"
    assert world.outcomes("ann")[-1] == "left alone"


# Added, and the answer was lost


def test_who_was_seen_at_an_add_in_doubt_and_left_goes_nowhere_else(world: World):
    """Read once as a member by this worker's add, then unsubscribed and deleted in Mailchimp: an opt-out follows."""
    world.event("first", A, list_id="other")
    world.flush()
    world.event("ann", A)
    losing(world, "PUT")
    world.by_hand(A, "clean", "other")
    world.flush()
    assert world.outcomes("ann")[-1] == "left"
    world.by_hand(A, "unsubscribe")
    world.by_hand(A, "forget")
    world.event("ann", B)
    world.flush()
    assert world.status(B) is None
    assert world.outcomes("ann")[-1] == "left"


def test_who_was_read_as_departed_at_an_add_in_doubt_goes_nowhere_else(world: World):
    """The daily reading of departures showed it, though the member was deleted before it was read alone."""
    world.event("ann", A)
    losing(world, "POST")
    world.by_hand(A, "unsubscribe")
    world.standin.faults = [Fault("status", method="GET", path="/members/", status=500)]
    world.daily()
    world.standin.faults = []
    world.by_hand(A, "forget")
    world.event("ann", B)
    world.flush()
    assert world.status(B) is None
    assert world.outcomes("ann")[-1] == "left"


# Renamed, and the answer is lost


def renamed_without_answer(world: World, kind: str = "timeout_after") -> None:
    """Ann's member gets a new address; the answer is lost."""
    world.event("ann", A)
    world.flush()
    world.event("ann", B)
    losing(world, "PATCH", kind)
    assert world.waits("ann")


@pytest.mark.parametrize("kind", ["timeout_after", "status_after", "cut", "garbled"])
def test_who_was_renamed_without_an_answer_is_archived_when_the_customer_is_deleted(world: World, kind: str):
    """The member at the new address has the contact id of the old one."""
    renamed_without_answer(world, kind)
    world.deleted("ann", B)
    world.flush()
    assert world.members() == {B: "archived"}


def test_who_was_renamed_without_an_answer_and_changes_back_stays_on_the_list(world: World):
    """The same contact gets its first address again, and nobody left."""
    renamed_without_answer(world)
    world.event("ann", A)
    world.flush()
    assert world.members() == {A: "subscribed"}
    assert not world.waits("ann")
    assert world.outcomes("ann")[-1] == "renamed"


def test_somebody_else_at_the_new_address_is_not_taken_for_the_renamed_member(world: World):
    """The rename was never done and another person joins there: found, and neither archived nor renamed later."""
    renamed_without_answer(world, "timeout_before")
    world.by_hand(B, "subscribe")
    world.event("ann", B, first_name="Ann")
    world.flush()
    entry = world.entry(B)
    assert entry is not None
    assert (entry.origin, entry.intent) == ("found", None)
    world.deleted("ann", B)
    world.flush()
    assert world.status(B) == "subscribed"


# Done, and answered with 5xx


def test_an_archive_that_was_done_and_answered_with_5xx_is_known_as_ours(tmp_path: Path):
    """It is looked at again, not sent again: archived by this worker, and put back on a return."""
    with World(tmp_path, direct=True, patience=60) as world:
        world.event("ann", A)
        world.flush()
        world.deleted("ann", A)
        losing(world, "DELETE", "status_after")
        assert world.status(A) == "archived"
        assert world.outcomes("ann")[-1] == "archived"
        assert [one.method for one in world.writes()] == ["DELETE"]
        world.event("ann", A)
        world.flush()
        assert world.status(A) == "subscribed"


@pytest.mark.parametrize("patience", [0, 60])
def test_a_post_that_was_done_and_answered_with_5xx_leaves_nobody_as_found(tmp_path: Path, patience: int):
    """Tried again or by the next flush, they count as added, and are archived with their customers."""
    with World(tmp_path, direct=True, patience=patience) as world:
        for number in range(8):
            world.event(f"c{number}", f"c{number}@example.com")
        losing(world, "POST", "bare_after")
        world.run()
        assert {world.entry(f"c{number}@example.com").origin for number in range(8)} == {"added"}  # type: ignore[union-attr]
        for number in range(8):
            world.deleted(f"c{number}", f"c{number}@example.com")
        world.flush()
        assert set(world.members().values()) == {"archived"}


def test_a_customer_back_after_a_lost_archive_is_not_told_unchanged(world: World):
    """DELETE done, answer lost, and the customer wants to be there as before: it is looked at and put back."""
    world.event("ann", A, first_name="Ann")
    world.flush()
    world.deleted("ann", A)
    losing(world, "DELETE")
    world.event("ann", A, first_name="Ann")
    world.flush()
    assert world.status(A) == "subscribed"
    assert world.outcomes("ann")[-1] == "restored"


# An intent alone


@pytest.mark.parametrize("kind", ["status", "timeout_before", "bare"])
def test_a_bystander_at_a_mistyped_address_is_not_archived(world: World, kind: str):
    """She had signed up herself; adding a customer with her address failed, and the address was corrected."""
    world.by_hand(B, "subscribe")
    world.event("ann", B)
    losing(world, "POST", kind)
    world.event("ann", A)
    world.flush()
    assert world.members() == {B: "subscribed", A: "subscribed"}
    world.deleted("ann", A)
    world.flush()
    assert world.members() == {B: "subscribed", A: "archived"}


def test_who_joins_while_an_account_is_paused_for_weeks_is_not_ours(world: World):
    """An add in doubt from before the pause makes nobody this worker's who joined by the form meanwhile."""
    world.event("ann", A)
    losing(world, "POST", "timeout_before")
    world.clock.forward(days=21)
    world.by_hand(A, "subscribe")
    world.clock.forward(days=2)
    world.flush()
    assert world.entry(A).origin == "found"  # type: ignore[union-attr]
    world.deleted("ann", A)
    world.flush()
    assert world.status(A) == "subscribed"


@pytest.mark.parametrize(("kind", "status"), [("status", 429), ("bare", 403), ("status", 401)])
def test_an_intent_is_taken_back_when_the_answer_proves_that_nothing_was_done(world: World, kind: str, status: int):
    """A refusal leaves no trace of the add in the ledger."""
    world.event("ann", A)
    world.standin.faults = [Fault(kind, method="POST", status=status, times=1)]  # type: ignore[arg-type]
    world.flush()
    assert world.entry(A) is None
    assert world.waits("ann")


def test_what_was_told_not_to_be_ours_is_not_ours_in_the_ledger(world: World):
    """After "this worker did not add the member" the next deletion leaves it alone too."""
    world.by_hand(A, "subscribe")
    world.event("ann", A)
    losing(world, "POST", "timeout_before")
    world.deleted("ann", A)
    world.flush()
    assert world.outcomes("ann")[-1] == "left alone"
    world.event("ann", A)
    world.flush()
    assert world.entry(A).origin == "found"  # type: ignore[union-attr]
    world.deleted("ann", A)
    world.flush()
    assert world.status(A) == "subscribed"


def test_a_deleted_member_who_joins_again_by_herself_is_not_ours(world: World):
    """Another contact has the place since: it stays when the customer is deleted."""
    world.event("ann", A)
    world.flush()
    world.by_hand(A, "forget")
    world.by_hand(A, "subscribe")
    world.deleted("ann", A)
    world.flush()
    assert world.status(A) == "subscribed"
    assert world.outcomes("ann")[-1] == "left alone"


@pytest.mark.parametrize("done", [True, False])
def test_without_contact_ids_times_tell_the_same(world: World, done: bool):
    """Where no answer has a contact id, times show whether the member is the one from before or a later one."""
    world.standin.tells_contact_ids = False
    if not done:
        world.by_hand(B, "subscribe")
    world.event("ann", B)
    losing(world, "POST", "timeout_after" if done else "timeout_before")
    world.event("ann", A)
    world.flush()
    assert world.members() == {B: "archived" if done else "subscribed", A: "subscribed"}


# Mailchimp's time


@pytest.mark.parametrize("minutes", [-5, -0.04, 0.04, 5])
@pytest.mark.parametrize("kind", ["timeout_after", "cut"])
def test_no_skew_of_this_machines_clock_changes_who_is_ours(tmp_path: Path, minutes: float, kind: str):
    """Own adds count as added, own archives are put back and bystanders stay, however wrong this machine's clock is."""
    with World(tmp_path, direct=True, ahead=timedelta(minutes=minutes)) as world:
        world.by_hand(B, "subscribe")
        world.event("ann", A)
        world.event("bob", B)
        losing(world, "POST", kind)
        world.flush()
        assert (world.entry(A).origin, world.entry(B).origin) == ("added", "found")  # type: ignore[union-attr]
        world.deleted("ann", A)
        world.deleted("bob", B)
        losing(world, "DELETE", kind)
        assert world.members() == {A: "archived", B: "subscribed"}
        world.event("ann", A)
        world.flush()
        assert world.status(A) == "subscribed"


# Not believed at once


STRAY = [Fault("status", method="GET", path="/members/", status=404, title="Resource Not Found", times=1)]
BARE = [Fault("bare", method="GET", path="/members/", status=404, times=1)]


@pytest.mark.parametrize("faults", [STRAY, BARE], ids=["once", "bare"])
@pytest.mark.parametrize("what", ["withdrawn", "deleted", "moved", "back"])
def test_a_stray_404_is_not_believed(tmp_path: Path, faults: list[Fault], what: str):
    """One answer that a known member is not there settles nothing: it is read again, a moment later."""
    with World(tmp_path, direct=True, patience=60) as world:
        world.event("ann", A)
        world.flush()
        if what == "back":
            world.deleted("ann", A)
            world.flush()
        world.standin.faults = [Fault(**{name: getattr(one, name) for name in one.__slots__}) for one in faults]
        match what:
            case "withdrawn":
                world.event("ann", A, marketing_consent=False)
            case "deleted":
                world.deleted("ann", A)
            case "moved":
                world.event("ann", A, list_id="other")
            case "back":
                world.event("ann", A)
        world.flush()
        assert not world.waits("ann")
        expected = {"withdrawn": "unsubscribed", "deleted": "archived", "moved": "archived", "back": "subscribed"}
        assert world.status(A) == expected[what]
        assert world.status(A, "other") == ("subscribed" if what == "moved" else None)


def test_a_bare_404_to_the_merge_fields_is_no_missing_list(world: World):
    """Only Mailchimp's own answer tells that a list is gone."""
    world.event("ann", A)
    world.standin.faults = [Fault("bare", path="/merge-fields", status=404, times=1)]
    assert world.flush().failed
    assert not any(one.gone for one in world.settings.lists)


# An archive that is not ours


def test_who_was_archived_by_hand_after_she_left_goes_nowhere_else(world: World):
    """Seen unsubscribed, then archived by hand within minutes: an archive of this worker from before hides nothing."""
    world.event("ann", A)
    world.flush()
    world.deleted("ann", A)
    losing(world, "DELETE", "timeout_before")
    world.by_hand(A, "unsubscribe")
    world.event("ann", A, first_name="Ann")
    world.flush()
    world.by_hand(A, "archive")
    world.event("ann", B)
    world.flush()
    assert world.members() == {A: "archived"}


def test_a_departure_is_not_passed_over_for_a_stranger_at_an_intended_place(world: World):
    """Ann changed her own address and left; somebody else is where she was about to be added."""
    world.event("ann", A)
    world.flush()
    world.event("ann", B, list_id="other")
    losing(world, "PUT", "timeout_before")
    world.by_hand(A, "rename", value="own@example.com")
    world.by_hand(B, "subscribe", "other")
    world.event("ann", C)
    world.flush()
    assert world.status(C) is None
    assert world.outcomes("ann")[-1] == "left"


def test_a_rename_that_is_refused_since_somebody_acted_suppresses_nobody(tmp_path: Path):
    """Archived by hand between the read and the rename: it is read again, and the receipt says what it is."""
    with World(tmp_path, direct=True, patience=60) as world:
        world.event("ann", A)
        world.flush()
        world.event("ann", B)
        acted: list[Call] = []

        def archive(call: Call) -> None:
            if call.method == "PATCH" and not acted:
                acted.append(call)
                world.by_hand(A, "archive")

        world.before_call(archive)
        world.flush()
        assert acted
        assert world.members() == {A: "archived"}
        assert world.outcomes("ann")[-1] == "left"
