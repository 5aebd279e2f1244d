"""Tags of members: set, removed and read."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contract.world import LIST, World, contact, member
from worker.mailchimp import calls
from worker.mailchimp.answers import Answer, answered_member
from worker.mailchimp.calls import Call
from worker.model import AddressKey, ListId, MembershipKey

ANN = MembershipKey(ListId(LIST), AddressKey("ann@example.com"))


def tag(world: World, *add: str, remove: tuple[str, ...] = ()) -> Answer:
    """Sets and removes tags by the worker's call."""
    return world.sender.send(calls.tag(ANN, add, remove))


def test_tags_are_set_and_removed_and_reported_with_the_member(world: World) -> None:
    """204 without a body; the read of the member tells their names, and leaves its status as it is."""
    world.become(ANN.address, "unsubscribe")
    assert tag(world, "vip", "gold").status == 204
    assert tag(world, remove=("gold", "never set")).status == 204
    found = answered_member(world.sender.send(calls.read_tags(ANN)))
    assert found is not None
    assert (found.tags, found.tags_count, found.status) == (("vip",), 1, "unsubscribed")


def test_names_that_differ_in_capital_letters_are_one_tag(world: World) -> None:
    """The first spelling stays; any removes it."""
    world.become(ANN.address)
    tag(world, "Vip")
    tag(world, "VIP")
    assert list(world.known(ANN.address).tags) == ["Vip"]
    tag(world, remove=("vip",))
    assert not world.known(ANN.address).tags


def test_the_answer_to_a_batch_tells_the_tags(world: World) -> None:
    """A new contact has none; one that is back has those that it had."""
    told = world.post(contact(ANN.address))["new_members"][0]
    assert (told["tags"], told["tags_count"]) == ([], 0)
    tag(world, "vip")
    world.delete(ANN.address)
    world.put(ANN.address, status_if_new="subscribed", status="subscribed")
    assert list(world.known(ANN.address).tags) == ["vip"]


def test_the_tags_of_a_member_are_read_page_by_page(world: World) -> None:
    """GET …/tags tells all of them, with when each was added; the member itself at most 50."""
    world.become(ANN.address)
    tag(world, *(f"t{number:02}" for number in range(60)))
    page = world.get(f"{member(ANN.address)}/tags", count="20", offset="50").body
    assert page is not None
    assert ([one["name"] for one in page["tags"]], page["total_items"]) == ([f"t{n}" for n in range(50, 60)], 60)
    found = answered_member(world.sender.send(calls.read_tags(ANN)))
    assert found is not None
    assert (len(found.tags or ()), found.tags_count) == (50, 60)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"tags": []},
        {"tags": ["vip"]},
        {"tags": [{"name": "vip"}]},
        {"tags": [{"name": "vip", "status": "on"}]},
        {"tags": [{"name": " ", "status": "active"}]},
        {"tags": [{"name": "good", "status": "active"}, {"name": "t" * 101, "status": "active"}]},
    ],
)
def test_what_is_no_list_of_tags_is_refused_whole(world: World, body: dict[str, Any]) -> None:
    """400, and nothing is written."""
    world.become(ANN.address)
    assert world.unchecked.send(Call("POST", f"{member(ANN.address)}/tags", {}, body)).status == 400
    assert not world.known(ANN.address).tags


def test_nobody_is_made_a_member_by_a_tag(world: World) -> None:
    """An address that is no member is answered 404."""
    assert tag(world, "vip").status == 404
    assert world.status(ANN.address) is None
