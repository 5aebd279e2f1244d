"""The world that flush tests share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.flush.world import World


@pytest.fixture
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    """One account with two stored lists, nobody in them.

    Calls go straight to the stand-in, unless the mark of a test or module says how they are made.
    """
    mark = request.node.get_closest_marker("world")
    with World(tmp_path, **({"direct": True} | (mark.kwargs if mark is not None else {}))) as made:
        yield made
