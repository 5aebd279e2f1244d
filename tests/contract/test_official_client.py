"""Mailchimp's own client library works against the stand-in."""

import json

import mailchimp_marketing
import pytest
from mailchimp_marketing.api_client import ApiClientError

from tests.contract.world import KEY, LIST, World
from worker.mailchimp.calls import member_hash

ANN = member_hash("ann@example.com")


@pytest.fixture
def client(served: World) -> mailchimp_marketing.Client:
    """Returns the client, pointed at the stand-in."""
    made = mailchimp_marketing.Client()
    made.set_config({"api_key": KEY, "server": "us1", "timeout": 10})
    # Whatever the environment says of proxies; the host is fixed in the library.
    made.api_client.host = served.base_url
    return made


def test_reads(client: mailchimp_marketing.Client):
    """It pings, and reads lists and merge fields."""
    assert client.ping.get() == {"health_status": "Everything's Chimpy!"}
    assert [one["id"] for one in client.lists.get_all_lists(count=1000)["lists"]] == [LIST]
    assert client.lists.get_list(LIST, fields=["name"]) == {"name": "Customers"}
    assert client.lists.get_list_merge_fields(LIST)["total_items"] == 5


def test_a_members_life(client: mailchimp_marketing.Client):
    """It adds a member, writes, reads, archives and puts back."""
    client.lists.add_list_member(LIST, {"email_address": "ann@example.com", "status": "subscribed"})
    client.lists.update_list_member(LIST, ANN, {"merge_fields": {"FNAME": "Ann"}})
    assert client.lists.get_list_member(LIST, ANN)["merge_fields"]["FNAME"] == "Ann"
    assert client.lists.delete_list_member(LIST, ANN).status_code == 204
    assert client.lists.get_list_members_info(LIST, status="archived")["total_items"] == 1
    again = {"email_address": "ann@example.com", "status_if_new": "subscribed"}
    assert client.lists.set_list_member(LIST, ANN, again)["status"] == "archived"
    assert client.lists.set_list_member(LIST, ANN, {**again, "status": "subscribed"})["status"] == "subscribed"


def test_tags(client: mailchimp_marketing.Client):
    """It sets and removes tags, and reads them."""
    client.lists.add_list_member(LIST, {"email_address": "ann@example.com", "status": "subscribed"})
    both = [{"name": "vip", "status": "active"}, {"name": "gold", "status": "active"}]
    assert client.lists.update_list_member_tags(LIST, ANN, {"tags": both, "is_syncing": True}).status_code == 204
    client.lists.update_list_member_tags(LIST, ANN, {"tags": [{"name": "gold", "status": "inactive"}]})
    found = client.lists.get_list_member_tags(LIST, ANN)
    assert ([one["name"] for one in found["tags"]], found["total_items"]) == (["vip"], 1)


def test_a_batch(client: mailchimp_marketing.Client):
    """It adds many at once, and the answer names who exists."""
    people = [{"email_address": f"a{number}@example.com", "status": "subscribed"} for number in range(3)]
    assert client.lists.batch_list_members(LIST, {"members": people})["total_created"] == 3
    again = client.lists.batch_list_members(LIST, {"members": people, "update_existing": False})
    assert {one["error_code"] for one in again["errors"]} == {"ERROR_CONTACT_EXISTS"}


def test_a_list_of_its_own(client: mailchimp_marketing.Client):
    """It makes a list with a merge field, and deletes it."""
    made = client.lists.create_list(
        {
            "name": "Made by a call",
            "permission_reminder": "You are a customer.",
            "email_type_option": False,
            "contact": {"company": "C", "address1": "1 High St", "city": "Leeds", "country": "GB"},
            "campaign_defaults": {"from_name": "C", "from_email": "c@example.com", "subject": "", "language": "en"},
        }
    )
    field = client.lists.add_list_merge_field(made["id"], {"name": "Plan", "type": "text", "tag": "PLAN"})
    assert field["tag"] == "PLAN"
    assert client.lists.delete_list(made["id"]).status_code == 204
    assert client.lists.get_all_lists()["total_items"] == 1


def test_a_refusal(client: mailchimp_marketing.Client):
    """It raises its error with the status and the problem document."""
    with pytest.raises(ApiClientError) as raised:
        client.lists.get_list_member(LIST, ANN)
    assert raised.value.status_code == 404
    assert json.loads(raised.value.text)["title"] == "Resource Not Found"
