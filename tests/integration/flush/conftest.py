"""The world that flush tests share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.flush.world import World


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """One account with two stored lists, nobody in them."""
    with World(tmp_path) as made:
        yield made
