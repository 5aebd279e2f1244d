"""Makes HTML of templates; whatever is put in is escaped."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

_STEERING = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Controls, what reorders the rest of a line, and halves of characters. Joiners stay: names are written with them."""


def _spelled_out(value: Any) -> Any:
    """Returns what is put into a page; a name cannot turn the words around it."""
    if not isinstance(value, str) or _STEERING.search(value) is None:
        return value
    told = _STEERING.sub(lambda one: one[0].encode("unicode_escape").decode(), value)
    return type(value)(told)  # markup stays markup


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
    """Returns the page that a file in ``templates/`` makes of values."""
    return _environment().get_template(template).render(**values)
