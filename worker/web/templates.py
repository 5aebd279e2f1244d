"""Renders HTML templates; all values are escaped."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

_STEERING = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters, bidirectional controls, and lone surrogates. Joiners are kept: names use them."""


def _spelled_out(value: Any) -> Any:
    """Escapes control characters in a value, so that a name cannot reorder the text around it."""
    if not isinstance(value, str) or _STEERING.search(value) is None:
        return value
    text = _STEERING.sub(lambda match: match[0].encode("unicode_escape").decode(), value)
    return type(value)(text)  # keeps Markup as Markup


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("worker.web", "templates"),
        autoescape=True,
        finalize=_spelled_out,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )


def render(template: str, **values: Any) -> str:
    """Returns the page rendered from a file in ``templates/``."""
    return _environment().get_template(template).render(**values)
