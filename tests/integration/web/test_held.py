"""What an owner confirms is what happens, whether people leave lists or are added to others."""

from __future__ import annotations

import re
from html import unescape

import pytest
from starlette.testclient import TestClient

from tests import setters
from tests.checked_changelog import CHANGELOG
from tests.integration.flush.world import ACCOUNT, Everybody, World
from tests.integration.web.site import Site
from tests.integration.web.test_forms import forms_of
from worker.clock import as_text
from worker.model import ListId
from worker.store import runs
from worker.store.run_result import RunResult
from worker.store.runs import AccountRun
from worker.web import account_reader

PAGE = f"/accounts/{ACCOUNT}/mailchimp"
HELD = f"{PAGE}/held"
NOTICE = "Some changes need your confirmation"


def text_of(page: str) -> str:
    """The text of a page, as a browser shows it."""
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", page)))


def lose_a_list(world: World, *, read: bool = True) -> None:
    """Ann and Bob are on a list that the account does not store any more and that is deleted; the flush holds them."""
    for name in ("ann", "bob"):
        world.event(name, f"{name}@example.com", list_id="other")
    world.flush()
    if read:
        world.daily()
    world.by_hand("bob@example.com", "unsubscribe", "other")
    world.standin.delete_list("other")
    world.refresh()
    setters.store(world.db, CHANGELOG, ACCOUNT, [ListId("master")])
    world.flush()


def delete_many(world: World) -> None:
    """20 of 24 customers are deleted, and the flush holds that."""
    for number in range(24):
        world.event(f"c{number}", f"c{number}@example.com")
    world.run()
    for number in range(20):
        world.deleted(f"c{number}")
    world.run()


def carry_out(world: World) -> None:
    """The worker takes the request."""
    (request,) = runs.open_requests(world.db)
    world.clock.forward(seconds=1)
    world.app.flusher(world.stop).flush("command", lambda db: Everybody(), request)


def confirm(client: TestClient, *, ticked: bool = True) -> tuple[int, str]:
    """Sends the form of the page as a browser does, and returns the status and text after redirects."""
    (form,) = [form for form in forms_of(client.get(HELD).text) if form.action == HELD]
    fields = [(name, value) for name, value in form.fields if ticked or not name.startswith("sure-")]
    return sent(client, fields)


def sent(client: TestClient, fields: list[tuple[str, str]]) -> tuple[int, str]:
    """Sends fields to the page that confirms."""
    answer = client.post(HELD, data=dict(fields), follow_redirects=True)
    return answer.status_code, text_of(answer.text)


def test_who_confirms_a_gone_list_reads_that_people_are_added_and_who_may_have_left(site: Site) -> None:
    """Nobody is archived; those who left unseen are added to the master list, and the owner has agreed to just that."""
    world, owner = site.world, site.owner()
    lose_a_list(world)
    page = text_of(owner.get(HELD).text)
    assert "2 people would be added to another of your lists, because “Other” is no longer in your Mailchimp" in page
    assert "We cannot see who unsubscribed from “Other” since today at 10:00. People who did are added too." in page
    assert "Yes, add 2 people from “Other”, even those who unsubscribed without our knowing" in page
    assert "archived" not in page
    assert "We cannot see who has unsubscribed, so we stopped" in text_of(owner.get(PAGE).text)
    assert "Confirmed." in confirm(owner)[1]
    carry_out(world)
    assert world.members() == {"ann@example.com": "subscribed", "bob@example.com": "subscribed"}


def test_who_confirms_a_gone_list_that_was_never_read_reads_so(site: Site) -> None:
    """The page names no time since when departures are unknown if there is none."""
    lose_a_list(site.world, read=False)
    page = text_of(site.owner().get(HELD).text)
    assert "We have no complete record of who unsubscribed from “Other”. People who did are added too." in page


