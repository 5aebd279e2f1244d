"""A list that was handed from one account to another: the first account writes nothing there any more."""

from dataclasses import replace

import pytest

from tests import setters
from tests.checked_changelog import CHANGELOG
from tests.integration.flush.world import ACCOUNT, World
from worker.mailchimp.calls import Call
from worker.model import AccountId, ListId
from worker.sqlite.database import Database
from worker.store import accounts

ANN = "ann@example.com"


def take_over(world: World, db: Database) -> None:
    """Another account stores the list "other"."""
    its = tuple(replace(one, stored=one.list_id == "other") for one in world.settings.lists)
    settings = replace(world.settings, account_id=AccountId("acct-2"), master_list=ListId("other"), lists=its)
    with db.transaction():
        accounts.save(db, settings)


@pytest.mark.parametrize("how", ["moved", "deleted", "consent withdrawn"])
def test_nothing_is_written_to_a_list_that_another_account_has_stored(world: World, how: str):
    """Who was on it is neither archived nor unsubscribed there, and the receipt says why."""
    world.event("ann", ANN, list_id="other")
    world.flush()
    setters.store(world.db, CHANGELOG, ACCOUNT, [ListId("master")])
    take_over(world, world.db)
    if how == "deleted":
        world.deleted("ann", ANN)
    elif how == "consent withdrawn":
        world.event("ann", ANN, list_id="other", marketing_consent=False)
    world.flush()
    assert world.status(ANN, "other") == "subscribed"
    assert not [call for call in world.writes() if "/lists/other/" in str(call)][1:]
    assert "left alone" in world.outcomes("ann")


def test_a_list_that_is_handed_over_during_a_flush_ends_it(world: World):
    """Settings are looked at before each call, those of the account that stored the list too."""
    world.event("ann", ANN, list_id="other")
    world.flush()
    setters.store(world.db, CHANGELOG, ACCOUNT, [ListId("master")])
    world.deleted("ann", ANN)
    acted = False

    def hand_over(call: Call) -> None:
        nonlocal acted
        if call.method == "GET" and "/members/" in call.path and not acted:
            acted = True
            db = world.app.open_database()
            take_over(world, db)
            db.close()

    world.before_call(hand_over)
    world.flush()
    world.before_call(None)
    assert acted
    assert world.status(ANN, "other") == "subscribed"
