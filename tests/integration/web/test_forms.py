"""Every form of every page, each of its fields filled with anything: no internal error, and nothing comes to life."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from tests.integration.flush.world import ACCOUNT, KEY, World
from tests.integration.web.site import TOKEN, Site
from worker.store import dead_letters
from worker.store.dead_letters import DeadLetter
from worker.web.pages.routes import PAGES

HERE = f"/accounts/{ACCOUNT}/mailchimp"
MARK = "<zq a=\"b\" c='d'>"
"""What must be nowhere as it is."""
EXAMPLES = 12
FULL = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
PLACES = (
    ("anybody", "/login"),
    ("owner", HERE),
    ("owner", f"{HERE}/person"),
    ("owner", f"{HERE}/disconnect"),
    ("owner", f"{HERE}/held"),
    ("owner", f"{HERE}/fields?list=master"),
    ("owner", f"{HERE}/review?kind=enable&enabled=1&status=pending"),
    ("owner", f"{HERE}/review?kind=lists&list=master&list=other&master=other"),
    ("operator", "/"),
    ("operator", "/?find=a"),
    ("operator", "/dead-letters"),
)
"""Pages with forms, each with who sees it."""


@dataclass
class Form:
    """A form of a page.

    Attributes:
        fields: names with the values that a browser would send.
    """

    method: str
    action: str
    fields: list[tuple[str, str]] = field(default_factory=list)


class _Forms(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[Form] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Notes forms and their fields."""
        told = dict(attrs)
        if tag == "form":
            self.found.append(Form(told.get("method") or "get", told.get("action") or ""))
        elif tag == "input" and told.get("name"):
            self.found[-1].fields.append((str(told["name"]), told.get("value") or ""))


def forms_of(page: str) -> list[Form]:
    """Returns the forms of a page."""
    parser = _Forms()
    parser.feed(page)
    return parser.found


def visitor(site: Site, who: str) -> TestClient:
    """Returns a browser of anybody, the owner or an operator, which sends the token of its forms in them alone."""
    made: TestClient = {"anybody": site.anybody, "owner": site.owner, "operator": site.operator}[who]()
    made.headers.pop("x-csrf-token", None)
    return made


ANYTHING = st.one_of(
    st.text(st.characters(exclude_categories=("Cs",)), max_size=40),
    st.sampled_from(
        ["", "0", "-1", "9" * 30, "٣", "²", "null", "../..", "//evil.example/", "%00", "\x00", "\u202e", "a\r\nb: c"]
    ),
    st.sampled_from(["master", "other", "subscribed", "pending", "1", KEY, TOKEN, "c1@example.com", "x" * 5000]),
)


@pytest.fixture
def full(tmp_path: Path) -> Iterator[Site]:
    """A site with people, a held change and a dead letter."""
    with World(tmp_path, direct=True) as world:
        for number in range(24):
            world.event(f"c{number}", f"c{number}@example.com")
        world.run()
        for number in range(20):
            world.deleted(f"c{number}")
        world.run()
        with world.db.transaction():
            dead_letters.keep(world.db, [DeadLetter("t", "", 0, 1, b"k", b"{", [], "why", "2026-11-22T10:00:00Z")])
        yield Site(world)


def check(client: TestClient, method: str, action: str, fields: list[tuple[str, str]]) -> int:
    """Sends a form, follows where it leads as a browser does, and returns the first status."""
    encoded = urlencode(fields)
    headers = {"content-type": "application/x-www-form-urlencoded"}
    if method == "post":
        answer = client.post(action, content=encoded, headers=headers)
    else:
        answer = client.get(f"{urlsplit(action).path}?{encoded}")
    first = answer.status_code
    for _ in range(4):
        assert answer.status_code < 500, (action, fields, answer.text[-300:])
        assert MARK not in answer.text, (action, fields)
        to = answer.headers.get("location")
        if to is None:
            return first
        assert to.startswith("/"), (action, fields, to)
        assert not to.startswith("//"), (action, fields, to)
        answer = client.get(to)
    raise AssertionError(f"{action} leads from page to page")


