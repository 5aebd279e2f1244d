"""The site that web tests share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.flush.world import World
from tests.integration.web.site import Site


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """One account with two stored lists, nobody in them."""
    with World(tmp_path, direct=True) as made:
        yield made


@pytest.fixture
def site(world: World) -> Site:
    """The pages and the API of that world."""
    return Site(world)
