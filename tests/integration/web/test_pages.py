"""What the pages say to an owner and to operators, asked without a browser."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from html import unescape

import pytest

from tests import setters
from tests.integration.flush.world import ACCOUNT, CHANGELOG, TOPIC
from tests.integration.web.site import OTHER, Site
from worker.clock import as_moment, as_text
from worker.errors import KafkaError
from worker.model import AccountId, ListId
from worker.sqlite.rows import Changed
from worker.store import accounts, bare_customers, runs
from worker.store.accounts import AccountSettings, Pause
from worker.store.run_result import RunResult
from worker.store.runs import AccountRun
from worker.web import account_reader
from worker.web.errors import WorkerAway
from worker.web.pages import operators
from worker.web.refreshes import Refreshes

PAGE = f"/accounts/{ACCOUNT}/mailchimp"


def badges(page: str) -> dict[str, str]:
    """Returns the badge beside each list's name."""
    found = re.findall(r'<span class="name">([^<]+?)(?: <span class="badge[^>]*>([^<]*)</span>)?<', page)
    return {unescape(name): badge for name, badge in found}


def test_a_new_list_is_marked_until_it_is_stored(site: Site) -> None:
    """Also after another refresh and after a restart; by the first refresh none is."""
    world = site.world
    world.refresh()
    assert set(badges(site.owner().get(PAGE).text).values()) == {""}
    world.standin.create_list("owner", "fresh", "Spring offers")
    world.refresh()
    world.refresh()
    object.__setattr__(site.context, "refreshes", Refreshes())
    assert badges(site.owner().get(PAGE).text)["Spring offers"] == "new"
    told = site.owner().get(f"/api/v1/accounts/{ACCOUNT}/lists").json()["lists"]
    assert [one["list_id"] for one in told if one["new"]] == ["fresh"]
    setters.store(world.db, CHANGELOG, ACCOUNT, [ListId(one) for one in ("master", "other", "fresh")])
    assert badges(site.owner().get(PAGE).text)["Spring offers"] == ""
    setters.store(world.db, CHANGELOG, ACCOUNT, [ListId(one) for one in ("master", "other")])
    assert badges(site.owner().get(PAGE).text)["Spring offers"] == "", "it was used once"


def test_a_list_that_mailchimp_lost_is_no_longer_new(site: Site) -> None:
    """A new list that Mailchimp deleted is no longer shown as new."""
    world = site.world
    world.standin.create_list("owner", "fresh", "Spring offers")
    world.refresh()
    world.standin.delete_list("fresh")
    world.refresh()
    assert "Spring offers" not in badges(site.owner().get(PAGE).text)


