"""What the worker is made of is known: every package with its version, hashes and licence."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from supply_chain.advisories import found_in
from supply_chain.sbom import NOT_KNOWN, Component, components, cyclonedx

ROOT = Path(__file__).parents[2]
ALLOWED = re.compile(
    r"MIT|BSD|Apache|PSF|Python Software Foundation|ISC|MPL|Mozilla|zlib|Public Domain|Unlicense", re.IGNORECASE
)
OTHER_PLATFORMS = {"colorama", "pysqlite3"}


def test_every_package_has_a_licence_that_may_be_used() -> None:
    """A new dependency under another licence is a decision for people; what other platforms alone need is named."""
    wrong = {
        one.name: one.licence
        for one in components(ROOT / "requirements.lock")
        if not ALLOWED.search(one.licence) and not (one.licence == NOT_KNOWN and one.name in OTHER_PLATFORMS)
    }
    assert wrong == {}


def test_the_list_of_parts_has_every_locked_package_with_its_hashes() -> None:
    """As CycloneDX has it: name, version, package URL and licence; and no package without a hash."""
    parts = components(ROOT / "requirements.lock")
    pinned = re.findall(r"^([a-z0-9._-]+)==", (ROOT / "requirements.lock").read_text(encoding="utf-8"), re.MULTILINE)
    told = cyclonedx(parts, "1.0")
    assert (told["bomFormat"], told["specVersion"]) == ("CycloneDX", "1.6")
    assert [one["name"] for one in told["components"]] == pinned
    assert all(one["purl"].startswith(f"pkg:pypi/{one['name']}@") and one["properties"] for one in told["components"])


def test_the_worker_needs_nothing_that_only_tests_or_installs() -> None:
    """No pip, no test library, no development server among what runs."""
    names = {one.name for one in components(ROOT / "requirements.lock")}
    assert not names & {"pip", "setuptools", "wheel", "pytest", "hypothesis", "mypy", "ruff", "hatchling"}


def test_every_dependency_has_an_upper_bound() -> None:
    """A major release may break the worker: it comes in when somebody tried it. Names by year have none that tells."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    unbounded = [one for one in project["dependencies"] if "<" not in one.partition(";")[0]]
    assert [re.split(r"[<>=;\[ ]", one)[0] for one in unbounded] == ["tzdata"]


def test_advisories_are_reported_by_package() -> None:
    """Only of those that have any, in the order of the question."""
    parts = [Component("a", "1", (), "MIT"), Component("b", "2", (), "MIT")]
    assert found_in(parts, [{}, {"vulns": [{"id": "PYSEC-1"}, {"id": "GHSA-2"}]}]) == {
        "pkg:pypi/b@2": ["PYSEC-1", "GHSA-2"]
    }
