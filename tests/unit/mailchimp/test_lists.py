import pytest

from tests.unit.mailchimp.build import Scripted
from worker.mailchimp.answers import Answer
from worker.mailchimp.lists import MailchimpList, all_lists


def answer(*lists, total=None):
    """One page of lists."""
    return Answer(200, {"lists": list(lists), "total_items": len(lists) if total is None else total})


def a_list(list_id="a1", **values):
    """A list as Mailchimp tells it."""
    told = {"id": list_id, "name": "Customers", "stats": {"member_count": 7}, "marketing_permissions": True}
    return told | values


def test_a_list_is_read_with_its_members_and_permissions():
    """Id, name, number of members and whether it asks for permissions are read, and no more is asked for."""
    sender = Scripted(answer(a_list()))
    assert all_lists(sender) == (MailchimpList("a1", "Customers", 7, True),)
    (call,) = sender.calls
    assert (call.method, call.path) == ("GET", "/lists")
    assert set(call.query["fields"].split(",")) == {
        "lists.id",
        "lists.name",
        "lists.stats.member_count",
        "lists.marketing_permissions",
        "total_items",
    }
    assert (call.query["sort_field"], call.query["sort_dir"]) == ("date_created", "ASC")


@pytest.mark.parametrize(
    ("values", "count", "asks"),
    [
        ({"stats": None}, 0, True),
        ({"stats": {}}, 0, True),
        ({"stats": {"member_count": "many"}}, 0, True),
        ({"marketing_permissions": None}, 7, False),
        ({"marketing_permissions": "yes"}, 7, False),
    ],
)
def test_parts_that_only_inform_may_be_absent(values, count, asks):
    """A list without a count has none, and one that does not say that it asks for permissions does not."""
    assert all_lists(Scripted(answer(a_list(**values)))) == (MailchimpList("a1", "Customers", count, asks),)


@pytest.mark.parametrize("values", [{"id": None}, {"id": ""}, {"id": 5}, {"name": None}, {"name": 5}])
def test_a_list_without_id_or_name_makes_the_answer_garbled(values):
    """One list that cannot be understood makes the whole answer one that cannot be used."""
    found = all_lists(Scripted(answer(a_list("a0"), a_list(**values))))
    assert isinstance(found, Answer)
    assert found.failure == "garbled"


def test_a_list_that_moved_onto_a_second_page_is_read_once():
    """A list that both pages show, because others came meanwhile, is one list, as the later page has it."""
    first = [a_list(f"a{number}") for number in range(1000)]
    second = [a_list("a999", name="Renamed"), a_list("a1000")]
    found = all_lists(Scripted(answer(*first, total=1002), answer(*second, total=1002)))
    assert [one.list_id for one in found] == [f"a{number}" for number in range(1001)]
    assert found[999].name == "Renamed"


def test_a_user_without_lists_has_none():
    """No lists are no error."""
    assert all_lists(Scripted(answer())) == ()


def test_a_refusal_comes_back():
    """The answer that ended the reading comes back as it is."""
    refusal = Answer(401, {"title": "API Key Invalid"})
    assert all_lists(Scripted(refusal)) == refusal
