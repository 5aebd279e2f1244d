"""Charts as SVG, rendered by the server: pure functions from numbers to markup. The style sheet has the colours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from math import ceil, log10

WIDTH, HEIGHT = 720, 150
_TOP, _BOTTOM, _RIGHT = 14, 22, 2
_LABEL = 150
"""Between two labels, so that they fit on a phone too, where they are larger."""
_GAP = 0.28
"""The gap between bars, as a share of a bar's slot."""


@dataclass(frozen=True, slots=True)
class Bar:
    """One stacked bar.

    Attributes:
        label: below the bar, where there is room: "28 Nov".
        title: the tooltip, which says all of it in words.
        parts: class to number, from the bottom up.
        href: where a click leads; None for nowhere.
    """

    label: str
    title: str
    parts: Mapping[str, int]
    href: str | None = None


def bar_chart(bars: Sequence[Bar], places: int = 0) -> str:
    """Returns a stacked bar chart with labels.

    It is hidden from screen readers, so the page must say the same in a table.

    Args:
        bars: the newest last.
        places: the number of slots; fewer bars are aligned right.
    """
    top = _rounded_up(max((sum(bar.parts.values()) for bar in bars), default=0))
    # Room for the axis numbers, whose digits are about seven units wide.
    left = 10 + 11 * len(f"{top:,}")
    places = max(places, len(bars), 1)
    place = (WIDTH - left - _RIGHT) / places
    every = max(1, ceil(_LABEL / place))
    drawn = [_line(top, top, left), _line(top // 2, top, left) if top > 1 else "", _line(0, top, left)]
    for number, bar in enumerate(bars):
        x = left + (places - len(bars) + number) * place
        drawn.append(_bar(bar, x + place * _GAP / 2, place * (1 - _GAP), top))
        if (len(bars) - 1 - number) % every == 0:
            anchor = "end" if number == len(bars) - 1 else "middle"
            at = x + place if anchor == "end" else x + place / 2
            drawn.append(
                f'<text class="axis" x="{at:.1f}" y="{HEIGHT - 6}" text-anchor="{anchor}">{escape(bar.label)}</text>'
            )
    return (
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" aria-hidden="true" focusable="false">{"".join(drawn)}</svg>'
    )


def share_bar(parts: Mapping[str, int]) -> str:
    """Returns one horizontal bar that shows the shares of a whole; also hidden from screen readers."""
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


def _bar(bar: Bar, x: float, width: float, top: int) -> str:
    y, drawn = float(HEIGHT - _BOTTOM), []
    for name, number in bar.parts.items():
        if not number:
            continue
        height = max(number / top * (HEIGHT - _TOP - _BOTTOM), 1.5)
        y -= height
        drawn.append(
            f'<rect class="part {escape(name)}" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}"/>'
        )
    if not drawn:
        drawn.append(f'<rect class="part none" x="{x:.1f}" y="{y - 2:.1f}" width="{width:.1f}" height="2"/>')
    # The whole column reacts to the pointer, not only the bar.
    reach = f'<rect class="reach" x="{x:.1f}" y="{_TOP}" width="{width:.1f}" height="{HEIGHT - _TOP - _BOTTOM}"/>'
    inner = f"<title>{escape(bar.title)}</title>{reach}{''.join(drawn)}"
    return f'<a href="{escape(bar.href)}" tabindex="-1">{inner}</a>' if bar.href else f"<g>{inner}</g>"


def _line(value: int, top: int, left: int) -> str:
    y = HEIGHT - _BOTTOM - value / top * (HEIGHT - _TOP - _BOTTOM)
    return (
        f'<line class="grid" x1="{left}" x2="{WIDTH}" y1="{y:.1f}" y2="{y:.1f}"/>'
        f'<text class="axis" x="{left - 6}" y="{y + 4:.1f}" text-anchor="end">{value:,}</text>'
    )


def _rounded_up(most: int) -> int:
    """Returns the value of the topmost grid line: 1, 2, 4, 5 or 8 times a power of ten, not below the largest value."""
    if most <= 2:
        return 2
    base = 10 ** int(log10(most))
    return next(int(step * base) for step in (1, 2, 4, 6, 8, 10) if step * base >= most)
