"""After a take-over, pages, API and status say what this worker does not know, instead of that there was nothing."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.integration.flush.world import ACCOUNT, TOPIC
from tests.integration.web.site import Site
from tests.integration.web.test_person_page import text_of
from tests.integration.web.test_waiting import metrics_of, status_of_account
from worker.clock import as_text
from worker.store import offsets

PAGE = f"/accounts/{ACCOUNT}/mailchimp"


@pytest.fixture
def taken(site: Site) -> Site:
    """A worker that has just taken the account over, while calls of the former one may be under way for two minutes."""
    world = site.world
    world.clock.forward(hours=2)
    since = as_text(world.clock() + timedelta(minutes=2))
    with world.db.transaction():
        offsets.note_taken(world.db, TOPIC, [(0, since)])
    world.event("ann", "ann@example.com")
    return site


def shown(site: Site, path: str = "") -> str:
    """Returns the words of a page."""
    return text_of(site.owner().get(PAGE + path).text)


def compared(site: Site) -> None:
    """The worker compares its customers with the ledger, minutes later."""
    site.world.clock.forward(minutes=8)
    with site.world.db.transaction():
        offsets.note_compared(site.world.db, [0])


def test_no_page_says_that_there_was_no_sync(taken: Site) -> None:
    """Each says since when its list of syncs is complete, as long as that time lies ahead and afterwards."""
    for path in ("", "/runs", "/people?group=missed"):
        page = shown(taken, path)
        assert "from today at 12:02 on" in page
        for wrong in ("first sync", "first one", "There was no sync yet", "There was no sync in the last 30 days"):
            assert wrong not in page
    assert "no sync yet" not in shown(taken)
    compared(taken)
    for path in ("", "/runs", "/people?group=missed"):
        assert "from today at 12:02 on" in shown(taken, path)
    taken.world.run()
    for path in ("", "/runs"):
        assert "from today at 12:02 on" in shown(taken, path), "the syncs before it are still not listed"
    assert "1 added" in shown(taken)


def test_nobody_is_counted_as_waiting_before_customers_are_compared(taken: Site) -> None:
    """Each staged customer seems to be changed until then; afterwards those that the former worker left are counted."""
    assert "waiting" not in shown(taken).replace("waiting list", "")
    assert "finding out who waits" in shown(taken)
    assert "finding out who waits" in shown(taken, "/waiting")
    assert "ann@example.com" not in shown(taken, "/waiting")
    account = taken.owner().get(f"/api/v1/accounts/{ACCOUNT}").json()
    assert account["customers_waiting"] is None
    state = status_of_account(taken)
    assert (state["state"], state["customers_waiting"], state["all"]) == ("waiting", None, 0)
    assert "took it over" in state["what"]
    assert metrics_of(taken)["customers_waiting"] == 0
    assert metrics_of(taken)["oldest_waiting_seconds"] == 0
    compared(taken)
    assert "1 person waiting" in shown(taken)
    assert "ann@example.com" in shown(taken, "/waiting")
    assert taken.owner().get(f"/api/v1/accounts/{ACCOUNT}").json()["customers_waiting"] == 1
    assert metrics_of(taken)["customers_waiting"] == 1
    assert metrics_of(taken)["oldest_waiting_seconds"] > 0


def test_the_api_says_since_when_syncs_and_receipts_are_complete(taken: Site) -> None:
    """Beside the syncs, the receipts and the account."""
    at = f"/api/v1/accounts/{ACCOUNT}"
    since = taken.owner().get(f"{at}/receipts").json()["complete_since"]
    assert since.startswith("2026-11-22T12:02:")
    assert taken.owner().get(f"{at}/runs").json()["complete_since"] == since
    assert taken.owner().get(at).json()["receipts_complete_since"] == since


def test_an_account_that_is_set_up_after_a_take_over_has_its_first_sync_ahead(site: Site) -> None:
    """Nothing can have been synced before."""
    world = site.world
    with world.db.transaction():
        offsets.note_taken(world.db, TOPIC, [(0, as_text(world.clock() - timedelta(hours=2)))])
        offsets.note_compared(world.db, [0])
    world.event("ann", "ann@example.com")
    assert "Your first sync is still to come" in shown(site)
    assert "There was no sync yet." in shown(site)
    assert "from today" not in shown(site, "/runs")