def test_a_sync_under_way_shows_who_is_left_and_when_it_should_end(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Page and API show how many customers a running sync has left, counting new changes, and when it ends."""
    world = site.world
    monkeypatch.setattr(account_reader, "seconds_since_beat", lambda path: 1.0)
    began = world.clock() - timedelta(hours=1)
    with world.db.transaction():
        run = runs.start(world.db, as_text(began), "daily", None)
        runs.put_account(world.db, run, AccountRun(ACCOUNT, {}, 8, 6, RunResult.STOPPED))
    for number in range(3):
        world.event(f"c{number}", f"c{number}@example.com")
    page = site.owner().get(PAGE).text
    assert re.search(r"3 people left\. It should end [^.]+ at \d\d:\d\d\.", page)
    assert "did not finish" not in page
    flush = site.owner().get(f"/api/v1/accounts/{ACCOUNT}").json()["flush"]
    assert (flush["settled"], flush["left"]) == (6, 3)
    assert timedelta(minutes=89) < as_moment(flush["ends_at"]) - began < timedelta(minutes=92)


def test_an_owner_reads_of_no_command(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """While Kafka is away the page says so in plain words; an operator reads the rest too."""

    def fail(*given: object) -> None:
        raise KafkaError("No broker answers at localhost:9092.", "Set WORKER_KAFKA__BOOTSTRAP_SERVERS.")

    monkeypatch.setattr(type(site.world.app.changelog), "commit", fail)
    answer = site.owner().post(f"{PAGE}/resume")
    assert answer.status_code == 503
    assert "We cannot do this at the moment." in answer.text
    assert "Back to the settings" in answer.text
    assert "WORKER_" not in answer.text
    assert "localhost:9092" not in answer.text
    assert "WORKER_KAFKA__BOOTSTRAP_SERVERS" in site.operator().post(f"{PAGE}/resume").text


def test_an_account_without_settings_reads_of_no_command(site: Site) -> None:
    """Each form that it can send too early says so in plain words."""
    client = site.signed_in(OTHER)
    page = f"/accounts/{OTHER}/mailchimp"
    for path in ("refresh", "resume", "disconnect", "sync", "enable", "lists", "review", "held"):
        answer = client.post(f"{page}/{path}", data={"enabled": "1", "list": "master", "master": "master"})
        answer = client.get(answer.headers["location"]) if answer.status_code == 303 else answer
        assert answer.status_code < 500, path
        assert "mailchimp-worker" not in answer.text.replace("mailchimp-worker.</title>", ""), path


def test_a_list_of_another_account_is_refused_with_its_name(site: Site) -> None:
    """A list is used by one account only, and the owner reads which one it is."""
    world = site.world
    setters.store(world.db, CHANGELOG, ACCOUNT, [ListId("master")])
    known = tuple(replace(one, stored=False) for one in world.settings.lists)
    now = world.clock()
    other = AccountSettings(OTHER, key_hint="cdef-us1", connected_at=now, refreshed_at=now, lists=known)
    CHANGELOG.commit(world.db, lambda: Changed(None, accounts.save(world.db, other)))
    answer = site.signed_in(OTHER).post(
        f"/accounts/{OTHER}/mailchimp/lists", data={"list": ["master"], "master": "master"}
    )
    assert answer.status_code == 422
    assert "Another account uses “Master”." in unescape(answer.text)


def test_people_who_have_not_said_may_be_asked_first(site: Site) -> None:
    """Before the integration is turned on, the page says what unknown consent counts as, and offers the other way."""
    setters.disable(site.world.db, CHANGELOG, ACCOUNT)
    page = site.owner().get(f"{PAGE}/review?kind=enable&enabled=1&status=subscribed").text
    assert "counts as a yes" in page
    (other,) = re.findall(r'<a href="([^"]+)">Not sure\? Ask them by mail first instead</a>', page)
    page = site.owner().get(unescape(other)).text
    assert "Mailchimp sends each of them a mail to confirm." in page
    assert "Not sure?" not in page


def test_an_account_whose_worker_is_away_is_said_in_plain_words(site: Site) -> None:
    """The owner reads that nothing is lost, and can try again; an operator reads why."""

    def away(*given: object) -> str | None:
        raise WorkerAway("It is known to another worker: web.worker_url.", "Try again.")

    object.__setattr__(site.context, "elsewhere", away)
    answer = site.owner().get(f"{PAGE}/runs?x=1")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "60")
    assert "We cannot show your account at the moment." in answer.text
    assert "Nothing is lost" in answer.text
    assert f'href="{PAGE}/runs?x=1">Try again</a>' in answer.text
    assert "web.worker_url" not in answer.text
    assert "web.worker_url" in site.operator().get(PAGE).text
    assert site.owner().get(f"{PAGE}/log").status_code == 200, "the log of settings is known everywhere"


def test_numbers_are_not_shown_before_they_are_known(site: Site) -> None:
    """While the ledger is not read, what would follow cannot be counted: the page says so, and shows the settings."""
    object.__setattr__(site.context, "why_not_ready", lambda: "The ledger is not read yet.")
    answer = site.owner().get(f"{PAGE}/review?kind=lists&list=master&list=other&master=other")
    assert answer.status_code == 503
    assert "Try again in a minute." in answer.text
    assert "move" not in answer.text
    assert site.owner().get(PAGE).status_code == 200


def test_a_day_of_the_chart_leads_to_the_people_of_all_its_syncs(site: Site) -> None:
    """Not only to those of its last one; as a file too. A day without a sync is not there."""
    world = site.world
    for number in range(3):
        world.event(f"c{number}", f"c{number}@example.com")
        world.run()
    world.clock.forward(days=1)
    world.event("late", "late@example.com")
    world.run()
    client = site.owner()
    first, second = dict.fromkeys(re.findall(rf'href="({PAGE}/people\?day=[-0-9]+)"', client.get(f"{PAGE}/runs").text))
    page = client.get(first).text
    assert [f"c{number}@example.com" in page for number in range(3)] == [True] * 3
    assert "late@example.com" not in page
    assert "3 added" in page
    assert "Syncs of " in page
    assert "late@example.com" in client.get(second).text
    file = client.get(first.replace("/people", "/people.csv"))
    assert file.text.count("@example.com") == 3
    assert first.rpartition("=")[2] in file.headers["content-disposition"]
    for day in ("1999-01-01", "9999-12-31", "0001-01-01", "today", "2026-02-30"):
        assert client.get(f"{PAGE}/people?day={day}").status_code == 404


def test_the_csv_of_people_has_no_characters_that_control_a_terminal(site: Site) -> None:
    """A customer chooses its name: escapes stand for control and bidi characters, as on the command line."""
    site.world.event("ann", "ann@example.com", first_name="An\x1b]0;n\x07", last_name="\u202eeeL")
    site.world.run()
    file = site.owner().get(f"{PAGE}/people.csv").text
    assert r"An\x1b]0;n\x07 \u202eeeL" in file
    assert all(char.isprintable() or char in "\r\n\ufeff" for char in file)


def test_changes_are_not_called_people_as_one_person_may_have_several(site: Site) -> None:
    """Of one person, details and tags were updated; the page says what it counts."""
    world = site.world
    world.event("ann", "ann@example.com", first_name="Ann")
    world.flush()
    world.event("ann", "ann@example.com", first_name="Anna", tags=["vip"])
    world.flush()
    shown = site.owner().get(PAGE).text
    assert ">2 updated<" in shown
    assert "2 people" not in shown
    assert "A person can have several" in shown


def test_the_number_of_those_who_wait_leads_to_them(site: Site) -> None:
    """Each is named with the list that it goes to, or with why nothing is sent, until a sync has delivered it."""
    world, client = site.world, site.owner()
    world.event("ann", "ann@example.com", first_name="Ann", list_id="other")
    world.event("eve", "eve@example.com", marketing_consent=False)
    world.event("noah", None)
    world.deleted("gone", "gone@example.com")
    link = re.search(rf'<a href="({PAGE}/waiting)">4 people waiting</a>', client.get(PAGE).text)
    assert link is not None
    shown = client.get(link[1]).text
    for text in ("ann@example.com", "unsubscribed where subscribed", "Has no e-mail address", "Deleted in billmywork"):
        assert text in shown
    world.run()
    assert "Nobody." in client.get(link[1]).text
    world.deleted("ann")
    assert "ann@example.com" in client.get(link[1]).text


def test_people_who_are_being_read_again_are_counted_apart(site: Site) -> None:
    """Those staged before the account was connected have no name yet: the page says how many, and lists the others."""
    world = site.world
    world.event("ann", "ann@example.com")
    with world.db.transaction():
        world.db.execute("UPDATE customer SET bare = 1, address = NULL")
        bare_customers.note(world.db, TOPIC, "", {(ACCOUNT, 0): 0})
    shown = site.owner().get(f"{PAGE}/waiting").text
    assert "1 more came before the account was connected" in shown
    assert "Nobody." not in shown
    world.event("bob", "bob@example.com")
    shown = site.owner().get(f"{PAGE}/waiting").text
    assert "bob@example.com" in shown
    assert "are shown" not in shown


def test_of_many_accounts_operators_see_those_first_that_need_somebody(site: Site, monkeypatch) -> None:
    """The others are counted, and found by a part of their names."""
    db, now = site.world.db, site.world.clock()
    for number in range(9):
        held = Pause("Mailchimp accepts no calls for it: API Key Invalid.", now) if number == 7 else None
        made = AccountSettings(
            AccountId(f"Shop-{number}"), key_hint="cdef-us1", connected_at=now, pause=held, enabled=True
        )
        CHANGELOG.commit(db, lambda one=made: Changed(None, accounts.save(db, one)))
    monkeypatch.setattr(operators, "ACCOUNTS", 4)
    page = site.operator().get("/").text
    assert "4 of 10 accounts are shown" in page
    assert re.findall(r"mailchimp\">([^<]+)</a></th>", page)[0] == "Shop-7"
    page = site.operator().get("/?find=shop-3").text
    assert re.findall(r"mailchimp\">([^<]+)</a></th>", page) == ["Shop-3"]
    assert "1 of 10 accounts." in page
    assert "No account has this in its name." in site.operator().get("/?find=nobody").text
