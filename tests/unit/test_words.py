"""Names and pages use words that somebody who knows Kafka, Mailchimp and Python would search for."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

from worker.config import Config

ROOT = Path(__file__).parents[2]
CODE = sorted((ROOT / "worker").rglob("*.py"))
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md")), ROOT / "benchmarks" / "README.md"]
COINED = frozenset(
    {
        "afresh", "anew", "audience", "books", "desk", "heirs", "keeper", "keeping", "lane", "lanes", "leavers",
        "neighbourhood",
        "permits", "playing", "standing", "standings", "stories", "story", "stumble", "stumbled", "survey", "upkeep",
        "wanters", "whoever", "wiring",
    }
)  # fmt: skip
"""Words that meant something in this project only."""
IN_TEXT = COINED - {"audience", "keeping", "playing"} | {"mended", "stands"}
"""Those that a log line, a comment or a page has no use for either; the others are also plain English there."""
PHRASES = (
    "is told", "are told", "told apart", "told so", "what is there", "so too", "nobody knows", "fault of the worker",
    "has a fault", "hang on each other", "hangs on", "tells whether", "takes note of", "threads share it",
    "only go forward", "belongs in a transaction", "for ever", "whose fate",
)  # fmt: skip
FOR_READERS = (
    "bare still", "by the list s form", "counts as none", "goes by the", "hangs on", "in force", "in the midst",
    "in vain", "is no email", "is no json", "is no member", "is noted", "knows nothing of", "lies beside",
    "looked at again", "no member any more", "nobody chose", "one json a line", "since long", "so already",
    "tell apart", "tells apart", "the key before", "the one before", "wants a place", "was begun", "what is so",
    "who left is read",
)  # fmt: skip
"""Phrases that no page and no message has, because no native speaker says them so."""
VAGUE = frozenset(
    {"act", "found", "given", "gone", "held", "how", "made", "one", "others", "told", "what", "whose"}
)  # fmt: skip
"""Names of variables that do not say what they hold."""
NAMED_BY_NOUNS = (
    "", "accounts", "changelog", "cli", "demo", "fields", "flush", "jobs", "kafka", "mailchimp", "plan", "sandbox",
    "sqlite", "status", "store", "system", "text", "web", "web/access", "web/api", "web/pages",
)  # fmt: skip
"""Packages of the worker without such variables; "" for the modules beside the packages."""
SQL = re.compile(r"\b[A-Z]{4,}\b.*\b(FROM|INTO|SET|TABLE|WHERE|SELECT)\b|\bstanding(\.| WHERE )", re.DOTALL)
HISTORY = {"CHANGELOG.md", "reliability.md"}
"""Pages that say what was, in the words of then."""


def words(name: str) -> set[str]:
    """The words of a name in snake or camel case."""
    return {one.lower() for one in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)}


def variables(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """The variables of a module, with arguments, attributes and the targets of loops and comprehensions."""
    for node in ast.walk(tree):
        match node:
            case ast.arg(arg=name) | ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
                yield node.lineno, name


def names(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Everything that a module gives a name: classes, functions and variables."""
    yield from variables(tree)
    for node in ast.walk(tree):
        match node:
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield node.lineno, name


def texts(source: str) -> Iterator[tuple[int, str]]:
    """Comments, docstrings and messages of a module; not SQL, whose tables keep their names."""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and not is_stored(node.value):
            yield node.lineno, node.value


def comments(source: str) -> Iterator[tuple[int, str]]:
    """Comments and docstrings of a module; a test's other texts are data."""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield node.lineno, node.value.value


def is_stored(text: str) -> bool:
    """Whether a text is SQL, or one word that databases and Kafka hold."""
    return " " not in text.strip() or SQL.search(text) is not None


def without_table(line: str) -> str:
    """A line of a page without the one table whose old name stays in databases."""
    return line.replace("`standing`", "")


def found_in(text: str, phrases: tuple[str, ...] = PHRASES) -> list[str]:
    """The words and phrases of a text that should not be there."""
    low = re.findall(r"[a-z]+", text.lower())
    return sorted(IN_TEXT & set(low)) + [one for one in phrases if f" {one} " in f" {' '.join(low)} "]


