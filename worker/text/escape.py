"""Text from outside, made safe to print: characters that steer a terminal or reorder a line are spelled out."""

from __future__ import annotations

import unicodedata


def visible(text: str, keep: str = "") -> str:
    """Returns a text in which each control, C1, bidi, format and unassigned character is written as its escape.

    Args:
        keep: characters that stay, such as line ends.
    """
    if text.isprintable():
        return text
    return "".join(one if _is_shown(one) or one in keep else one.encode("unicode_escape").decode() for one in text)


def json_escaped(document: str) -> str:
    """Returns a JSON document with the same characters as JSON's own escapes: it is the same document."""
    if document.isprintable():
        return document
    return "".join(one if _is_shown(one) or one == "\n" else _utf16_escapes(one) for one in document)


def _is_shown(one: str) -> bool:
    return one.isprintable() or unicodedata.category(one) == "Zs"  # spaces other than ASCII's are not "printable"


def _utf16_escapes(one: str) -> str:
    units = one.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[start : start + 4]}" for start in range(0, len(units), 4))
