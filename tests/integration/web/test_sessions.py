"""How a session begins, is kept and ends."""

from __future__ import annotations

import asyncio
import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.integration.flush.world import ACCOUNT
from tests.integration.web.site import OTHER, TOKEN, Site
from worker.errors import KafkaError
from worker.web.access import sessions

PAGE = f"/accounts/{ACCOUNT}/logout"


def is_signed_in(client) -> bool:
    """Whether a browser has a session of the account: its form is refused for its token, not for its sender."""
    return "out of date" in client.post(PAGE).text


def test_a_link_opens_one_session_of_its_account(site: Site) -> None:
    """The browser is sent on to an address without the link's token, with a cookie that scripts cannot read."""
    client = site.anybody()
    answer = client.get(site.link(ACCOUNT, "Ann"))
    assert (answer.status_code, answer.headers["location"]) == (303, f"/accounts/{ACCOUNT}/mailchimp")
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert "Secure" not in cookie
    assert is_signed_in(client)
    assert client.post("/logout").status_code == 403


def test_a_link_is_good_once_and_for_five_minutes(site: Site) -> None:
    """A second use is refused, also by a worker that started since; so is one that is too late."""
    link = site.link(ACCOUNT)
    assert site.anybody().head(link).status_code == 200
    assert site.anybody().get(link).status_code == 303
    assert site.anybody().get(link).status_code == 403
    assert Site(site.world).anybody().get(link).status_code == 403
    late = site.link(ACCOUNT)
    site.world.clock.forward(minutes=5, seconds=1)
    assert site.anybody().get(late).status_code == 403


def test_a_used_link_says_how_to_get_another(site: Site) -> None:
    """Owners go by billmywork; operators by the command."""
    link = site.link(None)
    assert site.anybody().get(link).status_code == 303
    shown = site.anybody().get(link).text
    assert "Open the page again from your billmywork settings." in shown
    assert "mailchimp-worker link opens this page" in shown


def test_a_link_that_was_changed_opens_nothing(site: Site) -> None:
    """Every part of it is signed, and a session's cookie is no link."""
    for link in (
        site.link(ACCOUNT)[:-2],
        site.link(ACCOUNT).replace("link=", "link=x"),
        "/open",
        "/open?link=.",
        "/open?link=é",
    ):
        assert site.anybody().get(link).status_code == 403
    value = sessions.new_session(site.context.signer("session"), ACCOUNT, None, site.world.clock())
    assert Site(site.world).anybody().get(f"/open?link={value}").status_code == 403


def test_an_operator_signs_in_by_the_token(site: Site) -> None:
    """The right one opens a session; a wrong one says so."""
    client = site.anybody()
    assert client.post("/login", data={"token": "wrong"}).status_code == 401
    assert client.post("/login", data={"token": TOKEN}).headers["location"] == "/"
    assert "out of date" in client.post("/logout").text


def test_without_a_token_nobody_signs_in_by_one(world) -> None:
    """Without a configured token, nobody can sign in with one, not even an empty one."""
    site = Site(world, token="")
    assert site.anybody().post("/login", data={"token": ""}).status_code == 401
    assert site.anybody().get(site.link(None)).status_code == 303


def test_who_tries_too_often_waits(site: Site) -> None:
    """After ten wrong tries of an address the right token is refused too, for a minute."""
    client = site.anybody()
    for _ in range(10):
        assert client.post("/login", data={"token": "wrong"}).status_code == 401
    answer = client.post("/login", data={"token": TOKEN})
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "60")


def test_a_session_that_was_ended_is_over_everywhere(site: Site) -> None:
    """Its cookie opens nothing any more, also at another worker."""
    client = site.owner()
    assert client.post(PAGE).status_code == 303
    assert client.post(PAGE).status_code == 401
    other = Site(site.world).anybody()
    other.cookies = client.cookies
    assert other.post(PAGE).status_code == 401


def test_revoking_ends_all_sessions_and_links_of_an_account(site: Site) -> None:
    """Those of others stay, and a new link opens a session again."""
    client, link, other = site.owner(), site.link(ACCOUNT), site.signed_in(OTHER)
    site.world.clock.forward(seconds=1)
    sessions.revoke(site.world.db, site.world.app.changelog, ACCOUNT, site.world.clock())
    site.world.clock.forward(seconds=1)
    assert client.post(PAGE).status_code == 401
    assert site.anybody().get(link).status_code == 403
    assert other.post(f"/accounts/{OTHER}/logout").status_code == 303
    assert site.anybody().get(site.link(ACCOUNT)).status_code == 303


def test_a_session_ends_after_twelve_hours(site: Site) -> None:
    """A session is refused after twelve hours."""
    client = site.owner()
    site.world.clock.forward(hours=12, seconds=1)
    assert client.post(PAGE).status_code == 401


