"""Which tags a member needs, and whose they are."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.flush.member_tags import TagChanges, differs, needed, to_write, wanted_tags
from worker.mailchimp.member import Member
from worker.model import CustomerState
from worker.store.ledger import TagState

names = st.sampled_from(["vip", "VIP", "gold", "Silver", "silver"])
wanted_names = st.lists(names, max_size=4).map(lambda found: wanted_tags(CustomerState(tags=tuple(found))))
known_tags: st.SearchStrategy[Mapping[str, TagState]] = st.dictionaries(
    st.sampled_from(["vip", "gold", "silver"]), st.sampled_from(["set", "begun", "there"]), max_size=3
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
    wanted: list[str], known: Mapping[str, TagState] | None, add: tuple[str, ...], remove: tuple[str, ...]
) -> None:
    """What was set stays set, what was begun is looked at, and only what this worker set is removed."""
    assert needed(wanted, known) == TagChanges(add, remove)


def test_what_was_there_before_is_not_this_workers() -> None:
    """A tag that a read finds is not sent; it is this worker's only where a call to set it was sent before."""
    found = to_write(["vip", "gold", "silver"], {"gold": "begun"}, member("VIP", "gold"))
    assert found.changes == TagChanges(("silver",), ())
    assert found.ahead == {"vip": "there", "gold": "set", "silver": "begun"}
    assert found.after == {"vip": "there", "gold": "set", "silver": "set"}


def test_a_tag_is_removed_by_the_name_that_mailchimp_has() -> None:
    """And not at all where it is gone already."""
    found = to_write([], {"vip": "set", "gold": "set"}, member("Vip"))
    assert found.changes == TagChanges((), ("Vip",))
    assert (found.ahead, found.after) == ({"vip": "set"}, {})


def test_of_tags_that_are_not_told_none_is_taken_for_this_workers() -> None:
    """Where a member has more than an answer tells, a wanted one is set and counts as set by hand."""
    found = to_write(["vip"], {"gold": "set"}, member("a", count=60))
    assert found.changes == TagChanges(("vip",), ("gold",))
    assert found.after == {"vip": "there"}


@given(wanted_names, known_tags, st.sets(st.sampled_from(["vip", "Gold", "silver", "by hand"])))
def test_a_write_ends_with_every_wanted_tag_and_takes_no_other_hands_away(
    wanted: tuple[str, ...], known: Mapping[str, TagState], there: set[str]
) -> None:
    """What was begun and is there is this worker's; nothing else that was not set by it is removed."""
    found = to_write(wanted, known, member(*sorted(there)))
    ours = {name.casefold() for name, how in known.items() if how != "there"}
    assert {name.casefold() for name in found.changes.remove} <= ours
    after = ({name.casefold() for name in there} | {name.casefold() for name in found.changes.add}) - {
        name.casefold() for name in found.changes.remove
    }
    kept = {name.casefold() for name, how in known.items() if how != "begun"}
    assert {name.casefold() for name in wanted} <= after | kept
    assert not differs(wanted, found.after)
    again = to_write(wanted, found.ahead, member(*sorted(after)))
    assert not again.changes