def messages(source: str) -> Iterator[tuple[int, str]]:
    """Texts that a module prints, logs or raises: no docstrings, SQL or assertions."""
    tree = ast.parse(source)
    others = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    others |= {id(one) for node in ast.walk(tree) if isinstance(node, ast.Assert) for one in ast.walk(node)}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Constant) or not isinstance(node.value, str) or id(node) in others:
            continue
        if not is_stored(node.value):
            yield node.lineno, node.value


def test_no_path_has_a_coined_word() -> None:
    """Files and folders of the worker and its tests are named by field terms."""
    paths = [*CODE, *(ROOT / "tests").rglob("*.py")]
    assert [str(path) for path in paths if words(path.relative_to(ROOT).as_posix()) & COINED] == []


@pytest.mark.parametrize("package", sorted({path.parent for path in CODE}), ids=lambda path: path.name)
def test_no_name_or_text_has_a_coined_word(package: Path) -> None:
    """Classes, functions, variables, comments, docstrings and messages do without them."""
    wrong = []
    for path in sorted(package.glob("*.py")):
        source = path.read_text(encoding="utf-8")
        wrong += [f"{path.name}:{at} {name}" for at, name in names(ast.parse(source)) if words(name) & COINED]
        wrong += [f"{path.name}:{at} {found}" for at, text in texts(source) if (found := found_in(text))]
    assert wrong == []


@pytest.mark.parametrize("package", NAMED_BY_NOUNS)
def test_no_variable_has_a_vague_name(package: str) -> None:
    """A variable is named by a noun for what it holds."""
    folder = ROOT / "worker" / package
    wrong = [
        f"{path.name}:{at} {name}"
        for path in sorted(folder.glob("*.py"))
        for at, name in variables(ast.parse(path.read_text(encoding="utf-8")))
        if name in VAGUE
    ]
    assert wrong == []


@pytest.mark.parametrize("package", sorted({path.parent for path in CODE}), ids=lambda path: path.name)
def test_no_message_is_translated_word_by_word(package: Path) -> None:
    """What commands, pages, receipts and the log say is idiomatic English."""
    phrases = PHRASES + FOR_READERS
    wrong = [
        f"{path.name}:{at} {found}"
        for path in sorted(package.glob("*.py"))
        for at, text in messages(path.read_text(encoding="utf-8"))
        if (found := found_in(text, phrases))
    ]
    assert wrong == []


def test_no_message_names_a_class() -> None:
    """A class that is renamed everywhere at once renames no word of a sentence."""
    trees = [(path, path.read_text(encoding="utf-8")) for path in CODE]
    classes = {
        node.name
        for _, source in trees
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.ClassDef) and re.fullmatch(r"([A-Z][a-z]+){2,}", node.name)
    }
    assert "RunResult" in classes
    wrong = [
        f"{path.name}:{at} {found}"
        for path, source in trees
        for at, text in messages(source)
        if (found := sorted(classes & set(re.findall(r"\w+", text))))
    ]
    assert wrong == []


def test_no_test_is_described_by_a_coined_word() -> None:
    """Docstrings and comments of tests and benchmarks do without them too."""
    paths = sorted([*(ROOT / "tests").rglob("*.py"), *(ROOT / "benchmarks").rglob("*.py")])
    wrong = [
        f"{path.relative_to(ROOT)}:{at} {found}"
        for path in paths
        for at, text in comments(path.read_text(encoding="utf-8"))
        if (found := found_in(text))
    ]
    assert wrong == []


def test_no_setting_has_a_coined_word() -> None:
    """Operators meet the same words as developers."""
    sections = Config.model_fields
    found = [name for name in sections if words(name) & COINED]
    for section in sections.values():
        found += [name for name in getattr(section.annotation, "model_fields", {}) if words(name) & COINED]
    assert found == []


@pytest.mark.parametrize("page", [page for page in PAGES if page.name not in HISTORY], ids=lambda page: page.name)
def test_no_page_has_a_coined_word(page: Path) -> None:
    """Pages use the words of the glossary."""
    lines = page.read_text(encoding="utf-8").splitlines()
    assert [
        f"{number}: {found}"
        for number, line in enumerate(lines, 1)
        if (found := found_in(without_table(line), PHRASES + FOR_READERS))
    ] == []
