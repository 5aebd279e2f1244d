"""How an account's part of a run ends, and the run as a whole."""

from __future__ import annotations

import pytest

from worker.accounts.settings import Missing, MissingCode, ended_by_missing
from worker.plan.outcomes import MEANINGS, Outcome, end_of
from worker.store.run_result import RESULT_MEANINGS, RunResult, worst


@pytest.mark.parametrize(
    ("how", "unsettled", "retries", "counts", "end"),
    [
        ("done", 0, 0, {"added": 3}, "done"),
        ("done", 0, 0, {"later": 1, "added": 1}, "done"),  # another try in the same run settled it
        ("done", 2, 0, {"added": 1, "held": 2}, "held"),
        ("done", 2, 0, {"list paused": 2}, "paused"),
        ("done", 2, 0, {"account stopped": 2}, "paused"),
        ("done", 1, 0, {"list gone": 1}, "held"),
        ("done", 1, 0, {"later": 1}, "incomplete"),
        ("done", 1, 0, {"fault": 1}, "incomplete"),
        ("done", 3, 0, {"held": 2, "later": 1}, "incomplete"),
        ("done", 1, 0, {"added": 1}, "incomplete"),  # whatever left it changed, it is not said to be done
        ("paused", 5, 0, {}, "paused"),
        ("stopped", 5, 0, {"held": 1}, "stopped"),
        ("failed", 5, 0, {"later": 5}, "failed"),
        ("done", 2, 2, {"added": 1}, "done"),  # refused by an earlier run, and not due before the date of the next try
        ("done", 3, 2, {"added": 1}, "incomplete"),
        ("done", 2, 2, {"later": 1}, "incomplete"),
        ("done", 1, 1, {"refused": 1}, "incomplete"),
        ("failed", 1, 1, {}, "failed"),
    ],
)
def test_an_account_ends_by_what_its_customers_wait_for(
    how: str, unsettled: int, retries: int, counts: dict[str, int], end: str
):
    """Done only where every changed customer is settled; else as the worst of what they wait for."""
    assert end_of(RunResult(how), unsettled, counts, retries) == end


@pytest.mark.parametrize(
    ("codes", "end"),
    [
        ([], "done"),
        (["not_enabled"], "done"),
        (["not_enabled", "no_stored_list"], "done"),
        (["paused"], "paused"),
        (["no_master_list"], "held"),
        (["record_not_applied", "paused"], "paused"),
    ],
)
def test_an_account_that_is_switched_off_has_nothing_due(codes: list[MissingCode], end: str):
    """What else is missing waits for somebody; a pause is one."""
    assert ended_by_missing([Missing(code, "", "") for code in codes]) == end


def test_a_run_ends_as_the_worst_of_its_accounts():
    """In the order of the table; one without accounts is done."""
    assert worst([]) is RunResult.DONE
    assert worst([RunResult.HELD, RunResult.DONE, RunResult.INCOMPLETE]) is RunResult.INCOMPLETE
    assert worst(RunResult) is RunResult.FAILED


def test_every_end_has_its_meaning_and_every_end_but_done_its_advice():
    """The table is complete, and only what is done needs nobody."""
    assert list(RESULT_MEANINGS) == list(RunResult)
    assert [end for end, meaning in RESULT_MEANINGS.items() if meaning.advice is None] == [RunResult.DONE]
    assert [end for end, meaning in RESULT_MEANINGS.items() if not meaning.exit_code] == [RunResult.DONE]


def test_what_leaves_a_customer_changed_says_how_its_account_ends():
    """Every outcome that does not settle, and no other, has an end."""
    for outcome in Outcome:
        meaning = MEANINGS[outcome]
        assert (meaning.waits_as is not None) == (meaning.settles is not True), outcome
