"""The alerts and the dashboard name only metrics and labels that there are."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.unit.web.test_collector import NOW, World, world
from worker.clock import as_text
from worker.store import runs
from worker.store.run_result import RunResult

__all__ = ["world"]

CONFIG = Path(__file__).parents[3] / "config"
ALERTS = CONFIG / "alerts.yml"
SELECTOR = re.compile(r"((?:mailchimp_worker|process)_\w+)(?:\{([^}]*)\})?")
MATCHER = re.compile(r'(\w+)=~?"([^"]*)"')
PROMTOOL = shutil.which("promtool")


def rules() -> list[dict[str, Any]]:
    """All rules of the file."""
    groups = yaml.safe_load(ALERTS.read_text(encoding="utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def dashboard() -> dict[str, Any]:
    """The dashboard."""
    found: dict[str, Any] = json.loads((CONFIG / "grafana-dashboard.json").read_text(encoding="utf-8"))
    return found


def expressions() -> Iterator[str]:
    """What alerts and panels ask Prometheus."""
    yield from (rule["expr"] for rule in rules())
    yield from (target["expr"] for panel in dashboard()["panels"] for target in panel["targets"])


@pytest.fixture
def scraped(world: World) -> str:
    """An answer of /metrics, of a worker that flushed once and has a partition."""
    with world.db.transaction():
        runs.end(world.db, runs.start(world.db, as_text(NOW), "daily", None), as_text(NOW), RunResult.DONE)
    world.owned.assigned({0: (0, 10)})
    world.owned.read_times({0: 1.0})
    return world.scrape()


def test_each_metric_that_is_named_is_in_a_real_answer_with_the_labels_that_are_asked_for(scraped: str) -> None:
    """A misspelled name would never raise an alert, and nobody would notice."""
    samples = [one for family in text_string_to_metric_families(scraped) for one in family.samples]
    asked = {found.groups() for text in expressions() for found in SELECTOR.finditer(text)}
    assert len(asked) > 30
    for name, matchers in sorted(asked, key=str):
        named = [one.labels for one in samples if one.name == name]
        assert named, name
        for label, pattern in MATCHER.findall(matchers or ""):
            if label == "instance":  # Prometheus adds it
                continue
            for value in pattern.split("|"):
                assert value in {labels.get(label) for labels in named}, (name, label, value)


def test_each_alert_says_what_is_so_and_what_to_do() -> None:
    """With one of two severities, and by a command that there is."""
    commands = {"status", "check", "flush", "receipts", "dead-letters"}
    names = [rule["alert"] for rule in rules()]
    assert len(names) == len(set(names)) > 10
    for rule in rules():
        assert rule.keys() <= {"alert", "expr", "for", "labels", "annotations"}
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert rule["annotations"].keys() == {"summary", "description"}
        assert set(re.findall(r"mailchimp-worker ([a-z-]+)", rule["annotations"]["description"])) <= commands


def test_the_panels_of_the_dashboard_stand_beside_each_other() -> None:
    """None covers another, and each has a title."""
    taken: set[tuple[int, int]] = set()
    for panel in dashboard()["panels"]:
        at = panel["gridPos"]
        own = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not own & taken, panel["title"]
        assert max(x for x, _ in own) < 24
        taken |= own
    assert len({panel["title"] for panel in dashboard()["panels"]}) == len(dashboard()["panels"])


@pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed; the rules were only parsed")
def test_promtool_finds_nothing_wrong(scraped: str) -> None:
    """Neither with the rules, nor with names and texts of the metrics."""
    assert PROMTOOL is not None
    ruled = subprocess.run([PROMTOOL, "check", "rules", str(ALERTS)], capture_output=True, text=True, check=False)
    assert ruled.returncode == 0, ruled.stdout + ruled.stderr
    linted = subprocess.run([PROMTOOL, "check", "metrics"], input=scraped, capture_output=True, text=True, check=False)
    assert linted.returncode == 0, linted.stdout + linted.stderr
