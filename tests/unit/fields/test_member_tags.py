"""Which tags a member needs, and whose they are."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.fields.member_tags import TagChanges, Tags, differs, in_doubt, needed, resolved, to_write, wanted_tags
from worker.mailchimp.answers import Member
from worker.model import CustomerState

DATE = datetime(2026, 11, 22, 10, 0, 0, 500_000, UTC)
BEGUN = "begun 2026-11-22T10:00:00.500Z"
LEAVING = "leaving 2026-11-22T10:00:00.500Z"
names = st.sampled_from(["vip", "VIP", "gold", "Silver", "silver"])
wanted_names = st.lists(names, max_size=4).map(lambda found: wanted_tags(CustomerState(tags=tuple(found))))
known_tags: st.SearchStrategy[Tags] = st.dictionaries(
    st.sampled_from(["vip", "gold", "silver"]), st.sampled_from(["set", "begun", BEGUN, LEAVING, "there"]), max_size=3
)


def member(*tags: str, count: int | None = None) -> Member:
    """A member with tags."""
    return Member("ann@example.com", "subscribed", None, None, tags=tags, tags_count=count or len(tags))


def test_tags_that_differ_in_letters_only_are_one() -> None:
    """The first spelling counts; what is blank is none."""
    assert wanted_tags(CustomerState(tags=(" VIP", "gold", "vip", " "))) == ("VIP", "gold")


@pytest.mark.parametrize(
    ("wanted", "known", "add", "remove"),
    [
        (["vip"], None, ("vip",), ()),
        (["VIP"], {"vip": "set"}, (), ()),
        (["vip"], {"vip": "begun"}, ("vip",), ()),
        (["vip"], {"vip": "there"}, (), ()),
        ([], {"vip": "set", "gold": "begun", "silver": "there"}, (), ("vip", "gold")),
    ],
)
def test_what_a_member_needs_by_the_ledger(
    wanted: list[str], known: Tags | None, add: tuple[str, ...], remove: tuple[str, ...]
) -> None:
    """What was set stays set, what was begun is looked at, and only what this worker set is removed."""
    assert needed(wanted, known) == TagChanges(add, remove)


def test_what_was_there_before_is_not_this_workers() -> None:
    """A tag that a read finds is not sent, and counts as set by hand."""
    found = to_write(["vip", "silver"], None, member("VIP", "gold"), DATE)
    assert found.changes == TagChanges(("silver",), ())
    assert found.ahead == {"vip": "there", "silver": BEGUN}
    assert found.after == {"vip": "there", "silver": "set"}


@pytest.mark.parametrize(("seconds", "how"), [(-2, "there"), (0, "set"), (170, "set"), (200, "there"), (None, "there")])
def test_mailchimps_time_tells_whose_a_tag_in_doubt_is(seconds: int | None, how: str) -> None:
    """Set within three minutes of the read before the call it is this worker's; else somebody set it by hand."""
    at = None if seconds is None else DATE.replace(microsecond=0) + timedelta(seconds=seconds)
    known = {"gold": BEGUN, "silver": BEGUN, "vip": "set"}
    assert in_doubt(known)
    assert resolved(known, {"Gold": at}) == {"gold": how, "vip": "set"}


@pytest.mark.parametrize(("seconds", "how"), [(-1, "set"), (0, "there"), (200, "there"), (None, "there")])
def test_a_tag_whose_removal_is_in_doubt_is_this_workers_if_it_is_as_old(seconds: int | None, how: str) -> None:
    """One that was added since was removed, and set by somebody."""
    at = None if seconds is None else DATE.replace(microsecond=0) + timedelta(seconds=seconds)
    assert resolved({"gold": LEAVING, "silver": LEAVING}, {"gold": at}) == {"gold": how}


def test_without_mailchimps_time_a_tag_in_doubt_counts_as_set_by_hand() -> None:
    """Nothing shows that it was this worker."""
    assert resolved({"gold": "begun"}, {"gold": DATE}) == {"gold": "there"}


def test_a_tag_is_removed_by_the_name_that_mailchimp_has() -> None:
    """And not at all where it is gone already."""
    found = to_write([], {"vip": "set", "gold": "set"}, member("Vip"), DATE)
    assert found.changes == TagChanges((), ("Vip",))
    assert (found.ahead, found.after) == ({"vip": LEAVING}, {})


def test_of_tags_that_are_not_told_none_is_taken_for_this_workers() -> None:
    """Where a member has more than an answer tells, a wanted one is set and counts as set by hand."""
    found = to_write(["vip"], {"gold": "set"}, member("a", count=60), DATE)
    assert found.changes == TagChanges(("vip",), ("gold",))
    assert found.after == {"vip": "there"}


@given(wanted_names, known_tags, st.sets(st.sampled_from(["vip", "Gold", "silver", "by hand"])), st.booleans())
def test_a_write_ends_with_every_wanted_tag_and_takes_no_other_hands_away(
    wanted: tuple[str, ...], known: Tags, there: set[str], soon: bool
) -> None:
    """Only what this worker surely set is removed, and the same write again is none."""
    known = resolved(known, dict.fromkeys(sorted(there), DATE if soon else DATE + timedelta(days=1)))
    found = to_write(wanted, known, member(*sorted(there)), DATE)
    ours = {name.casefold() for name, how in known.items() if how == "set"}
    removed = {name.casefold() for name in found.changes.remove}
    assert removed <= ours
    after = ({name.casefold() for name in there} | {name.casefold() for name in found.changes.add}) - removed
    assert {name.casefold() for name in wanted} <= after | {name.casefold() for name in known}
    assert not differs(wanted, found.after)
    again = to_write(wanted, resolved(found.ahead, dict.fromkeys(after, DATE)), member(*sorted(after)), DATE)
    assert not again.changes
