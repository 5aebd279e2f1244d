"""Commands that take partitions from workers."""

import pytest

from worker.cli.context import despite_workers
from worker.errors import KafkaError, WriterFenced


class Fenced:
    """An act that is fenced some times before it goes through."""

    def __init__(self, times, error=WriterFenced):
        self.times = times
        self.error = error
        self.begun = 0

    def __call__(self):
        """Begins, and says how often it was begun."""
        self.begun += 1
        if self.begun <= self.times:
            raise self.error("Another worker took over partition 1.", "Try again.")
        return self.begun


def test_a_command_that_a_worker_fences_begins_again():
    """The worker that wrote in the midst of a flush takes its partition back once; then the command has it."""
    assert despite_workers(Fenced(2)) == 3


def test_a_command_gives_up_after_some_tries():
    """A worker that takes the partition back each time is an error."""
    act = Fenced(9)
    with pytest.raises(WriterFenced):
        despite_workers(act, tries=3)
    assert act.begun == 3


def test_any_other_error_is_not_tried_again():
    """The command fails at once while no broker answers."""
    act = Fenced(1, KafkaError)
    with pytest.raises(KafkaError):
        despite_workers(act)
    assert act.begun == 1
