"""Draws figures against size, both on logarithmic axes, as a self-contained SVG."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from xml.sax.saxutils import escape

WIDTH, HEIGHT = 660, 420
LEFT, TOP, RIGHT, BOTTOM = 60, 40, 270, 46
LINE_HEIGHT = 15
COLOURS = (
    "#1b6ca8",
    "#c8553d",
    "#588157",
    "#7b4b94",
    "#b8860b",
    "#2a9d8f",
    "#6c757d",
    "#d0006f",
    "#3d348b",
    "#000000",
    "#8c564b",
    "#17becf",
)
"""A line has the same colour in all panels. If there are more lines, colours repeat."""


@dataclass(frozen=True)
class Panel:
    """One of the pictures beside each other.

    Attributes:
        unit: of the vertical axis.
        lines: name to points of size and figure; all figures are positive.
    """

    title: str
    unit: str
    lines: Mapping[str, Sequence[tuple[float, float]]]


def svg(panels: Sequence[Panel], across: str) -> str:
    """Returns the picture.

    Args:
        panels: beside each other.
        across: label of the horizontal axis.
    """
    width = WIDTH * len(panels)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{HEIGHT}" viewBox="0 0 {width} {HEIGHT}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{width}" height="{HEIGHT}" fill="#ffffff"/>',
    ]
    names = dict.fromkeys(name for panel in panels for name in panel.lines)
    colours = dict(zip(names, cycle(COLOURS), strict=False))
    for number, panel in enumerate(panels):
        parts += [f'<g transform="translate({number * WIDTH} 0)">', *_panel(panel, across, colours), "</g>"]
    return "\n".join([*parts, "</svg>\n"])


def _panel(panel: Panel, across: str, colours: Mapping[str, str]) -> list[str]:
    points = [point for line in panel.lines.values() for point in line]
    low_x, high_x = _decades([x for x, _ in points])
    low_y, high_y = _decades([y for _, y in points])

    def at(x: float, y: float) -> tuple[float, float]:
        level = (math.log10(x) - low_x) / (high_x - low_x)
        upright = (math.log10(y) - low_y) / (high_y - low_y)
        return LEFT + level * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - upright * (HEIGHT - TOP - BOTTOM)

    parts = [_text(LEFT, 22, panel.title, "font-weight='bold'")]
    for power in range(low_x, high_x + 1):
        x, bottom = at(10.0**power, 10.0**low_y)
        parts += [_rule(x, TOP, x, bottom), _text(x, bottom + 16, _number(power), "text-anchor='middle'")]
    for power in range(low_y, high_y + 1):
        left, y = at(10.0**low_x, 10.0**power)
        parts += [_rule(left, y, WIDTH - RIGHT, y)]
        parts += [_text(left - 6, y + 4, f"{_number(power)} {panel.unit}", "text-anchor='end'")]
    parts.append(_text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 10, across, "text-anchor='middle'"))
    ends = sorted((at(*line[-1])[1], name) for name, line in panel.lines.items())
    heights = dict(zip((name for _, name in ends), _apart([y for y, _ in ends]), strict=True))
    for name, line in panel.lines.items():
        colour = colours[name]
        drawn = [at(*point) for point in line]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in drawn)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in drawn]
        parts.append(_text(drawn[-1][0] + 8, heights[name] + 4, name, f"fill='{colour}'"))
    return parts


def _decades(values: Sequence[float]) -> tuple[int, int]:
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    return low, max(high, low + 1)


def _apart(heights: Sequence[float]) -> list[float]:
    # Names that would overlap are moved down; then all are moved up if the last one is outside of the picture.
    placed: list[float] = []
    for height in heights:
        placed.append(max(height, placed[-1] + LINE_HEIGHT) if placed else height)
    over = max(0.0, placed[-1] - (HEIGHT - BOTTOM)) if placed else 0.0
    return [height - over for height in placed]


def _number(power: int) -> str:
    return f"{10**power:,}" if power >= 0 else f"{10.0**power:g}"


def _text(x: float, y: float, text: str, more: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" {more}>{escape(text)}</text>'


def _rule(x: float, y: float, to_x: float, to_y: float) -> str:
    return f'<line x1="{x:.1f}" y1="{y:.1f}" x2="{to_x:.1f}" y2="{to_y:.1f}" stroke="#dddddd"/>'
