"""What the page of a person says of what no receipt tells."""

from __future__ import annotations

from html import unescape

import pytest

from tests.integration.flush.world import ACCOUNT
from tests.integration.web.site import Site


@pytest.mark.parametrize("receipts", ["kept", "lost"])
def test_a_person_who_left_since_the_last_sync_is_found_so(site: Site, receipts: str) -> None:
    """What was read back is newer than any receipt; after a lost database it is all that there is."""
    world = site.world
    world.event("ann", "ann@example.com")
    world.flush()
    world.by_hand("ann@example.com", "unsubscribe")
    world.daily()
    if receipts == "lost":
        world.db.execute("DELETE FROM receipt")
    page = unescape(site.owner().get(f"/accounts/{ACCOUNT}/mailchimp/person?email=ann@example.com").text)
    assert "Unsubscribed on “Master”." in page
    assert "They did this themselves." in page
    assert "Only they can join again" in page
    assert ("Added to the list." in page) == (receipts == "kept")
