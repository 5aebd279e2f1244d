"""The pages are true where a machine can tell: links, files, classes and settings that they name are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from worker.config import Config

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), ROOT / "benchmarks" / "README.md"])
CODE = [path.read_text(encoding="utf-8") for path in (ROOT / "worker").rglob("*.py")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_and_file_is_there(page: Path) -> None:
    """Each link leads to a file, and each Python file or folder that a page names exists."""
    text = page.read_text(encoding="utf-8")
    for link in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (page.parent / link).exists(), link
    for name in re.findall(r"`((?:worker|tests|config|docs)/[\w/.-]+)`", text):
        assert (ROOT / name).exists() or "NNNN" in name, name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_variable_is_a_setting(page: Path) -> None:
    """Each WORKER_ variable that a page names is one that the worker reads."""
    for variable in set(re.findall(r"WORKER_[A-Z_]+", page.read_text(encoding="utf-8"))) - {"WORKER_CONFIG"}:
        section, _, name = variable.removeprefix("WORKER_").lower().partition("__")
        field = Config.model_fields[section]
        assert not name or name in field.annotation.model_fields, variable  # type: ignore[union-attr]


def test_every_class_of_the_glossary_exists() -> None:
    """A term that names a class names one that there is."""
    named = re.findall(r"^\| [^|]+ \| `(\w+)` \|", (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8"), re.M)
    assert named
    for name in named:
        pattern = re.compile(rf"^(class {name}\b|{name} = )", re.MULTILINE)
        assert any(pattern.search(text) for text in CODE), name


def test_every_place_to_change_something_exists() -> None:
    """The files that docs/architecture.md names are there, relative to worker/."""
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    names = set(re.findall(r"`([a-z_]+/(?:[a-z_]+/)?[a-z_]+\.py)`", text))
    assert names
    for name in names:
        assert (ROOT / "worker" / name).exists() or (ROOT / name).exists(), name


READ_THROUGH = [page for page in PAGES if page.name not in {"CHANGELOG.md", "explain.md"}]
"""Pages that people write; explain.md is written by the commands that it shows."""
COLUMNS = re.compile(r"\s*\w+(, \w+)+\s*")
"""The names of a table's columns, which docs/privacy.md lists in one cell."""


@pytest.mark.parametrize("page", READ_THROUGH, ids=lambda page: str(page.relative_to(ROOT)))
def test_pages_for_people_are_short_to_read(page: Path) -> None:
    """No page has a paragraph over four lines or a cell over twenty words; benchmarks may have half as many more."""
    lines_at_most, words_at_most = (6, 30) if page.parent.name == "benchmarks" else (4, 20)
    text = re.sub(r"```.*?```|<!--.*?-->", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for block in text.split("\n\n"):
        lines = [line for line in block.strip().splitlines() if line]
        if lines and lines[0].startswith("|"):
            cells = [cell for line in lines for cell in line.strip("|").split("|")]
            assert all(len(cell.split()) <= words_at_most or COLUMNS.fullmatch(cell) for cell in cells), block
        elif not lines or not lines[0].startswith(("-", "#", "1.")):
            assert len(lines) <= lines_at_most, block


def test_every_test_that_shows_something_exists() -> None:
    """The files and functions that docs/reliability.md names are there."""
    text = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
    tests = {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in ROOT.glob("tests/**/test_*.py")}
    named = re.findall(r"([\w/]*test_\w+\.py)(?:::(test_\w+))?", text)
    assert named
    for file, function in named:
        found = [code for path, code in tests.items() if f"/{path}".endswith(f"/{file}")]
        assert found, file
        assert not function or any(f"def {function}" in code for code in found), function