def test_every_page_with_a_form_is_tried(full: Site) -> None:
    """No other page has one, but for signing out and the form of the settings page."""
    known = {(who, urlsplit(path).path) for who, path in PLACES}
    for page in PAGES:
        path = page.path.replace("{account_id}", ACCOUNT)
        if "GET" in page.methods:
            who = "owner" if path.startswith("/accounts/") else "operator"
            forms = forms_of(visitor(full, who).get(path).text)
            assert (who, path) in known or all(one.action.endswith("/logout") for one in forms), path


@pytest.mark.parametrize(("who", "page"), PLACES)
def test_a_field_may_hold_anything(full: Site, who: str, page: str) -> None:
    """Each field of each form, one after the other: no error of ours, nothing sent back as markup, nowhere else led."""
    forms = forms_of(visitor(full, who).get(page).text)
    assert forms

    @given(st.data())
    @FULL
    def sent(data: st.DataObject) -> None:
        full.context.failed_logins.__init__()  # type: ignore[misc]
        client = visitor(full, who)
        now = forms_of(client.get(page).text) or forms
        form = data.draw(st.sampled_from(now))
        at = data.draw(st.integers(0, len(form.fields) - 1)) if form.fields else None
        text = data.draw(ANYTHING)
        text = data.draw(st.sampled_from([text, f"{text}{MARK}", f"{MARK}{text}"]))
        fields = list(form.fields)
        if at is None:
            fields = [(text, text)]
        elif data.draw(st.booleans()):
            fields[at] = (fields[at][0], text)
        else:
            fields = [*fields[:at], (f"{fields[at][0]}{text}", fields[at][1]), *fields[at + 1 :], fields[at]]
        status = check(client, form.method, form.action, fields)
        if at is not None and fields[at][0] == "csrf" and fields[at][1] != form.fields[at][1]:
            assert status in (403, 401), "a form with another token changes nothing"

    sent()


@pytest.mark.parametrize("path", [one.path for one in PAGES if "GET" in one.methods])
def test_an_address_may_hold_anything(full: Site, path: str) -> None:
    """Each parameter that a page knows, and others."""
    names = (
        "find",
        "run",
        "day",
        "group",
        "outcome",
        "email",
        "done",
        "kind",
        "list",
        "master",
        "status",
        "enabled",
        "x",
    )
    client = visitor(full, "owner" if path.startswith("/accounts/") else "operator")

    @given(st.dictionaries(st.sampled_from(names), st.one_of(ANYTHING, st.just(MARK)), max_size=4))
    @FULL
    def asked(query: Mapping[str, str]) -> None:
        check(client, "get", path.replace("{account_id}", ACCOUNT), list(query.items()))

    asked()


@pytest.mark.parametrize("body", [b"\xff=\xff", b"a" * 60_000, b"&".join([b"a=1"] * 3000), b"csrf=%ff%fe", b"%"])
def test_a_body_that_is_no_form_is_refused(full: Site, body: bytes) -> None:
    """A body that is not a form is refused without an internal error or a change, whatever its bytes are."""
    headers = {"content-type": "application/x-www-form-urlencoded"}
    for page in PAGES:
        if "POST" in page.methods:
            answer = visitor(full, "operator").post(
                page.path.replace("{account_id}", ACCOUNT), content=body, headers=headers
            )
            assert answer.status_code in (403, 422), page.path


def test_what_a_browser_reads_of_forms_is_what_is_sent() -> None:
    """The reader of these tests finds hidden fields and their values."""
    (found,) = forms_of('<form method="post" action="/x"><input name="a" value="1&amp;2"><input type="submit"></form>')
    assert (found.method, found.action, found.fields) == ("post", "/x", [("a", "1&2")])
    assert parse_qsl(urlencode(found.fields)) == [("a", "1&2")]