def test_in_a_frame_the_cookie_is_kept_apart_for_the_site(world) -> None:
    """With embed_origins, these may show the pages, and the cookie says what browsers need for that."""
    site = Site(world, embed_origins="https://app.billmywork.example")
    answer = site.anybody().get(site.link(ACCOUNT))
    assert "; SameSite=None; Secure; Partitioned" in answer.headers["set-cookie"]
    assert answer.headers["set-cookie"].startswith("__Host-")
    assert "frame-ancestors https://app.billmywork.example" in answer.headers["content-security-policy"]
    assert "x-frame-options" not in answer.headers


@pytest.mark.parametrize("path", ["/login", "/open?link=x", "/nothing", "/healthz", "/static/style.css"])
def test_every_answer_says_what_browsers_may_do_with_it(site: Site, path: str) -> None:
    """No script in the page, no frame, no path sent on, nothing stored."""
    headers = site.anybody().get(path).headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'; script-src 'self'; style-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert headers["referrer-policy"] == "strict-origin"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store"


def test_a_body_that_is_too_large_is_refused(site: Site) -> None:
    """A request body above the limit is refused."""
    assert site.anybody().post("/login", content=b"token=" + b"x" * 70_000).status_code == 413


def test_signing_out_takes_the_cookie_and_says_how_to_come_back(site: Site) -> None:
    """An owner sees a page without an operator's form; an operator is back at the form for the token."""
    for client, page, leads_to, text in (
        (site.owner(), f"/accounts/{ACCOUNT}/mailchimp", "/signed-out", "from your billmywork settings"),
        (site.operator(), "/", "/login?signed_out", "You are signed out."),
        (site.operator(), "/dead-letters", "/login?signed_out", "You are signed out."),
        (site.operator(), f"/accounts/{ACCOUNT}/mailchimp", "/login?signed_out", "You are signed out."),
    ):
        action, csrf = sign_out_form(client.get(page).text)
        del client.headers["x-csrf-token"]
        answer = client.post(action, data={"csrf": csrf})
        assert (answer.status_code, answer.headers["location"]) == (303, leads_to)
        assert "Max-Age=0" in answer.headers["set-cookie"]
        assert text in client.get(leads_to).text


def sign_out_form(page: str) -> tuple[str, str]:
    """Returns where the form to sign out is sent to, and its token."""
    (found,) = re.findall(
        r'<form method="post" action="([^"]+)"><input type="hidden" name="csrf" value="([^"]+)"><button[^>]*>Sign out<',
        page,
    )
    return found


def test_signing_out_while_kafka_is_away_ends_the_session_in_this_browser(site: Site, monkeypatch) -> None:
    """The cookie is taken, and the page says that other copies of it end by themselves."""

    def fail(*given: object) -> None:
        raise KafkaError("No broker answers.", "Start Kafka.")

    monkeypatch.setattr(sessions, "end_session", fail)
    client = site.owner()
    answer = client.post(PAGE)
    assert (answer.status_code, answer.headers["location"]) == (303, "/signed-out?here")
    assert "Max-Age=0" in answer.headers["set-cookie"]
    assert "within twelve hours" in client.get("/signed-out?here").text


def test_in_a_frame_the_cookie_is_taken_for_that_site(world) -> None:
    """A browser finds it only by the same attributes."""
    answer = Site(world, embed_origins="https://app.example").owner().post(PAGE)
    assert {"Max-Age=0", "SameSite=None", "Secure", "Partitioned"} <= set(answer.headers["set-cookie"].split("; "))


@pytest.mark.parametrize("at", ["", "yesterday", "9999-12-31T23:59:59-23:59", 5, None, ["x"], "2026-01-01"])
def test_a_link_with_a_wrong_time_opens_nothing(site: Site, at: object) -> None:
    """Programs make links too: what they put in is looked at, and is no internal error."""
    told = {"account_id": ACCOUNT, "id": "a-name-of-it", "at": at}
    token = site.context.signer("link").signed(told, site.world.clock() + sessions.LINK)
    answer = site.anybody().get("/open", params={"link": token})
    assert answer.status_code == (303 if at == "2026-01-01" else 403)


def test_the_key_for_programs_opens_no_operators_page(site: Site) -> None:
    """A link without an account is good only where it is signed by the key of the operators' links, and the reverse."""
    now = site.world.clock()
    forged = sessions.new_link(site.context.signer("link"), None, None, now)
    assert site.anybody().get("/open", params={"link": forged}).status_code == 403
    of_account = sessions.new_link(site.context.signer("operators link"), ACCOUNT, None, now)
    assert site.anybody().get("/open", params={"link": of_account}).status_code == 403
    assert site.anybody().get(site.link(None)).headers["location"] == "/"


def test_a_request_that_is_cut_off_is_no_error_of_the_worker(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    """Nobody reads the answer; nothing is written to the log, so that nobody can fill it."""
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/login", "headers": [], "query_string": b""}
    with ThreadPoolExecutor(1) as other_thread:  # tests in a browser leave an event loop running in this one
        other_thread.submit(asyncio.run, site.application(scope, receive, send)).result()  # type: ignore[arg-type]
    assert sent[0]["status"] == 400
    assert not caplog.records
