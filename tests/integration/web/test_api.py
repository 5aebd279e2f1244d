"""What programs can ask and do."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from tests.integration.flush.world import ACCOUNT, KEY
from tests.integration.web.site import OTHER, Site
from worker.store import customers, dead_letters
from worker.store.dead_letters import DeadLetter

ROOT = f"/api/v1/accounts/{ACCOUNT}"
UNKNOWN = "f" * 32 + "-us1"


def test_settings_are_shown_without_the_key(site: Site) -> None:
    """Only its last four characters and its data centre come out."""
    answer = site.owner().get(ROOT)
    told = answer.json()
    assert (told["api_key"], told["enabled"], told["master_list_id"]) == ("…cdef-us1", True, "master")
    assert told["missing"] == []
    assert KEY not in answer.text


def test_the_same_settings_twice_change_nothing_the_second_time(site: Site) -> None:
    """A PUT may be sent again: the settings and their log stay as they are."""
    owner = site.owner()
    wanted = {
        "enabled": True,
        "status_if_new": "pending",
        "stored_list_ids": ["other", "spare"],
        "master_list_id": "spare",
    }
    first = owner.put(f"{ROOT}/settings", json=wanted)
    log = owner.get(f"{ROOT}/settings-log").json()["changes"]
    assert first.status_code == 200
    assert (first.json()["stored_list_ids"], first.json()["master_list_id"]) == (["other", "spare"], "spare")
    assert owner.put(f"{ROOT}/settings", json=wanted).json() == first.json()
    assert owner.get(f"{ROOT}/settings-log").json()["changes"] == log
    told = {(one["setting"], one["before"], one["after"]) for one in log}
    assert told == {
        ("status_if_new", "subscribed", "pending"),
        ("stored_list", "Master (master)", None),
        ("stored_list", None, "Spare (spare)"),
        ("master_list", "Master (master)", "Spare (spare)"),
    }


def test_what_goes_to_which_field_is_chosen_by_a_put(site: Site) -> None:
    """Exactly what is named is kept beside the default; it is in the log, and a second time changes nothing."""
    site.world.standin.add_merge_field("master", {"name": "Birthday", "type": "birthday", "tag": "BIRTHDAY"})
    owner, path = site.owner(), f"{ROOT}/lists/master/fields"
    sources = {one["tag"]: one["source"] for one in owner.get(path).json()["fields"]}
    assert (sources["FNAME"], sources["BIRTHDAY"]) == ("first_name", None)
    wanted = {"fields": {"birthday": "born", "COMPANY": None}}
    first = owner.put(path, json=wanted)
    told = {one["tag"]: (one["type"], one["source"], one["chosen"]) for one in first.json()["fields"]}
    assert (told["BIRTHDAY"], told["COMPANY"]) == (("birthday", "born", True), ("text", None, True))
    log = owner.get(f"{ROOT}/settings-log").json()["changes"]
    assert {(one["setting"], one["before"], one["after"]) for one in log} == {
        ("merge_field", None, "BIRTHDAY=born on Master (master)"),
        ("merge_field", None, "COMPANY= on Master (master)"),
    }
    assert owner.put(path, json=wanted).json() == first.json()
    assert owner.get(f"{ROOT}/settings-log").json()["changes"] == log
    owner.put(path, json={"fields": {}})
    assert not any(one["chosen"] for one in owner.get(path).json()["fields"])


@pytest.mark.parametrize(
    ("list_id", "body", "status", "said"),
    [
        ("master", {"fields": {"NONE": "plan"}}, 409, "has no merge field NONE"),
        ("master", {"fields": {"ADDRESS": "plan"}}, 409, "takes a whole address"),
        ("master", {"fields": ["FNAME"]}, 422, "Expected `object`, got `array` - at `$.fields`"),
        ("master", {}, 422, "missing required field `fields`"),
        ("nowhere", {"fields": {}}, 404, "found no list nowhere"),
    ],
)
def test_a_choice_that_does_not_fit_is_refused(site: Site, list_id: str, body: Any, status: int, said: str) -> None:
    """The answer says what does not fit, and nothing is stored."""
    answer = site.owner().put(f"{ROOT}/lists/{list_id}/fields", json=body)
    assert (answer.status_code, said in answer.json()["detail"]) == (status, True)
    assert site.owner().get(f"{ROOT}/settings-log").json()["changes"] == []


def test_a_number_with_a_fraction_of_0_is_an_integer(site: Site) -> None:
    """JSON Schema says so, and a program may write its numbers so."""
    put = site.program().put
    assert put(f"{ROOT}/settings", content=b'{"confirmed": {"master": 1.0}}').status_code == 200
    answer = put(f"{ROOT}/settings", content=b'{"confirmed": {"master": 1.5}}')
    assert (answer.status_code, "got `float`" in answer.json()["detail"]) == (422, True)


@pytest.mark.parametrize(
    ("body", "said"), [(rb'{"email": "a\ud800b"}', r"half of a surrogate pair, \ud800,"), (b" ", "empty")]
)
def test_a_body_that_is_complete_is_not_called_truncated(site: Site, body: bytes, said: str) -> None:
    """The answer says what is wrong with it."""
    answer = site.program().post(f"{ROOT}/explain", content=body)
    assert (answer.status_code, said in answer.json()["detail"]) == (422, True)


def test_the_log_says_who_changed_a_setting(site: Site) -> None:
    """An operator, and a person of the account by the name in the link."""
    site.program().put(f"{ROOT}/settings", json={"enabled": False})
    site.signed_in(ACCOUNT, "Ann").put(f"{ROOT}/settings", json={"enabled": True})
    log = site.owner().get(f"{ROOT}/settings-log").json()["changes"]
    assert [(one["by"], one["after"]) for one in log] == [("account acct-1 (Ann)", "true"), ("operator", "false")]


def test_a_preview_counts_as_the_change_will_and_much_is_confirmed(site: Site) -> None:
    """Five of five members would leave the master list: refused until their number is sent along."""
    for number in range(5):
        site.world.event(f"cus-{number}", f"p{number}@example.com")
    owner, wanted = site.owner(), {"stored_list_ids": ["other"], "master_list_id": "other"}
    assert site.world.flush().settled == 5
    preview = owner.post(f"{ROOT}/preview", json=wanted).json()
    assert preview["moves"] == [{"from_list_id": "master", "to_list_id": "other", "count": 5}]
    assert preview["to_confirm"] == {"master": 5}
    refused = owner.put(f"{ROOT}/settings", json=wanted)
    assert (refused.status_code, refused.json()["code"]) == (409, "confirmation_needed")
    assert refused.headers["content-type"] == "application/problem+json"
    assert owner.get(ROOT).json()["master_list_id"] == "master"
    done = owner.put(f"{ROOT}/settings", json={**wanted, "confirmed": refused.json()["to_confirm"]})
    assert done.json()["master_list_id"] == "other"
    assert site.world.flush().settled == 5
    assert len(site.world.members("other")) == 5


def test_a_key_is_checked_before_it_is_stored(site: Site) -> None:
    """Malformed or refused, it is said what to do, and the old key stays."""
    owner = site.owner()
    for wrong, code in (("nonsense", "api_key_malformed"), (UNKNOWN, "api_key_refused")):
        answer = owner.put(f"{ROOT}/api-key", json={"api_key": wrong})
        assert (answer.status_code, answer.json()["code"]) == (422, code)
        assert wrong == "nonsense" or wrong not in answer.text
    assert owner.get(ROOT).json()["api_key"] == "…cdef-us1"
    assert owner.put(f"{ROOT}/api-key", json={"api_key": KEY}).json()["mailchimp"]["account_name"]


def test_a_disconnected_account_delivers_nothing(site: Site) -> None:
    """Its key is gone, its lists are kept, and it is not enabled."""
    owner = site.owner()
    told = owner.request("DELETE", f"{ROOT}/api-key").json()
    assert (told["api_key"], told["enabled"], told["stored_list_ids"]) == (None, False, ["master", "other"])
    assert {one["code"] for one in told["missing"]} == {"no_key", "not_enabled"}
    assert owner.post(f"{ROOT}/refresh").status_code == 409


def settled_refresh(client: Any) -> dict[str, Any]:
    """Waits until the lists are read, and returns how that ended."""
    deadline = time.monotonic() + 10
    while (told := client.get(f"{ROOT}/refresh").json())["state"] == "running":
        assert time.monotonic() < deadline
    return dict(told)


def test_lists_are_read_in_the_background(site: Site) -> None:
    """The answer comes at once, the state can be asked, and a new list is named."""
    owner = site.owner()
    assert owner.get(f"{ROOT}/refresh").json() == {"state": "none"}
    site.world.standin.create_list("owner", "fresh", "Fresh")
    assert owner.post(f"{ROOT}/refresh").status_code == 202
    told = settled_refresh(owner)
    assert (told["state"], told["new_list_ids"], told["problem"]) == ("done", ["fresh"], None)
    assert "fresh" in {one["list_id"] for one in owner.get(f"{ROOT}/lists").json()["lists"]}


def test_a_reading_that_fails_says_why(site: Site) -> None:
    """A refresh fails with the reason if the key was revoked meanwhile."""
    owner = site.owner()
    site.world.standin.revoke(KEY)
    owner.post(f"{ROOT}/refresh")
    told = settled_refresh(owner)
    assert told["state"] == "failed"
    assert told["problem"]["advice"]


def test_a_sync_may_be_asked_for_once_in_ten_minutes(site: Site) -> None:
    """A second sync within ten minutes is refused, with the time of the next one."""
    owner = site.owner()
    assert owner.post(f"{ROOT}/sync").status_code == 202
    assert owner.post(f"{ROOT}/sync").status_code == 429
    assert owner.get(ROOT).json()["sync_asked"] is True
    site.world.clock.forward(minutes=10, seconds=1)
    assert owner.post(f"{ROOT}/sync", json={"confirm_held": True}).status_code == 409
    assert owner.post(f"{ROOT}/sync").status_code == 202


def test_runs_receipts_and_a_person_are_reported(site: Site) -> None:
    """After a flush: its part, its receipts, and the person with what Mailchimp says now."""
    site.world.event("cus-1", "ann@example.com")
    site.world.flush()
    owner = site.owner()
    (run,) = owner.get(f"{ROOT}/runs").json()["runs"]
    assert (run["counts"], run["settled"]) == ({"added": 1}, 1)
    (receipt,) = owner.get(f"{ROOT}/receipts?run={run['run']}&outcome=added").json()["receipts"]
    assert (receipt["email"], receipt["list_id"]) == ("ann@example.com", "master")
    (person,) = owner.post(f"{ROOT}/explain", json={"email": "ANN@example.com", "live": True}).json()["customers"]
    assert person["live"]["status"] == "subscribed"
    assert owner.post(f"{ROOT}/explain", json={"email": "bob@example.com"}).status_code == 404
    other = site.operator().post(f"/api/v1/accounts/{OTHER}/explain", json={"email": "ann@example.com"})
    assert other.status_code == 404


def test_a_link_is_made_for_a_program(site: Site) -> None:
    """It opens that account's session, once."""
    told = site.program().post("/api/v1/links", json={"account_id": OTHER, "name": "Bob"}).json()
    path = told["url"].removeprefix("http://127.0.0.1:8080")
    client = site.anybody()
    assert client.get(path).headers["location"] == f"/accounts/{OTHER}/mailchimp"
    assert client.get(f"/api/v1/accounts/{OTHER}").json()["account_id"] == OTHER
    assert client.get(ROOT).status_code == 403


