"""The table of outcomes: complete, stored values unchanged, and the one that docs and commands show."""

from __future__ import annotations

import ast
from pathlib import Path

from worker.plan.outcomes import MEANINGS, Meaning, Outcome

ROOT = Path(__file__).parents[3]
FLUSH = ROOT / "worker" / "flush"
STORED = {
    "added", "found", "updated", "tagged", "renamed", "moved", "restored", "shared", "unchanged", "archived",
    "unsubscribed", "left", "left alone", "gone", "deleted", "withheld", "no address", "refused", "suppressed", "held",
    "later", "list paused", "list gone", "account stopped", "fault",
}  # fmt: skip
"""What databases have in receipts, of this release and of those before."""


def as_markdown() -> str:
    """The table as docs/explain.md shows it."""
    rows = [_row(outcome, MEANINGS[outcome]) for outcome in Outcome]
    head = ["| Outcome | Meaning | Next | Done | Final | Needs somebody |", "| --- | --- | --- | --- | --- | --- |"]
    return "\n".join([*head, *rows])


def _row(outcome: Outcome, meaning: Meaning) -> str:
    done = {True: "yes", False: "no", None: "depends"}[meaning.settles]
    final, needs = ("yes" if meaning.final else ""), ("yes" if meaning.needs_somebody else "")
    return f"| {outcome.value} | {meaning.sentence} | {meaning.next} | {done} | {final} | {needs} |"


def test_every_outcome_has_a_meaning_and_the_stored_values_stay() -> None:
    """A receipt of an earlier release is read by the same words."""
    assert {one.value for one in Outcome} == STORED == set(MEANINGS)


def test_sentences_are_sentences() -> None:
    """Each outcome says what happened and what is next; one that needs somebody says what to do."""
    for outcome, meaning in MEANINGS.items():
        assert meaning.sentence.endswith("."), outcome
        assert meaning.next.endswith("."), outcome
        assert not (meaning.final and meaning.settles is False), outcome


def test_the_page_shows_the_table() -> None:
    """docs/explain.md explains the outcomes in the words of the table."""
    assert as_markdown() in (ROOT / "docs" / "explain.md").read_text(encoding="utf-8")


def test_outcomes_are_spelled_once() -> None:
    """No other module of the flush or the commands names an outcome by its text where it writes or compares one."""
    found = []
    for path in [
        *FLUSH.glob("*.py"),
        *(ROOT / "worker" / "cli").glob("*.py"),
        ROOT / "worker" / "status" / "explanation.py",
    ]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            texts: list[ast.expr] = []
            if isinstance(node, ast.keyword) and node.arg == "outcome":
                texts = [node.value]
            elif isinstance(node, ast.Compare) and getattr(node.left, "attr", "") == "outcome":
                texts = [child for one in node.comparators for child in ast.walk(one) if isinstance(child, ast.expr)]
            elif isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("NoCall", "_note", "settled"):
                texts = [one for one in node.args if isinstance(one, ast.Constant) and one.value in STORED]
            found += [f"{path.name}:{one.lineno}" for one in texts if isinstance(one, ast.Constant)]
    assert found == []
