"""`resync --from-mailchimp` and `check --deep`: what differs in Mailchimp, found without changing anybody's status."""

from __future__ import annotations

from tests.e2e.conftest import Cli
from tests.integration.topic import event
from worker.sandbox.server_state import StandIn

ANN, BOB, CAT, DAN = (f"{name}@example.com" for name in ("ann", "bob", "cat", "dan"))


def test_what_was_edited_left_or_vanished_is_reported_and_sent_again_on_demand(cli: Cli, standin: StandIn) -> None:
    """Edited fields are named, and left; with --overwrite the next flush sends billmywork's, and no status."""
    cli.connect()
    cli.publish(*(event(one[:3], version=1, email=one, first_name=one[:3].title()) for one in (ANN, BOB, CAT, DAN)))
    cli("run", "--once")
    cli("read-back")
    standin.edit("master", ANN, "FNAME", "Anna")
    standin.by_hand("master", BOB, "unsubscribe")
    standin.by_hand("master", CAT, "forget")
    standin.by_hand("other", DAN, "subscribe")
    standin.by_hand("other", "zoe@example.com", "subscribe")
    deep = cli("check", "--deep", code=1)  # the topic of these tests is not compacted
    deep = " ".join(deep.split())
    assert "edited by hand: 1, statuses not known yet: 1, vanished: 1, appeared: 0" in deep
    assert "edited by hand: 0, statuses not known yet: 0, vanished: 0, appeared: 1" in deep
    assert ANN not in deep
    said = cli("resync", "acct-1", "--from-mailchimp")
    assert f"{ANN} on master: edited in Mailchimp: FNAME" in said
    assert f"{CAT} on master: no longer in Mailchimp" in said
    assert "unsubscribed" in cli("explain", BOB)
    cli("run", "--once")
    ann = standin.find_list("master").find(ANN)
    assert ann is not None
    assert ann.merge_fields["FNAME"] == "Anna"
    before = {one.email: one.status for one in standin.find_list("master").members.values()}
    told = cli.json("resync", "acct-1", "--from-mailchimp", "--overwrite")
    master = next(one for one in told["lists"] if one["list_id"] == "master")
    assert (master["edited"], master["statuses"], master["vanished"]) == (1, 0, 1)
    cli("run", "--once")
    assert ann.merge_fields["FNAME"] == "Ann"
    assert {one.email: one.status for one in standin.find_list("master").members.values()} == before
    assert all(one["edited"] == 0 for one in cli.json("resync", "acct-1", "--from-mailchimp")["lists"])


def test_options_that_do_not_go_together_are_refused(cli: Cli) -> None:
    """Options that exclude each other are refused, with advice."""
    assert "--overwrite was given without" in cli("resync", "acct-1", "--overwrite", code=2)
    assert "compares whole lists" in cli("resync", "acct-1", "--from-mailchimp", "--email", ANN, code=2)
