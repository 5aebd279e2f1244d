"""`move-ledger` is killed at each of its steps: until it is done the old topics stay in use, and nobody is put back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.topic import Topic, event
from tests.reliability.commands import Commands
from worker.sandbox.server import SandboxServer
from worker.sandbox.server_state import StandIn

pytestmark = pytest.mark.kafka
PEOPLE = tuple(f"cus-{number}" for number in range(7))
LEFT, STAYS = PEOPLE[0], PEOPLE[1]


class Mover:
    """A worker whose customers are published to an old and to a new topic, and that moves from one to the other."""

    def __init__(self, commands: Commands, new: Topic, standin: StandIn) -> None:
        self.commands, self.old, self.new, self.standin = commands, commands.topic, new, standin
        self._version = 0

    def publish(self, customer: str, email: str) -> None:
        """Publishes a customer's next event to both."""
        self._version += 1
        for topic in (self.old, self.new):
            topic.publish([event(customer, version=self._version, email=email)])

    def use(self, topic: Topic) -> None:
        """Sets kafka.topic."""
        self.commands.environment |= {"WORKER_KAFKA__TOPIC": topic.name, "WORKER_KAFKA__GROUP_ID": f"of-{topic.name}"}

    def lose(self) -> None:
        """Deletes the worker's database."""
        for path in self.commands.folder.glob("worker.db*"):
            path.unlink()

    def members(self) -> dict[str, str]:
        """Addresses on the master list, with their status."""
        return {one.email: one.status for one in self.standin.find_list("master").members.values()}

    def leave_at_the_new_topic(self) -> dict[str, str]:
        """Has a new worker go on with the new topic, where who left has another address; returns the members then."""
        self.publish(LEFT, "new-address@example.com")
        self.lose()
        self.use(self.new)
        self.commands("run", "--once")
        assert self.standin.audit.put_back() == []
        return self.members()


@pytest.fixture
def mover(
    tmp_path: Path, whole_kafka: object, new_topic: Callable[..., Topic], sandbox: SandboxServer, standin: StandIn
) -> Mover:
    """A worker that delivered everybody, one of whom then left; the new topic has no ledger yet."""
    commands = Commands(tmp_path, new_topic(), sandbox.base_url)
    secret = tmp_path / "secret"
    secret.write_text("MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=\n")
    secret.chmod(0o600)
    commands.environment["WORKER_SECRET_KEY_FILE"] = str(secret)
    commands.connect()
    made = Mover(commands, new_topic(), standin)
    for customer in PEOPLE:
        made.publish(customer, f"{customer}@example.com")
    made.use(made.old)
    commands("run", "--once")
    return made


@pytest.mark.parametrize("point", ["keep", "kept", "inside", "commit"])
def test_killed_at_each_step_and_run_again_it_moves_everything(mover: Mover, point: str) -> None:
    """The new topics have everything in the end, whichever writes and transactions were done when it was killed."""
    mover.standin.by_hand("master", f"{LEFT}@example.com", "unsubscribe")
    mover.commands("run", "--once")
    before, times = mover.members(), 1
    mover.use(mover.new)
    while mover.commands.kill_at(point, times, "move-ledger"):
        assert mover.commands.intact()
        times += 1
    assert times > 3
    assert "Kafka has everything" in mover.commands("move-ledger")
    assert mover.leave_at_the_new_topic() == before


def test_a_part_of_a_copy_is_refused_once_the_database_went_on_with_the_old_topics(mover: Mover) -> None:
    """Somebody left meanwhile, who is a member still by the part in Kafka: those rows would replace newer ones."""
    mover.use(mover.new)
    assert mover.commands.kill_at("kept", 6, "move-ledger")
    mover.standin.by_hand("master", f"{LEFT}@example.com", "unsubscribe")
    mover.use(mover.old)
    mover.publish(STAYS, "new-stays@example.com")
    mover.commands("run", "--once")
    before = mover.members()
    assert before["new-stays@example.com"] == "subscribed"
    assert before[f"{LEFT}@example.com"] == "unsubscribed"
    mover.use(mover.new)
    told = mover.commands("move-ledger", code=1)
    assert "a part of an earlier copy of this database" in told.replace("\n", " ")
    copies = [f"{mover.new.name}.ledger", f"{mover.new.name}.settings"]
    for deleted in mover.new.admin.delete_topics(copies).values():
        deleted.result(30)
    mover.commands("move-ledger")
    assert mover.leave_at_the_new_topic() == before
