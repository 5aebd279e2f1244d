"""An operator chooses which attributes go to which fields; a lost database brings choice and tags back from Kafka."""

from __future__ import annotations

import pytest

from tests.e2e.conftest import Cli
from tests.integration.topic import event
from worker.sandbox.server_state import StandIn

pytestmark = pytest.mark.kafka


def test_fields_are_chosen_shown_and_sent_and_survive_a_lost_database(cli: Cli, standin: StandIn) -> None:
    """From the command to Mailchimp, with explain and the plan; then again with an empty database."""
    cli.connect()
    standin.add_merge_field("master", {"name": "Birthday", "type": "birthday", "tag": "BIRTHDAY"})
    shown = cli("lists", "map", "acct-1", "master", "birthday=born", "COMPANY=")
    assert "The next flush checks every customer again" in shown
    assert "no customer has an attribute born yet" in shown
    fields = {one["tag"]: one for one in cli.json("lists", "map", "acct-1", "master")["fields"]}
    assert (fields["BIRTHDAY"]["source"], fields["BIRTHDAY"]["chosen"]) == ("born", True)
    assert (fields["COMPANY"]["source"], fields["FNAME"]["source"]) == (None, "first_name")
    person = {"email": "ann@example.com", "first_name": "Ann", "company": "Lee Ltd"}
    cli.publish(event("ann", version=1, **person, attributes={"born": "1980-05-03"}, tags=["vip"]))
    assert "once it is added: POST /lists/master/members/" in cli("flush", "--plan", "--calls")
    cli("run", "--once")
    member = standin.find_list("master").find("ann@example.com")
    assert member is not None
    assert (member.merge_fields["BIRTHDAY"], member.merge_fields["COMPANY"], set(member.tags)) == ("05/03", "", {"vip"})
    told = cli("explain", "ann@example.com")
    assert "tagged" in told
    assert "Tags set: vip." in told
    assert "tags set by this worker: vip" in told
    for path in (cli.path, *(cli.folder / f"worker.db-{one}" for one in ("wal", "shm"))):
        path.unlink(missing_ok=True)
    standin.tag("master", "ann@example.com", "by hand")
    cli.publish(event("ann", version=2, **person, attributes={"born": "in May"}, tags=["gold"]))
    cli("run", "--once")
    assert (member.merge_fields["BIRTHDAY"], set(member.tags)) == ("", {"gold", "by hand"})
    assert "BIRTHDAY (it is neither a day such as" in cli("receipts")


def test_a_choice_that_does_not_fit_is_refused_with_what_to_do(cli: Cli) -> None:
    """The list's fields are named with their types; nothing is stored."""
    cli.connect()
    assert "has no merge field BDAY" in cli("lists", "map", "acct-1", "master", "BDAY=born", code=1)
    assert "takes a whole address" in cli("lists", "map", "acct-1", "master", "ADDRESS=street", code=1)
    assert "such as BIRTHDAY=birthday" in cli("lists", "map", "acct-1", "master", "BIRTHDAY", code=2)
    assert "found no list nowhere" in cli("lists", "map", "acct-1", "nowhere", code=1)
    assert not any(one["chosen"] for one in cli.json("lists", "map", "acct-1", "master")["fields"])
