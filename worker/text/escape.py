"""Makes text from outside safe to print: characters that control a terminal or reorder a line become escapes."""

from __future__ import annotations

import unicodedata


def visible(text: str, keep: str = "") -> str:
    """Returns the text with each control, C1, bidi, format and unassigned character as its escape.

    Args:
        keep: characters that stay, such as line ends.
    """
    if text.isprintable():
        return text
    # ascii() needs no codec, which Python would load from a file when there may be no more files.
    return "".join(char if _is_shown(char) or char in keep else ascii(char)[1:-1] for char in text)


def json_escaped(document: str) -> str:
    """Returns the same JSON document with these characters as JSON escapes."""
    if document.isprintable():
        return document
    return "".join(char if _is_shown(char) or char == "\n" else _utf16_escapes(char) for char in document)


def csv_cell(value: object) -> str:
    """Returns a value as a cell of a CSV file, safe to print, and marked as text if a spreadsheet would run it.

    Anybody can choose an address. Source: OWASP, CSV injection.
    """
    cell = "" if value is None else visible(str(value))
    return f"'{cell}" if cell.startswith(("=", "+", "-", "@", "\t", "\r")) else cell


def _is_shown(char: str) -> bool:
    return char.isprintable() or unicodedata.category(char) == "Zs"  # spaces other than ASCII's are not "printable"


def _utf16_escapes(char: str) -> str:
    units = char.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[start : start + 4]}" for start in range(0, len(units), 4))
