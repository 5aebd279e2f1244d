"""Columns side by side: as wide as their text, the last one wrapped."""

from __future__ import annotations

import pytest

from worker.cli.columns import fits, lines_of, widths_of, wrapped


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("", [""]),
        ("short", ["short"]),
        ("words stay whole here", ["words stay", "whole here"]),
        ("one-word-that-is-too-long", ["one-word-t", "hat-is-too", "-long"]),
        ("ab 李李李李李李", ["ab", "李李李李李", "李"]),
        ("two  spaces", ["two ", "spaces"]),
    ],
)
def test_text_is_wrapped_at_spaces(text: str, lines: list[str]) -> None:
    """Words stay whole unless one is longer than a line; a wide character takes two places."""
    assert wrapped(text, 10) == lines


def test_numbers_end_at_the_right_and_the_last_column_is_wrapped() -> None:
    """Lines after the first of a row leave the other columns empty."""
    rows = [["account", "waiting", "what to do"], ["acct-1", "5", "Wait for the next flush, or begin one."]]
    widths = widths_of(rows, 40)
    assert widths == [7, 7, 24]
    assert ["  ".join(line) for line in lines_of(rows[1], widths, {1})] == [
        "acct-1         5  Wait for the next flush,",
        "                  or begin one.           ",
    ]


def test_columns_fit_while_the_last_one_can_be_read() -> None:
    """It needs 24 places, or as many as its text has; two columns always fit."""
    row = ["a" * 20, "b" * 20, "a sentence of more than so many places"]
    assert fits([row], 68)
    assert not fits([row], 67)
    assert fits([["a" * 20, "b", "c"]], 26)
    assert fits([row[:2]], 10)
