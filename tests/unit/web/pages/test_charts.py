"""Charts are markup from numbers alone, and what others wrote is escaped in them."""

from __future__ import annotations

import re
from xml.etree import ElementTree

from worker.web.pages.charts import HEIGHT, Bar, bar_chart, share_bar

SVG = "{http://www.w3.org/2000/svg}"


def heights(svg: str) -> list[float]:
    """The heights of the drawn parts."""
    return [float(one) for one in re.findall(r'class="part \w+"[^>]*height="([\d.]+)"', svg)]


def test_a_bar_is_as_high_as_its_number() -> None:
    """Twice as many are twice as high, and nothing leaves the picture."""
    svg = bar_chart([Bar("1 Nov", "", {"added": 10}), Bar("2 Nov", "", {"added": 20})])
    low, high = heights(svg)
    assert abs(high - 2 * low) < 0.2
    assert high < HEIGHT


def test_nothing_and_one_are_drawn_too() -> None:
    """A chart of no bars, of empty bars and of one person is a chart."""
    for bars in ([], [Bar("1 Nov", "", {"added": 0})], [Bar("1 Nov", "", {"added": 1})], [Bar("", "", {"off": 10**9})]):
        ElementTree.fromstring(bar_chart(bars, 30))


def test_a_little_is_seen_beside_much() -> None:
    """One person among a million has a part that can be seen."""
    assert min(heights(bar_chart([Bar("", "", {"added": 1, "updated": 10**6})]))) >= 1.5
    assert 'class="part off"' in share_bar({"added": 10**6, "off": 1})


def test_what_others_wrote_is_escaped() -> None:
    """Labels, titles and addresses cannot become markup."""
    evil = "<script>alert(1)</script>\"'&"
    svg = bar_chart([Bar(evil, evil, {evil: 1}, f"/x?{evil}")])
    assert "<script" not in svg
    ElementTree.fromstring(svg)
    ElementTree.fromstring(share_bar({evil: 1}))
