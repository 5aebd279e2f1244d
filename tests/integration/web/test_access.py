"""Who may see and do what: every route, tried by everybody."""

from __future__ import annotations

import pytest
from starlette.routing import Mount, Route

from tests.integration.flush.world import ACCOUNT
from tests.integration.web.site import OTHER, TOKEN, Site
from worker.web.access.visitor import Need
from worker.web.application import PAGES

ANYBODY, THE_ACCOUNT, OPERATOR = "anybody", "the account", "operator"
SIGN_OUT = f"/accounts/{ACCOUNT}/logout"
ROUTES = {
    "GET /healthz": ANYBODY,
    "GET /readyz": ANYBODY,
    "GET /metrics": ANYBODY,
    "GET /login": ANYBODY,
    "POST /login": ANYBODY,
    "GET /open": ANYBODY,
    "GET /signed-out": ANYBODY,
    "POST /logout": OPERATOR,
    "POST /accounts/{account_id}/logout": THE_ACCOUNT,
    "GET /": OPERATOR,
    "GET /dead-letters": OPERATOR,
    "POST /dead-letters/replay": OPERATOR,
    "GET /accounts/{account_id}/mailchimp": THE_ACCOUNT,
    "GET /accounts/{account_id}/mailchimp/refreshing": THE_ACCOUNT,
    "GET /accounts/{account_id}/mailchimp/review": THE_ACCOUNT,
    "GET /accounts/{account_id}/mailchimp/disconnect": THE_ACCOUNT,
    "GET /accounts/{account_id}/mailchimp/held": THE_ACCOUNT,
    "GET /accounts/{account_id}/mailchimp/people": THE_ACCOUNT,
    "GET /accounts/{account_id}/mailchimp/people.csv": THE_ACCOUNT,
    "GET /accounts/{account_id}/mailchimp/person": THE_ACCOUNT,
    "GET /accounts/{account_id}/mailchimp/waiting": THE_ACCOUNT,
    "GET /accounts/{account_id}/mailchimp/runs": THE_ACCOUNT,
    "GET /accounts/{account_id}/mailchimp/log": THE_ACCOUNT,
    "GET /accounts/{account_id}/mailchimp/fields": THE_ACCOUNT,
    "POST /accounts/{account_id}/mailchimp/fields": THE_ACCOUNT,
    "POST /accounts/{account_id}/mailchimp/connect": THE_ACCOUNT,
    "POST /accounts/{account_id}/mailchimp/refresh": THE_ACCOUNT,
    "POST /accounts/{account_id}/mailchimp/resume": THE_ACCOUNT,
    "POST /accounts/{account_id}/mailchimp/sync": THE_ACCOUNT,
    "POST /accounts/{account_id}/mailchimp/enable": THE_ACCOUNT,
    "POST /accounts/{account_id}/mailchimp/lists": THE_ACCOUNT,
    "POST /accounts/{account_id}/mailchimp/review": THE_ACCOUNT,
    "POST /accounts/{account_id}/mailchimp/disconnect": THE_ACCOUNT,
    "POST /accounts/{account_id}/mailchimp/held": THE_ACCOUNT,
    "GET /api/v1/openapi.json": ANYBODY,
    "GET /api/v1/status": OPERATOR,
    "GET /api/v1/accounts": OPERATOR,
    "GET /api/v1/runs": OPERATOR,
    "GET /api/v1/dead-letters": OPERATOR,
    "GET /api/v1/dead-letters/{number}": OPERATOR,
    "POST /api/v1/dead-letters/{number}/replay": OPERATOR,
    "POST /api/v1/links": OPERATOR,
    "DELETE /api/v1/accounts/{account_id}/sessions": OPERATOR,
    "GET /api/v1/accounts/{account_id}": THE_ACCOUNT,
    "PUT /api/v1/accounts/{account_id}/api-key": THE_ACCOUNT,
    "DELETE /api/v1/accounts/{account_id}/api-key": THE_ACCOUNT,
    "PUT /api/v1/accounts/{account_id}/settings": THE_ACCOUNT,
    "POST /api/v1/accounts/{account_id}/preview": THE_ACCOUNT,
    "POST /api/v1/accounts/{account_id}/resume": THE_ACCOUNT,
    "GET /api/v1/accounts/{account_id}/lists": THE_ACCOUNT,
    "GET /api/v1/accounts/{account_id}/lists/{list_id}/fields": THE_ACCOUNT,
    "PUT /api/v1/accounts/{account_id}/lists/{list_id}/fields": THE_ACCOUNT,
    "GET /api/v1/accounts/{account_id}/refresh": THE_ACCOUNT,
    "POST /api/v1/accounts/{account_id}/refresh": THE_ACCOUNT,
    "POST /api/v1/accounts/{account_id}/sync": THE_ACCOUNT,
    "GET /api/v1/accounts/{account_id}/runs": THE_ACCOUNT,
    "GET /api/v1/accounts/{account_id}/receipts": THE_ACCOUNT,
    "POST /api/v1/accounts/{account_id}/explain": THE_ACCOUNT,
    "GET /api/v1/accounts/{account_id}/settings-log": THE_ACCOUNT,
}
"""Each route with who may use it. One that is added must be added here too."""
REFUSED = (401, 403)


