"""Several workers: any of them answers for any account, and an account whose worker is away is not shown empty."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from tests.integration.flush.world import ACCOUNT, TOPIC, World
from tests.integration.web.site import OTHER, Site
from worker.clock import as_text
from worker.config import Web
from worker.consumer.owned_partitions import OwnedPartitions
from worker.jobs.announce import Announce
from worker.kafka.partitioner import partition_of
from worker.store import offsets, worker_urls
from worker.store.offsets import TopicSize
from worker.web import forwarding
from worker.web.access.visitor import Visitor
from worker.web.application import web_application
from worker.web.forwarding import ForwardedRequest, other_worker
from worker.web.server import WebServer

ROOT = f"/api/v1/accounts/{ACCOUNT}"
PARTITIONS = 4
MINE = partition_of(ACCOUNT, PARTITIONS)


@pytest.fixture
def away(tmp_path: Path) -> Iterator[Site]:
    """A worker without the account's partition, and with the same secret key, which knows where no other one is."""
    folder = tmp_path / "away"
    folder.mkdir()
    (folder / "worker.db.key").write_bytes((tmp_path / "worker.db.key").read_bytes())
    (folder / "worker.db.key").chmod(0o600)
    with World(folder, direct=True) as world:
        with world.db.transaction():
            offsets.note_size(world.db, TOPIC, TopicSize("", PARTITIONS, PARTITIONS))
        site = Site(world)
        elsewhere = partial(other_worker, TOPIC, lambda: set(range(PARTITIONS)) - {MINE})
        site.context = replace(site.context, elsewhere=elsewhere)
        site.application = web_application(dict, dict, CollectorRegistry(), site.context)
        yield site


def say(site: Site, url: str) -> None:
    """Has the site know of a worker with the account."""
    with site.world.db.transaction():
        worker_urls.put(site.world.db, url, [MINE], as_text(site.world.clock()))


def test_the_account_s_worker_answers_by_way_of_another(site: Site, away: Site) -> None:
    """What happened is fetched from it, by the account's session and the operators' token, with its status."""
    site.world.event("cus-1", "ann@example.com")
    site.world.flush()
    with closing(WebServer("127.0.0.1", 0)) as server:
        server.start(site.application)
        say(away, server.url)
        for client in (away.owner(), away.program()):
            (receipt,) = client.get(f"{ROOT}/receipts?limit=5").json()["receipts"]
            assert receipt["email"] == "ann@example.com"
        told = away.signed_in(ACCOUNT, "Ann").put(f"{ROOT}/settings", json={"enabled": False})
        assert told.json()["enabled"] is False
        log = site.owner().get(f"{ROOT}/settings-log").json()["changes"]
        assert [one["by"] for one in log] == ["account acct-1 (Ann)"]
        assert away.owner().get(f"{ROOT}/receipts?limit=0").status_code == 422
        assert away.signed_in(OTHER).get(f"{ROOT}/receipts").status_code == 403


def test_an_account_whose_worker_is_away_is_not_shown_empty(site: Site, away: Site) -> None:
    """Unknown or not reached, the answer says so; its settings' log is known everywhere."""
    for url in (None, "http://127.0.0.1:9"):
        if url is not None:
            say(away, url)
        answer = away.owner().get(f"{ROOT}/receipts")
        assert (answer.status_code, answer.json()["code"]) == (503, "worker_away")
        assert away.owner().get(f"/accounts/{ACCOUNT}/mailchimp").status_code == 503
        assert away.owner().get(f"{ROOT}/settings-log").status_code == 200


def test_only_a_worker_can_say_who_asks(site: Site) -> None:
    """The header is signed for one request and half a minute; made up, used again elsewhere or late, it is refused."""
    signer, now = site.context.signer("forwarded"), site.world.clock()
    header = forwarding.signed(signer, Visitor(None), ForwardedRequest("GET", f"{ROOT}/runs"), now)
    client = site.anybody()
    assert client.get(f"{ROOT}/receipts", headers={forwarding.HEADER: header}).status_code == 401
    assert client.get(f"{ROOT}/runs", headers={forwarding.HEADER: header}).status_code == 200
    assert client.get(f"{ROOT}/runs", headers={forwarding.HEADER: header}).status_code == 401, "it is good once"
    assert client.get(f"{ROOT}/runs", headers={forwarding.HEADER: "x.y"}).status_code == 401
    late = forwarding.signed(signer, Visitor(None), ForwardedRequest("GET", f"{ROOT}/runs"), now)
    site.world.clock.forward(seconds=31)
    assert client.get(f"{ROOT}/runs", headers={forwarding.HEADER: late}).status_code == 401


def test_a_worker_says_where_it_is_when_its_partitions_change(site: Site) -> None:
    """Others find it by them; of two that say so, the later one counts."""
    config = site.world.app.config.model_copy(update={"web": Web(worker_url="http://worker-1:8080")})
    site.world.app.config = config
    owned_partitions = OwnedPartitions(follows=True)
    announce, db = Announce(site.world.app, owned_partitions), site.world.db
    owned_partitions.assigned({1: (0, 0), 2: (0, 0)})
    announce.step(db)
    assert worker_urls.with_partition(db, 2) != "http://worker-1:8080", "the settings are not read yet"
    owned_partitions.settings_read()
    announce.step(db)
    assert worker_urls.with_partition(db, 2) == "http://worker-1:8080"
    assert worker_urls.with_partition(db, 3) is None
    owned_partitions.assigned({3: (0, 0)})
    announce.step(db)
    assert worker_urls.with_partition(db, 3) == "http://worker-1:8080"


def test_an_answer_that_is_too_large_is_refused_whole(site: Site, away: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer above the limit is refused whole, because a part of it would look complete."""
    with closing(WebServer("127.0.0.1", 0)) as server:
        server.start(site.application)
        say(away, server.url)
        assert away.owner().get(f"{ROOT}/receipts").status_code == 200
        monkeypatch.setattr(forwarding, "LARGEST_ANSWER", 5)
        answer = away.owner().get(f"{ROOT}/receipts")
    assert (answer.status_code, answer.json()["code"]) == (503, "worker_away")
    assert "larger than" in answer.json()["title"] + answer.json().get("detail", "")


def test_requests_that_came_are_remembered_as_long_as_they_are_good() -> None:
    """Not longer, so that they do not pile up."""
    seen, at = forwarding.SeenRequests(), datetime(2026, 11, 22, tzinfo=UTC)
    assert [seen.is_new(name, at) for name in ("a", "b", "a")] == [True, True, False]
    later = at + forwarding.GOOD_FOR
    assert [seen.is_new(name, later) for name in ("a", "c")] == [False, True]
    assert seen.is_new("a", later + 2 * forwarding.GOOD_FOR), "its time is over, so that its signature is refused"


def test_operators_see_accounts_as_their_workers_know_them(site: Site, away: Site) -> None:
    """What waits is asked at the account's worker; where that does not answer, the account is not shown as empty."""
    for number in range(7):
        site.world.event(f"c{number}", f"c{number}@example.com")
    page = away.operator().get("/").text
    assert "worker away" in page
    assert f"The workers of 1 account are away: {ACCOUNT}." in page
    assert "not known" in page
    with closing(WebServer("127.0.0.1", 0)) as server:
        server.start(site.application)
        url = server.url
        say(away, url)
        page = away.operator().get("/").text
        assert f"at {url}" in page
        assert '<td class="number">7</td>' in page
        assert "worker away" not in page
    page = away.operator().get("/").text
    assert f"{url} does not answer" in page
