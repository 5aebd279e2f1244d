"""A partition is lost while calls for it wait for their turn, or to be tried again."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.flush.world import World
from worker.mailchimp.calls import Call
from worker.model import AccountId
from worker.sandbox.faults import Fault


class Losing:
    """Allows every account, until the partition is lost."""

    lost = False

    def why_not(self, account_id: AccountId) -> None:
        """Returns nothing."""
        return

    def may_call(self, account_id: AccountId) -> bool:
        """Until it is lost."""
        return not self.lost


@pytest.mark.parametrize("fault", [Fault("status", method="PUT|POST"), Fault("bare", method="PUT|POST", status=429)])
def test_a_call_that_waits_to_be_tried_again_is_not_made_once_the_partition_is_lost(
    tmp_path: Path, fault: Fault
) -> None:
    """A call that waits for a retry is not made once its partition is lost."""
    eligibility = Losing()
    with World(tmp_path, direct=True, patience=60) as world:
        world.event("ann", "ann@example.com")
        world.standin.faults = [fault]

        def lose(call: Call) -> None:
            eligibility.lost = eligibility.lost or not call.reads_only

        world.before_call(lose)
        run = world.app.flusher(world.stop).flush("once", lambda db: eligibility)
        assert run.ended == "stopped"
        assert len(world.standin.audit.writes()) == 1
        assert world.waits("ann")


def test_an_answer_that_comes_after_the_loss_is_not_written_down(tmp_path: Path) -> None:
    """The new owner keeps the ledger now, and finds out by the intent what the call did."""
    eligibility = Losing()
    with World(tmp_path, direct=True) as world:
        world.event("ann", "ann@example.com")
        world.before_call(lambda call: setattr(eligibility, "lost", eligibility.lost or not call.reads_only))
        run = world.app.flusher(world.stop).flush("once", lambda db: eligibility)
        world.before_call(None)
        assert run.ended == "stopped"
        assert world.status("ann@example.com") == "subscribed"
        entry = world.entry("ann@example.com")
        assert entry is not None
        assert entry.state == "intended"
        assert world.waits("ann")
        world.flush()
        assert world.outcomes("ann") == ["found"]
        entry = world.entry("ann@example.com")
        assert entry is not None
        assert (entry.state, entry.origin) == ("present", "added")
