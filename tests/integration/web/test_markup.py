"""Whatever billmywork or Mailchimp can set is text on every page: no markup, and nothing that turns a line around."""

from __future__ import annotations

import json
from collections.abc import Iterator
from html import escape
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.integration.flush.world import ACCOUNT, CHANGELOG, World
from tests.integration.web.site import OTHER, Site
from worker.accounts import api_keys, settings
from worker.accounts.requested_settings import RequestedSettings, with_requested
from worker.accounts.settings_log import Author
from worker.clock import as_text
from worker.mailchimp.user import MailchimpUser
from worker.model import AccountId, ListId
from worker.sqlite.rows import Changed
from worker.store import accounts, dead_letters, held_counts
from worker.store.accounts import AccountSettings, Pause
from worker.store.dead_letters import DeadLetter
from worker.store.held_counts import HeldCount
from worker.web.pages.routes import PAGES

STEERING = "\u202e\u2066\u200f\x07"
EVIL = f"<script>evil()</script><img src=x onerror=evil()>\"'{STEERING}"
ESCAPED = "&lt;script&gt;evil()"
HERE = f"/accounts/{ACCOUNT}/mailchimp"
QUERIES = {
    f"{HERE}/review": ("kind=enable&enabled=1&status=pending", "kind=lists&list=master&list=other&master=other"),
    f"{HERE}/people": ("run=1", "run=2", "run=1&group=missed", "outcome=added"),
    f"{HERE}/person": ("email=evil@example.com", f"email={quote(EVIL)}", f"email={quote(EVIL)}@example.com"),
    HERE: ("done=saved", f"done={quote(EVIL)}"),
}


def pages(site: Site) -> Iterator[tuple[str, str]]:
    """Gives the text of every page as an operator and as the account's owner see it."""
    paths = [one.path.replace("{account_id}", ACCOUNT) for one in PAGES if "GET" in one.methods]
    owner, operator = site.signed_in(ACCOUNT, EVIL), site.signed_in(None, EVIL)
    for path in paths:
        for query in ("", *QUERIES.get(path, ())):
            for who, client in (("owner", owner), ("operator", operator)):
                if who == "operator" or path.startswith("/accounts/"):
                    answer = client.get(f"{path}?{query}")
                    assert answer.status_code < 500, (path, query, answer.text[-400:])
                    if answer.headers.get("content-type", "").startswith("text/html"):
                        yield f"{who} {path}?{query}", answer.text


@pytest.fixture
def evil(tmp_path: Path) -> Iterator[Site]:
    """A site with markup and bidi controls in whatever others can set."""
    with World(tmp_path, direct=True) as world:
        world.standin.find_list("other").name = EVIL
        world.standin.find_list("spare").name = EVIL
        world.refresh()
        world.standin.create_list("owner", "fresh", EVIL)
        world.refresh()
        address = dict.fromkeys(("line1", "line2", "city", "state", "postcode"), EVIL) | {"country": EVIL}
        fields = {"first_name": EVIL, "last_name": EVIL, "company": EVIL, "phone": EVIL, "address": address}
        world.event("evil", "evil@example.com", list_id="other", **fields)
        world.event(EVIL.replace("/", ""), "second@example.com", **fields)
        world.event("third", f"{EVIL}@example.com", **fields)
        world.event("fourth", None, list_id=EVIL, **fields)
        for number in range(24):
            world.event(f"c{number}", f"c{number}@example.com")
        world.run()
        for number in range(20):
            world.deleted(f"c{number}")
        world.run()
        _set_by_others(world)
        world.checks_next_steps = False
        yield Site(world)


def _set_by_others(world: World) -> None:
    """Writes what Mailchimp's errors, dead letters and other releases could hold."""
    db, now = world.db, world.clock()
    at, author = as_text(now), Author(f"account {ACCOUNT} ({EVIL})", now)
    stored = frozenset(ListId(one) for one in ("master", "other", "fresh"))
    for master in ("fresh", "master"):
        requested = RequestedSettings(stored=stored, master_list=ListId(master))
        settings.change(db, CHANGELOG, ACCOUNT, lambda old, new=requested: with_requested(old, new, now), author)
    lists = [(ListId("other"), EVIL), (ListId("fresh"), EVIL)]
    CHANGELOG.commit(db, lambda: Changed(None, api_keys.note_owner(db, ACCOUNT, MailchimpUser(EVIL, EVIL))))
    for list_id, reason in lists:
        CHANGELOG.commit(
            db, lambda one=list_id, why=reason: Changed(None, accounts.pause_list(db, ACCOUNT, one, Pause(why, now)))
        )
    left_out = [{"list_id": EVIL, "field": EVIL, "reason": EVIL, "contacts": 1, "of": 2}]
    with db.transaction():
        db.execute(
            "UPDATE receipt SET detail = ?, next = ?, answer = ?, list_reason = ?", (EVIL, EVIL, json.dumps(EVIL), EVIL)
        )
        db.execute("UPDATE receipt SET outcome = ? WHERE customer_id = 'third'", (EVIL,))
        db.execute("UPDATE flush_run_account SET message = ?, left_out = ?", (EVIL, json.dumps(left_out)))
        db.execute("UPDATE flush_run_account SET counts = json_set(counts, '$.' || ?, 3)", (json.dumps(EVIL),))
        held_counts.show(db, ACCOUNT, [HeldCount(ListId(EVIL), "departures", 40, at)], at)
        raw = EVIL.encode()
        letter = DeadLetter("billmywork.customers", "", 0, 9, raw, raw, [(EVIL, raw)], EVIL, at)
        dead_letters.keep(db, [letter, DeadLetter(EVIL, "", 0, 9, b"\xff" + raw, None, [], EVIL, at)])
    evil = AccountId(EVIL.replace("/", ""))
    for who in (evil, OTHER):
        made = AccountSettings(who, key_hint=EVIL, enabled=True, connected_at=now, pause=Pause(EVIL, now))
        CHANGELOG.commit(db, lambda one=made: Changed(None, accounts.save(db, one)))


def test_no_page_has_markup_of_others(evil: Site) -> None:
    """Tags are shown as they were typed, and controls that turn a line around are spelled out."""
    told = dict(pages(evil))
    for where, page in told.items():
        for part in ("<script>evil", "<img src=x", "onerror=evil()>", *STEERING):
            assert part not in page, (where, part)
    shown = {where for where, page in told.items() if ESCAPED in page}
    for where in (HERE, f"{HERE}/people", f"{HERE}/person", f"{HERE}/log", f"{HERE}/held", f"{HERE}/review"):
        assert any(one.startswith(f"owner {where}?") for one in shown), where
    assert {"operator /?", "operator /dead-letters?"} <= shown
    assert "\\u202e" in told["operator /dead-letters?"]


def test_a_page_of_an_account_with_such_a_name_is_found(evil: Site) -> None:
    """Its address is quoted in the links that lead there."""
    who = EVIL.replace("/", "")
    page = evil.operator().get("/").text
    where = f"/accounts/{quote(who, safe='')}/mailchimp"
    assert f'href="{escape(where)}"' in page
    assert evil.operator().get(where).status_code == 200


def test_names_with_joiners_stay_as_they_are(site: Site) -> None:
    """Only what turns a line around is spelled out: families of pictures and Persian names are written with joiners."""
    name = "\U0001f468\u200d\U0001f469\u200d\U0001f467 \u0646\u06cc\u200c\u0645"
    site.world.event("c1", "joined@example.com", first_name=name)
    site.world.run()
    assert name in site.owner().get(f"{HERE}/people?run=1").text
