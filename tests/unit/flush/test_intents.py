"""What a step group is about to do, and what it learned."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from tests.unit.plan.build import entry
from worker.flush.attempt import Intents
from worker.flush.step_result import StepResult
from worker.model import AccountId
from worker.store.ledger import Intent

KNOWN = entry()
PLACE = KNOWN.membership
INTENDED = replace(KNOWN, intent=Intent("archive", "2026-11-22T10:00:00.000Z"))


def result() -> StepResult:
    """A step that wrote nothing."""
    return StepResult(1, AccountId("acct-1"), lambda: datetime(2026, 11, 22, 10, tzinfo=UTC))


def intents() -> Intents:
    """Of a group that has done nothing yet."""
    return Intents(lambda entries, memberships: None)


def test_a_write_that_was_not_done_leaves_the_entry_as_it_was():
    """The intent, which is stored already, is taken back at the end of the step."""
    group, ended = intents(), result()
    group.begin(INTENDED, KNOWN, ())
    group.take_back(PLACE)
    group.close(ended)
    assert ended.entries == [KNOWN]
    assert group.entry(PLACE, None) == KNOWN


def test_an_add_that_was_not_done_leaves_no_entry():
    """Its place is as empty as before."""
    group, ended = intents(), result()
    group.begin(replace(INTENDED, state="intended"), None, ())
    group.take_back(PLACE)
    group.close(ended)
    assert (ended.entries, ended.undone) == ([], [PLACE])


def test_a_departure_that_a_later_try_reads_is_not_overwritten():
    """The first try's write was refused, and the next try found that the member has left meanwhile."""
    group, ended, left = intents(), result(), replace(KNOWN, member_status="unsubscribed")
    group.begin(INTENDED, KNOWN, ())
    group.take_back(PLACE)
    group.note(left, ())
    group.close(ended)
    assert ended.entries == [left]
    assert group.entry(PLACE, KNOWN) == left


def test_a_write_in_doubt_keeps_its_intent_until_a_read_resolves_it():
    """The time by which it was done, if it was, is added to the intent."""
    group, ended = intents(), result()
    group.begin(INTENDED, KNOWN, ())
    group.doubt(PLACE, datetime(2026, 11, 22, 10, 1, tzinfo=UTC), 2.0)
    group.close(ended)
    assert [one.intent.until for one in ended.entries if one.intent is not None] == ["2026-11-22T10:01:00.000Z"]


def test_what_the_step_itself_wrote_counts():
    """A step's own entry for a place is newer than what was taken back or is in doubt there."""
    group, ended, updated = intents(), result(), replace(KNOWN, member_status="pending")
    group.begin(INTENDED, KNOWN, ())
    group.take_back(PLACE)
    ended.entries.append(updated)
    group.close(ended)
    assert ended.entries == [updated]
    assert group.entry(PLACE, KNOWN) == updated
