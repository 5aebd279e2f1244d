"""The benchmarks do what they measure: tiny runs, whose figures nobody reads."""

from __future__ import annotations

import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from benchmarks import accounts, first_sync, growth, read_back, stage
from benchmarks.__main__ import PAGE, SHORT, written
from benchmarks.chart import Panel, svg
from benchmarks.delivered import connect_all, settle_everybody
from benchmarks.processes import NotDone, measured
from benchmarks.report import goal
from benchmarks.worker import StandInProcess
from tests.integration.broker import Broker
from worker.accounts.secrets import parsed
from worker.model import AccountId
from worker.sqlite.database import open_database
from worker.store import accounts as stored_accounts


@pytest.mark.kafka
def test_stage(whole_kafka: Broker) -> None:
    """Each side reads all events, and the worker and the first script have a row of each customer."""
    load = stage.Load(events=60, customers=20, accounts=4, rounds=1, script=10)
    done = stage.compare(whole_kafka, load)
    assert {stage.PLAIN, stage.TUNED, stage.STAGING, stage.SCRIPT} <= done.keys()
    assert all(one.seconds > 0 for rounds in done.values() for one in rounds)
    delays = stage.trickle(whole_kafka.bootstrap_servers, count=2)
    assert "times the first script" in stage.report(load, done, delays)


@pytest.mark.kafka
def test_first_sync(whole_kafka: Broker) -> None:
    """The worker and the official client add and change contacts, which the lists have then."""
    sides = first_sync.measure(whole_kafka, contacts=6, changes=[2], latencies=[0.001], sample=0.001)
    assert [one.name for one in sides if one.what == "adds"] == [first_sync.WORKER, *_scripts("add", "batch")]
    assert [one.name for one in sides if one.what == "changes"] == [first_sync.WORKER, *_scripts("change")]
    assert "| 1 ms | changes | the worker | 2 |" in first_sync.report(sides)


def _scripts(*acts: str) -> list[str]:
    return [name for act, name, _ in first_sync.SCRIPTS if act in acts]


@pytest.mark.kafka
def test_accounts(whole_kafka: Broker) -> None:
    """Every customer of every account is added, then changed, and the stand-in has their last names."""
    rounds, wrong = accounts.measure(whole_kafka, accounts=2, customers=3, latency=0.001, delay=0)
    assert not wrong
    assert [one.what for one in rounds] == ["adds", "changes", "changes, outcomes off"]
    assert all(one.whole for one in rounds), [one.result for one in rounds]
    assert all(one.calls >= one.customers // 3 for one in rounds)
    assert "times the ideal with 2 accounts" in accounts.report(rounds)


@pytest.mark.kafka
def test_read_back(whole_kafka: Broker) -> None:
    """All members are read once, over several pages, and none on the day after."""
    first, second = read_back.measure(whole_kafka, members=2500)
    assert (first.members, first.learnt, second.members) == (2500, 2500, 0)
    assert "| a day on which nothing changed | 0 |" in read_back.report([first, second])[0]


@pytest.mark.soak
@pytest.mark.kafka
def test_growth(whole_kafka: Broker) -> None:
    """Every command does its work at two sizes, and each is in the table and in the picture."""
    figures = growth.all_sizes(whole_kafka, [100, 200], accounts=3)
    told, picture = growth.report(figures, accounts=3), growth.picture(figures)
    for what in {one.what for one in figures}:
        assert f"| {what} |" in told
        assert f">{what}<" in picture


def test_a_delivered_database(tmp_path: Path) -> None:
    """The accounts of a database that was made lack nothing that a flush needs."""
    path, who = tmp_path / "worker.db", AccountId("acct-0")
    open_database(path).close()
    connect_all(path, [who], parsed(growth.SECRET, "the test"))
    settle_everybody(path)
    db = open_database(path)
    settings = stored_accounts.find(db, who)
    db.close()
    assert settings is not None
    assert settings.enabled
    assert settings.master_list == settings.stored[0].list_id


def test_a_command_that_fails_is_not_measured(tmp_path: Path) -> None:
    """A command's end with another code than 0 is named, with what it said."""
    with pytest.raises(NotDone, match=r"ended with 3: .*why"):
        measured([sys.executable, "-c", "import sys; print('why', file=sys.stderr); sys.exit(3)"], folder=tmp_path)
    assert measured([sys.executable, "-c", "print('done')"]).output == "done\n"


def test_writes_by_scripts_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only calls that are no reads are counted as writes."""
    counts = {"total": 5, "by_method_and_status": {"GET 200": 3, "PATCH 200": 2}}
    monkeypatch.setattr(StandInProcess, "get", lambda self, what: counts)
    size = growth.Size(1, 1, "", "", Path(), StandInProcess("http://127.0.0.1:1/3.0"))
    assert size.writes() == 2


def test_a_picture() -> None:
    """A picture is XML with a line and a name for each operation, no two names on each other."""
    lines = {"one": [(10, 0.5), (1000, 3.0)], "another": [(10, 0.5), (1000, 3.0)]}
    root = ElementTree.fromstring(svg([Panel("Time", "s", lines)], "customers"))
    inside = {"svg": "http://www.w3.org/2000/svg"}
    assert len(root.findall(".//svg:polyline", inside)) == 2
    heights = [float(one.attrib["y"]) for one in root.findall(".//svg:text", inside) if one.text in lines]
    assert abs(heights[0] - heights[1]) >= 15


def test_goals() -> None:
    """A goal says whether the figure met it, at most or at least."""
    assert goal("ratio", 1.3, 1.2) == ["ratio", "≤ 1.20", "1.30", "**missed**"]
    assert goal("ratio", 0.52, 0.5, least=True) == ["ratio", "≥ 0.50", "0.52", "met"]


@pytest.mark.parametrize("name", SHORT)
def test_every_benchmark_has_its_place(name: str) -> None:
    """The page has marks for each benchmark's figures, between which they are replaced."""
    page = PAGE.read_text(encoding="utf-8")
    new = written(page, name, "**42**")
    assert f"<!-- {name} -->\n**42**\n<!-- end of {name} -->" in new
    assert written(new, name, "**42**") == new
