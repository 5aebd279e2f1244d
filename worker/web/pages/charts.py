"""Charts as SVG, drawn by the server: pure functions from numbers to markup. Colours are the style sheet's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from math import ceil, log10

WIDTH, HEIGHT = 720, 150
_TOP, _BOTTOM, _RIGHT = 14, 22, 2
_LABEL = 150
"""Between two labels, so that they have room on a telephone too, where they are larger."""
_GAP = 0.28
"""Of a bar's place, between it and the next one."""


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar, of parts one above the other.

    Attributes:
        label: below it, where there is room: "28 Nov".
        title: all of it in words, shown where the pointer is.
        parts: the class of each part with its number, the lowest first.
        href: where a click leads; None for nowhere.
    """

    label: str
    title: str
    parts: Mapping[str, int]
    href: str | None = None

    @property
    def total(self) -> int:
        """The height of the whole bar."""
        return sum(self.parts.values())


def bar_chart(bars: Sequence[Bar], places: int = 0) -> str:
    """Returns stacked bars over a line of labels.

    It is for the eye alone: a page says the same in a table beside it, so that it is hidden from screen readers.

    Args:
        bars: the newest last.
        places: room for so many; fewer bars are at the right.
    """
    top = _rounded_up(max((one.total for one in bars), default=0))
    # Room for the numbers at the lines, in a face whose digits are about seven wide.
    left = 10 + 11 * len(f"{top:,}")
    places = max(places, len(bars), 1)
    place = (WIDTH - left - _RIGHT) / places
    every = max(1, ceil(_LABEL / place))
    drawn = [_line(top, top, left), _line(top // 2, top, left) if top > 1 else "", _line(0, top, left)]
    for number, one in enumerate(bars):
        x = left + (places - len(bars) + number) * place
        drawn.append(_bar(one, x + place * _GAP / 2, place * (1 - _GAP), top))
        if (len(bars) - 1 - number) % every == 0:
            anchor = "end" if number == len(bars) - 1 else "middle"
            at = x + place if anchor == "end" else x + place / 2
            drawn.append(
                f'<text class="axis" x="{at:.1f}" y="{HEIGHT - 6}" text-anchor="{anchor}">{escape(one.label)}</text>'
            )
    return (
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" aria-hidden="true" focusable="false">{"".join(drawn)}</svg>'
    )


def share_bar(parts: Mapping[str, int]) -> str:
    """Returns one lying bar that shows how a whole is divided; hidden from screen readers too."""
    total, x, drawn = sum(parts.values()), 0.0, []
    for name, number in parts.items():
        if number:
            # Even the smallest part stays visible.
            width = max(number / total * WIDTH, 6)
            drawn.append(f'<rect class="part {escape(name)}" x="{x:.1f}" y="0" width="{width:.1f}" height="12"/>')
            x += width
    box = f"0 0 {max(x, 1):.1f} 12"
    return (
        f'<svg class="share" viewBox="{box}" preserveAspectRatio="none" aria-hidden="true" focusable="false">'
        f"{''.join(drawn)}</svg>"
    )


def _bar(one: Bar, x: float, width: float, top: int) -> str:
    y, drawn = float(HEIGHT - _BOTTOM), []
    for name, number in one.parts.items():
        if not number:
            continue
        height = max(number / top * (HEIGHT - _TOP - _BOTTOM), 1.5)
        y -= height
        drawn.append(
            f'<rect class="part {escape(name)}" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}"/>'
        )
    if not drawn:
        drawn.append(f'<rect class="part none" x="{x:.1f}" y="{y - 2:.1f}" width="{width:.1f}" height="2"/>')
    # The whole column answers to the pointer, not only what is filled.
    reach = f'<rect class="reach" x="{x:.1f}" y="{_TOP}" width="{width:.1f}" height="{HEIGHT - _TOP - _BOTTOM}"/>'
    inner = f"<title>{escape(one.title)}</title>{reach}{''.join(drawn)}"
    return f'<a href="{escape(one.href)}" tabindex="-1">{inner}</a>' if one.href else f"<g>{inner}</g>"


def _line(value: int, top: int, left: int) -> str:
    y = HEIGHT - _BOTTOM - value / top * (HEIGHT - _TOP - _BOTTOM)
    return (
        f'<line class="grid" x1="{left}" x2="{WIDTH}" y1="{y:.1f}" y2="{y:.1f}"/>'
        f'<text class="axis" x="{left - 6}" y="{y + 4:.1f}" text-anchor="end">{value:,}</text>'
    )


def _rounded_up(most: int) -> int:
    """Returns the number of the highest line: 1, 2 or 5 with noughts, or 4 and 8, not below the most."""
    if most <= 2:
        return 2
    base = 10 ** int(log10(most))
    return next(int(step * base) for step in (1, 2, 4, 6, 8, 10) if step * base >= most)