def test_before_a_gone_list_is_given_up_the_owner_reads_that_its_people_wait(site: Site) -> None:
    """The page before saving, and the plan's sentence, say that they move only after a confirmation."""
    world, owner = site.world, site.owner()
    world.event("ann", "ann@example.com", list_id="other")
    world.flush()
    world.standin.delete_list("other")
    world.refresh()
    page = text_of(owner.get(f"{PAGE}/review?kind=lists&list=master&master=master").text)
    assert "1 person moves from “Other” to “Master”" in page
    assert "The next sync asks you before it adds 1 person from it to another list." in page
    preview = owner.post(f"/api/v1/accounts/{ACCOUNT}/preview", json={"stored_list_ids": ["master"]}).json()
    assert "1 customer of it move only after you confirm what the next flush says" in preview["words"]


def test_who_confirms_departures_reads_that_people_are_archived_or_added_elsewhere(site: Site) -> None:
    """Those who leave are archived; those who move or have another address are added there first."""
    delete_many(site.world)
    page = text_of(site.owner().get(HELD).text)
    assert "20 people would leave “Master”." in page
    assert "archived in Mailchimp: off that list, and not deleted" in page
    assert "under another address, are added there first" in page
    assert "Yes, 20 people may leave “Master”" in page
    assert "no longer in your Mailchimp account" not in page


def test_a_confirmed_change_is_asked_for_no_more(site: Site) -> None:
    """Beside "Confirmed" the page asks nothing, and a second press of the button changes nothing."""
    world, owner = site.world, site.owner()
    delete_many(world)
    (form,) = [form for form in forms_of(owner.get(HELD).text) if form.action == HELD]
    for _ in range(2):
        status, page = sent(owner, form.fields)
        assert (status, "Confirmed." in page, NOTICE in page) == (200, True, False)
        assert "Sync now" not in page
        assert len(runs.open_requests(world.db)) == 1
    carry_out(world)
    assert list(world.members().values()).count("archived") == 20


def test_nothing_is_confirmed_while_a_sync_may_change_the_numbers(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page and the API say that a sync is under way, in the words of the page, and no request is made."""
    world, owner = site.world, site.owner()
    delete_many(world)
    (form,) = [form for form in forms_of(owner.get(HELD).text) if form.action == HELD]
    monkeypatch.setattr(account_reader, "seconds_since_beat", lambda path: 1.0)
    with world.db.transaction():
        run = runs.start(world.db, as_text(world.clock()), "daily", None)
        runs.put_account(world.db, run, AccountRun(ACCOUNT, {}, 20, 0, RunResult.STOPPED))
    status, page = sent(owner, form.fields)
    assert (status, "the numbers may change" in page, NOTICE in page) == (409, True, False)
    assert owner.post(f"/api/v1/accounts/{ACCOUNT}/sync", json={"confirm_held": True}).status_code == 429
    assert owner.get(HELD).status_code == 303
    assert runs.open_requests(world.db) == []


def test_a_confirmation_without_every_tick_or_after_an_hour_is_none(site: Site) -> None:
    """The page asks for the tick; once the hour is over, it leads back to where the numbers are counted again."""
    world, owner = site.world, site.owner()
    delete_many(world)
    status, page = confirm(owner, ticked=False)
    assert (status, "Tick every box" in page) == (422, True)
    world.clock.forward(hours=1)
    assert owner.get(HELD).headers["location"] == PAGE
    assert runs.open_requests(world.db) == []


def test_when_a_sync_can_be_asked_for_again_is_said_in_words(site: Site) -> None:
    """Page and API say "today at 10:10", in the time zone of the flush."""
    owner = site.owner()
    api = f"/api/v1/accounts/{ACCOUNT}/sync"
    assert owner.post(api).status_code == 202
    assert re.fullmatch(r"You can ask again today at \d\d:\d\d\.", owner.post(api).json()["advice"])
    assert re.search(r"You can ask again today at \d\d:\d\d\.", text_of(owner.post(f"{PAGE}/sync").text))
