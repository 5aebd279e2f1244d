"""Docstrings name the parameters that a function has."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import worker

SOURCES = Path(worker.__file__).parent
_ARGS = re.compile(r"^Args:\n((?:[ ]+.*\n?|\n)+)", re.MULTILINE)
_NAME = re.compile(r"^    \*{0,2}(\w+):", re.MULTILINE)


def unknown_names(source: str) -> Iterator[str]:
    """Yields each name under ``Args:`` that is no parameter, with its function and line."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        arguments = (section for section in _ARGS.findall(ast.get_docstring(node) or ""))
        names = {name for section in arguments for name in _NAME.findall(section)}
        signature = {argument.arg for argument in ast.walk(node.args) if isinstance(argument, ast.arg)}
        yield from (f"line {node.lineno}, {node.name}: {name}" for name in sorted(names - signature))


@pytest.mark.parametrize("path", sorted(SOURCES.rglob("*.py")), ids=lambda path: str(path.relative_to(SOURCES)))
def test_docstrings_name_parameters_that_exist(path: Path) -> None:
    """Each name under Args is a parameter of the function."""
    assert list(unknown_names(path.read_text())) == []


def test_a_name_that_is_no_parameter_is_found() -> None:
    """The check reads several lines of one parameter, starred ones, and methods."""
    source = '''
class A:
    def f(self, one, *rest, two=1, **more):
        """Does it.

        Args:
            one: of two lines,
                see: the second.
            rest: all others.
            three: is not there.
            more: is.

        Returns:
            nothing: at all.
        """
'''
    assert list(unknown_names(source)) == ["line 3, f: three"]
