"""The stand-in's own endpoints: people's acts, faults and what happened, over HTTP."""

from typing import Any

import pytest
import requests

from tests.contract.raw import PING
from tests.contract.world import KEY, LIST, World


def control(world: World, method: str, path: str, body: Any = None) -> requests.Response:
    """Sends a control call."""
    assert world.base_url is not None
    return requests.request(method, f"{world.base_url.removesuffix('/3.0')}/sandbox{path}", json=body, timeout=5)


def test_it_says_what_it_takes(served: World):
    """GET /sandbox lists every endpoint with its meaning."""
    told = control(served, "GET", "").json()
    assert "PUT /sandbox/faults" in told
    assert all(told.values())


def test_people_act(served: World):
    """A person's acts and the owner's edits change the member, and the audit names them by hand."""
    for act in ("sign up", "confirm", "unsubscribe"):
        done = control(served, "POST", "/by-hand", {"list": LIST, "email": "ann@example.com", "act": act})
        assert done.status_code == 204
    edit = {"list": LIST, "email": "ann@example.com", "tag": "FNAME", "value": "Ann"}
    assert control(served, "POST", "/edit", edit).status_code == 204
    assert served.known("ann@example.com").merge_fields["FNAME"] == "Ann"
    changes = control(served, "GET", "/audit").json()
    assert [one["after"] for one in changes] == ["pending", "subscribed", "unsubscribed"]
    assert {one["cause"] for one in changes} == {"by hand"}


def test_owners_act(served: World):
    """Keys come and go, lists are made, given fields and refusals, shown and deleted."""
    assert control(served, "DELETE", "/keys", {"key": KEY}).status_code == 204
    assert served.sender.send(PING).status == 401
    assert control(served, "PUT", "/keys", {"key": KEY, "user": "owner"}).status_code == 204
    assert control(served, "PUT", "/lists", {"user": "owner", "list": "b1", "name": "Second"}).status_code == 204
    field = {"list": "b1", "field": {"name": "Plan", "type": "text", "tag": "PLAN", "required": True}}
    assert control(served, "PUT", "/merge-fields", field).status_code == 204
    refusals = {"list": "b1", "refuses": "Too Many Subscribes", "fake": ["A@example.com"]}
    assert control(served, "PUT", "/refusals", refusals).status_code == 204
    assert served.standin.find_list("b1").fields["PLAN"].required
    assert served.standin.find_list("b1").refuses == "Too Many Subscribes"
    assert [one["list"]["name"] for one in control(served, "GET", "/lists").json()] == ["Customers", "Second"]
    assert control(served, "DELETE", "/lists", {"list": "b1"}).status_code == 204
    assert served.get("/lists/b1").status == 404


def test_faults_and_latency_are_switched(served: World):
    """Faults are put and cleared, and calls are made to take a while."""
    faults = [{"kind": "status", "status": 503, "title": "Service Unavailable", "path": "/ping"}]
    assert control(served, "PUT", "/faults", faults).status_code == 204
    assert served.sender.send(PING).status == 503
    assert control(served, "DELETE", "/faults").status_code == 204
    assert served.sender.send(PING).status == 200
    assert control(served, "PUT", "/latency", {"seconds": 0.05}).status_code == 204
    assert served.sender.send(PING).seconds >= 0.05


def test_calls_are_logged(served: World):
    """Each call is kept with its query, body, key's end and answer's status, counted, and forgotten when asked."""
    served.put("ann@example.com", status_if_new="subscribed")
    served.get("/lists/nolist", fields="id")
    put, get = control(served, "GET", "/calls").json()
    assert (put["method"], put["status"], put["key"], put["user"]) == ("PUT", 200, "…-us1", "owner")
    assert put["body"] == {"email_address": "ann@example.com", "status_if_new": "subscribed"}
    assert (get["query"], get["status"]) == ({"fields": "id"}, 404)
    counts = control(served, "GET", "/counts").json()
    assert counts["by_method_and_status"] == {"PUT 200": 1, "GET 404": 1}
    assert (counts["total"], counts["put_back"]) == (2, 0)
    assert control(served, "DELETE", "/calls").status_code == 204
    assert control(served, "GET", "/calls").json() == []


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PUT", "/faults", [{"kind": "unknown"}]),
        ("PUT", "/faults", [{"kind": "cut", "path": "("}]),
        ("PUT", "/faults", [{"kind": "cut", "unknown": 1}]),
        ("PUT", "/faults", {}),
        ("PUT", "/latency", {}),
        ("POST", "/by-hand", {"list": "none", "email": "ann@example.com", "act": "subscribe"}),
        ("POST", "/by-hand", {"list": LIST, "email": "ann@example.com", "act": "confirm"}),
        ("PUT", "/merge-fields", {"list": LIST, "field": {"name": "X", "type": "nonsense"}}),
    ],
)
def test_what_cannot_be_done_is_said(served: World, method, path, body):
    """A control call that makes no sense answers 400 with a reason, and changes nothing."""
    answer = control(served, method, path, body)
    assert answer.status_code == 400
    assert answer.json()["error"]
    assert served.standin.faults == []


def test_bearer_tokens_and_bad_bodies(served: World):
    """A key is taken as a bearer token too; a body that is not a JSON object is refused as Mailchimp does."""
    assert served.base_url is not None
    bearer = {"Authorization": f"Bearer {KEY}"}
    assert requests.get(f"{served.base_url}/ping", headers=bearer, timeout=5).status_code == 200
    for header in ("Basic !", "Basic", ""):
        assert requests.get(f"{served.base_url}/ping", headers={"Authorization": header}, timeout=5).status_code == 401
    for body, title in ((b"{", "JSON Parse Error"), (b"[]", "Invalid Resource")):
        answer = requests.post(f"{served.base_url}/lists/{LIST}", data=body, headers=bearer, timeout=5)
        assert (answer.status_code, answer.json()["title"]) == (400, title)
        assert answer.headers["content-type"].startswith("application/problem+json")
