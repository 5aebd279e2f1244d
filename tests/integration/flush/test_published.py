"""The calls of whole flushes, against Mailchimp's published description."""

from tests.contract.published import check_request, needed
from tests.integration.flush.test_plan_holds import varied_customers
from tests.integration.flush.world import World


@needed
def test_every_call_of_a_flush_is_as_published(world: World):
    """Adds, updates, renames, moves, archives, restores and reads all are calls that Mailchimp describes."""
    calls = []
    varied_customers(world, archived=True)
    for _ in range(2):
        world.run()
        calls += world.calls()
    world.event("c4", "c4@example.com", first_name="Back")
    world.run()
    for one in [*calls, *world.calls()]:
        check_request(one)
    assert {one.method for one in world.calls()} >= {"GET", "PUT"}
