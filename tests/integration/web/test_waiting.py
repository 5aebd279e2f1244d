"""Who waits for the next sync, counted alike by pages, API, status and metrics."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from tests.integration.flush.world import ACCOUNT
from tests.integration.web.site import Site
from tests.integration.web.test_person_page import text_of
from worker.consumer.owned_partitions import OwnedPartitions
from worker.metrics import Metrics
from worker.status.overview import overview
from worker.web.collector import WorkerCollector

PAGE = f"/accounts/{ACCOUNT}/mailchimp"
REFUSED = "ann@shop.invalid"


def status_of_account(site: Site) -> dict:
    """Returns what `status --json` says of the account."""
    world = site.world
    data = overview(world.db, world.app.config, world.clock(), beat=None, live=None)
    (account,) = data["accounts"]
    return account | {"all": data["customers_waiting"], "all_later": data["customers_retried_later"]}


def metrics_of(site: Site) -> dict[str, float]:
    """Returns the metrics of the worker."""
    world, registry = site.world, CollectorRegistry()
    world.clock.forward(hours=1)
    collector = WorkerCollector(
        world.db, "t", OwnedPartitions(), Metrics(), lambda: 0, world.clock, world.app.next_flush
    )
    registry.register(collector)
    lines = [line.rpartition(" ") for line in generate_latest(registry).decode().splitlines() if line[0] != "#"]
    return {name.removeprefix("mailchimp_worker_"): float(value) for name, _, value in lines}


@pytest.fixture
def refused(site: Site) -> Site:
    """A site whose only changed customer was refused just after ten, and is tried again after ten the next day."""
    site.world.event("ann", REFUSED, first_name="Ann")
    site.world.clock.forward(minutes=30)
    site.world.run()
    return site


def test_who_is_tried_again_after_the_next_sync_does_not_wait_for_it(refused: Site) -> None:
    """Pages, API, status and metrics count her apart, and none says that the next sync sends her."""
    shown = text_of(refused.owner().get(PAGE).text)
    assert "waiting" not in shown
    assert "Ready. Next sync tomorrow at 10:00 Everything is in order." in shown
    assert "Mailchimp refused 1 person . We try again later." in shown
    assert "did not finish" not in shown
    people = text_of(refused.owner().get(f"{PAGE}/waiting").text)
    assert "Nobody." in people
    assert REFUSED in people[people.index("Tried again later") :]
    assert "The first sync after tomorrow at 10:30 tries again" in people
    told = refused.owner().get(f"/api/v1/accounts/{ACCOUNT}").json()
    assert (told["customers_waiting"], told["customers_retried_later"]) == (0, 1)
    (listed,) = refused.operator().get("/api/v1/accounts").json()["accounts"]
    assert (listed["customers_waiting"], listed["customers_retried_later"]) == (0, 1)
    account = status_of_account(refused)
    assert (account["state"], account["customers_waiting"], account["customers_retried_later"]) == ("up to date", 0, 1)
    assert (account["all"], account["all_later"], account["waiting_since"]) == (0, 1, None)
    assert any("refused by Mailchimp" in note and "2026-11-23T10:30" in note for note in account["notes"])
    metrics = metrics_of(refused)
    assert (metrics["customers_waiting"], metrics["customers_retried_later"]) == (0, 1)
    assert metrics["oldest_waiting_seconds"] == 0


@pytest.mark.parametrize("why", ["time", "address", "deletion", "withdrawal"])
def test_who_was_refused_waits_again_once_the_next_sync_tries_her(refused: Site, why: str) -> None:
    """Her time has come, or an event of hers is sent whatever was refused."""
    world = refused.world
    if why == "time":
        world.clock.forward(hours=24)
    elif why == "address":
        world.event("ann", "ann@example.com")
    elif why == "deletion":
        world.deleted("ann")
    else:
        world.event("ann", REFUSED, marketing_consent=False)
    told = refused.owner().get(f"/api/v1/accounts/{ACCOUNT}").json()
    assert (told["customers_waiting"], told["customers_retried_later"]) == (1, 0)
    assert metrics_of(refused)["oldest_waiting_seconds"] > 3599


def test_an_event_of_somebody_refused_is_tried_at_her_time_too(refused: Site) -> None:
    """A new name does not make the next sync send her, so she is still counted apart."""
    refused.world.event("ann", REFUSED, first_name="Anna")
    told = refused.owner().get(f"/api/v1/accounts/{ACCOUNT}").json()
    assert (told["customers_waiting"], told["customers_retried_later"]) == (0, 1)
    refused.world.daily()
    assert refused.world.outcomes("ann") == ["refused"]