@pytest.mark.parametrize(
    "body",
    [b"[]", b"{", b'{"enabled": "yes"}', b'{"nothing": 1}', b'{"master_list_id": "\\ud800"}', b'"' + b"[" * 9999],
)
def test_a_body_that_is_wrong_is_refused(site: Site, body: bytes) -> None:
    """With 422 and what is wrong, and nothing is changed."""
    answer = site.owner().put(f"{ROOT}/settings", content=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "bad_input")
    assert answer.json()["detail"]


def test_unknown_paths_and_methods_are_problems_too(site: Site) -> None:
    """Unknown paths and methods are answered with JSON problems too."""
    assert site.program().get("/api/v1/nothing").headers["content-type"] == "application/problem+json"
    answer = site.program().patch(f"{ROOT}/settings")
    assert (answer.status_code, answer.json()["code"]) == (405, "wrong_method")


def test_dead_letters_are_listed_and_read_again(site: Site) -> None:
    """The list is without values; one is shown whole; what is understood by now is staged and no longer kept."""
    db, client = site.world.db, site.program()
    good = {"type": "com.billmywork.customer.updated", "data": {"account_id": ACCOUNT, "customer": {"id": "c1"}}}
    for offset, (value, account_id) in enumerate(
        ((b"\xff{", None), (json.dumps(good).encode(), None), (b"{", ACCOUNT))
    ):
        headers = [("a", b"\xff"), ("b", None)]
        at = ("billmywork.customers", "", 0, offset, b"acct-1/c1", value, headers, "why", "2026-11-22T10:00:00.000Z")
        with db.transaction():
            dead_letters.keep(db, [DeadLetter(*at, account_id=account_id)])
    told = client.get("/api/v1/dead-letters?limit=2").json()
    assert told["count"] == 3
    assert [one["number"] for one in told["dead_letters"]] == [3, 2]
    assert "value" not in told["dead_letters"][0]
    one = client.get("/api/v1/dead-letters/1").json()
    assert (one["value"], one["value_base64"], one["headers"]) == ("\\xff{", "/3s=", [["a", "\\xff"], ["b", None]])

    again = client.post("/api/v1/dead-letters/1/replay").json()
    assert (again["understood"], "JSON" in again["reason"]) == (False, True)
    assert client.post("/api/v1/dead-letters/2/replay").json() == {"number": 2, "understood": True, "reason": None}
    assert customers.count_of(db, ACCOUNT) == 1
    refused = client.post("/api/v1/dead-letters/3/replay")
    assert (refused.status_code, refused.json()["code"]) == (409, "not_here")
    assert "dead-letters replay 3" in refused.json()["advice"]
    assert client.post("/api/v1/dead-letters/2/replay").status_code == 404
    assert client.get("/api/v1/dead-letters/0").status_code == 422
    assert [one["number"] for one in client.get("/api/v1/dead-letters").json()["dead_letters"]] == [3, 1]


def test_whose_key_it_is_and_what_needs_the_owner_are_reported(site: Site) -> None:
    """So that a program can draw the page: the Mailchimp account's name and login, and each problem in words."""
    client = site.owner()
    client.put(f"{ROOT}/api-key", json={"api_key": KEY})
    told = client.get(ROOT).json()
    assert told["mailchimp"] == {"account_name": "owner", "login": "owner"}
    assert [(one["code"], one["level"]) for one in told["problems"]] == [("no_customer", "note")]
    client.delete(f"{ROOT}/api-key")
    told = client.get(ROOT).json()
    assert told["mailchimp"] is None
    assert [(one["code"], one["level"]) for one in told["problems"]] == [("no_key", "step")]
    assert told["problems"][0]["title"] == "Connect your Mailchimp account"