def routes_of(site: Site) -> set[str]:
    """Returns method and path of every route there is."""
    found = set()
    for one in site.application.routes:
        if isinstance(one, Route):
            found |= {f"{method} {one.path}" for method in (one.methods or ()) if method != "HEAD"}
        else:
            assert isinstance(one, Mount)
            assert one.path == "/static", "files without personal data, and nothing else, are served as they are"
    return found


def test_every_route_is_in_the_table(site: Site) -> None:
    """Every route is in the table of who may use it."""
    assert routes_of(site) == ROUTES.keys()


def test_every_route_is_for_those_whom_the_table_names(site: Site) -> None:
    """Without a session, with another account's, with the account's and with an operator's: as the table says."""
    visitors = {
        "nobody": site.anybody,
        "other account": lambda: site.signed_in(OTHER),
        "the account": site.owner,
        "operator": site.operator,
    }
    allowed = {ANYBODY: set(visitors), THE_ACCOUNT: {"the account", "operator"}, OPERATOR: {"operator"}}
    wrong = []
    for route, whose in ROUTES.items():
        method, _, path = route.partition(" ")
        path = path.replace("{account_id}", ACCOUNT)
        for name, client in visitors.items():
            status = client().request(method, path, content=b"").status_code
            if whose == ANYBODY or name in allowed[whose]:
                refused = status in REFUSED and route not in ("GET /open", "POST /login")
            else:
                refused = status == (401 if name == "nobody" else 403)
                refused = not refused
            if refused:
                wrong.append((name, route, status))
    assert wrong == []


@pytest.mark.parametrize("page", [one for one in PAGES if "POST" in one.methods and one.need is not Need.NOTHING])
def test_a_form_of_another_site_changes_nothing(site: Site, page) -> None:
    """A session alone is not enough: without its token, or from another site, every change is refused."""
    path = page.path.replace("{account_id}", ACCOUNT)
    client = site.operator()
    del client.headers["x-csrf-token"]
    assert client.post(path, data={}).status_code == 403
    assert client.post(path, data={"csrf": "wrong"}).status_code == 403
    assert site.operator().post(path, headers={"sec-fetch-site": "cross-site"}).status_code == 403


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 303),
        ({"origin": "http://testserver"}, 303),
        ({"origin": "https://testserver"}, 303),  # a proxy ended https
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "http://testserver:81"}, 403),
        ({"origin": "http://testserver.evil.example"}, 403),
        ({"origin": "http://testserver:x"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": ""}, 403),
        ({"origin": "app://testserver:80"}, 403),
        ({"origin": "null", "sec-fetch-site": "same-origin"}, 303),
        ({"origin": "http://testserver", "sec-fetch-site": "same-site"}, 403),
    ],
)
def test_a_form_of_another_origin_changes_nothing_with_the_token_either(
    site: Site, headers: dict[str, str], status: int
) -> None:
    """A token that became known is of no use to another site; programs need not send an origin."""
    assert site.owner().post(SIGN_OUT, headers=headers).status_code == status


@pytest.mark.parametrize(
    ("public_url", "origin", "status"),
    [
        ("https://Mailchimp.example:443/", "https://mailchimp.example", 303),
        ("https://mailchimp.example:8443", "https://mailchimp.example:8443", 303),
        ("https://mailchimp.example:8443", "https://mailchimp.example", 403),
        ("https://mailchimp.example", "https://testserver", 303),
    ],
)
def test_behind_a_proxy_the_public_url_is_an_origin_too(world, public_url: str, origin: str, status: int) -> None:
    """A proxy may give the worker another Host than the browser's, or one without its port."""
    site = Site(world, public_url=public_url, embed_origins="https://app.example")
    assert site.owner().post(SIGN_OUT, headers={"origin": origin}).status_code == status
    assert site.owner().post(SIGN_OUT, headers={"origin": "https://app.example"}).status_code == 403


def test_the_form_for_the_token_is_this_sites_and_a_program_may_come_from_anywhere(site: Site) -> None:
    """Nobody is signed in by another site. What sends the token itself has no cookie to misuse."""
    elsewhere = {"origin": "http://evil.example"}
    assert site.anybody().post("/login", data={"token": TOKEN}, headers=elsewhere).status_code == 403
    assert site.program().put(f"/api/v1/accounts/{ACCOUNT}/settings", json={}, headers=elsewhere).status_code == 200
