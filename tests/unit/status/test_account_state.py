"""What an account is in, and what a person should do about it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from worker.clock import as_text
from worker.model import AccountId, ListId
from worker.status.account_state import AccountFacts, AccountState, State, state_of
from worker.status.run_summary import last_line
from worker.store.accounts import AccountList, AccountSettings, Pause
from worker.store.held_counts import HeldCount
from worker.store.run_result import RunResult
from worker.store.runs import AccountRun, Run
from worker.store.waiting import NOBODY, Waiting

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
ACCOUNT = AccountId("acct-1")
TO_CONFIRM = "flush --account acct-1 --confirm"
MASTER = AccountList(ListId("m"), "Master", True, 10, False, NOW)
GONE = replace(MASTER, list_id=ListId("o"), gone_at=NOW)
SETTINGS = AccountSettings(ACCOUNT, True, "c3d4", ListId("m"), lists=(MASTER,))
FACTS = AccountFacts(SETTINGS, waits=Waiting(3, as_text(NOW)))
HELD = HeldCount(ListId("m"), "departures", 5000, as_text(NOW - timedelta(minutes=5)))


def part(ended: str, **counts: int) -> AccountRun:
    """A part of a run that settled one of four."""
    return AccountRun(ACCOUNT, counts, 4, 1, RunResult(ended), "Mailchimp gave no useful answer.")


@pytest.mark.parametrize(
    ("facts", "state", "what", "advice"),
    [
        (FACTS, "waiting", "", ""),
        (replace(FACTS, waits=NOBODY), "up to date", "", ""),
        (replace(FACTS, delivering=True), "delivering", "", ""),
        (replace(FACTS, settings=replace(SETTINGS, enabled=False)), "off", "not enabled", ""),
        (replace(FACTS, settings=AccountSettings(ACCOUNT)), "not ready", "No Mailchimp API key", "account connect"),
        (
            replace(FACTS, settings=replace(SETTINGS, pause=Pause("API Key Invalid.", NOW))),
            "paused", "API Key Invalid", "account resume acct-1",
        ),
        (
            replace(FACTS, waits=NOBODY, settings=replace(SETTINGS, master_list=ListId("x"))),
            "not ready", "master list x is not stored", "lists master acct-1",
        ),
        (
            replace(FACTS, settings=replace(SETTINGS, lists=(MASTER, GONE))),
            "held", "gone from Mailchimp", "lists store acct-1",
        ),
        (
            replace(FACTS, settings=replace(SETTINGS, lists=(replace(MASTER, pause=Pause("full", NOW)),))),
            "paused", "is paused: full", "account resume acct-1",
        ),
        (replace(FACTS, held_counts=(HELD,)), "held", "5000 members would leave list Master (m)", TO_CONFIRM),
        (replace(FACTS, held_counts=(HELD,), waits=NOBODY), "up to date", "", ""),
        (replace(FACTS, run=7, part=part("failed")), "failed", "Run 7 settled 1 of 4. Mailchimp gave no", "flush"),
        (
            replace(FACTS, held_counts=(HELD,), run=7, part=part("failed")),
            "failed", "Mailchimp gave no", "The worker tries it again",
        ),
        (replace(FACTS, held_counts=(HELD,), run=7, part=part("stopped")), "incomplete", "settled 1", "the next flush"),
        (replace(FACTS, held_counts=(HELD,), run=7, part=part("held", held=3)), "held", "would leave", TO_CONFIRM),
        (replace(FACTS, run=7, part=part("incomplete", later=3)), "incomplete", "settled 1 of 4", "receipts"),
        (
            replace(FACTS, run=7, part=part("incomplete", refused=3)),
            "incomplete", "settled 1 of 4", "tried again by the first flush after the date in its receipt",
        ),
        (replace(FACTS, run=7, part=part("held", held=3)), "held", "3 customers held in run 7", "--outcome held"),
        (replace(FACTS, run=7, part=part("held")), "waiting", "", ""),  # what was missing is there now
        (replace(FACTS, run=7, part=part("done")), "waiting", "", ""),
        (replace(FACTS, run=7, part=part("paused")), "waiting", "", ""),  # resumed since
    ],
)  # fmt: skip
def test_an_account_is_in_what_hinders_its_delivery_first(facts: AccountFacts, state: str, what: str, advice: str):
    """The state, a sentence and what to do follow from what is stored."""
    found = state_of(facts, NOW)
    assert found.state == state
    assert what in (found.message or "")
    assert advice in (found.advice or "")


def test_what_was_held_long_ago_is_shown_again_before_it_is_confirmed():
    """A confirmation counts for an hour after the flush that showed it, so the advice is to flush first then."""
    old = replace(HELD, shown_at=as_text(NOW - timedelta(hours=2)))
    advice = state_of(replace(FACTS, held_counts=(old,)), NOW).advice or ""
    assert advice.index("flush --account acct-1, ") < advice.index("--confirm")


def test_the_last_line_of_a_run_with_many_accounts_names_the_first_and_counts_the_rest():
    """One line, with the advice of each account's own state."""
    parts = tuple(replace(part("held"), account_id=AccountId(f"acct-{n}")) for n in range(1, 6))
    run = Run(1, as_text(NOW), as_text(NOW), "once", None, RunResult.HELD, parts)
    states = [AccountState(ACCOUNT, State.HELD, "5000 members would leave", "Confirm it: flush --confirm")]
    line = last_line(run, states)
    assert line.startswith("To do: account acct-1 is held: Confirm it: flush --confirm; account acct-2 is held: See ")
    assert line.endswith("; 2 more accounts: mailchimp-worker status")


def test_after_a_run_that_is_done_the_last_line_names_an_account_that_is_not_ready():
    """Nothing of it was due, but its next customers will wait; a flush of another account does not name it."""
    run = Run(1, as_text(NOW), as_text(NOW), "command", None, RunResult.DONE, ())
    lists = state_of(replace(FACTS, settings=replace(FACTS.settings, master_list=None), waits=NOBODY), NOW)
    assert lists.state is State.NOT_READY
    line = last_line(run, [lists, replace(lists, account_id=AccountId("acct-2"))])
    assert line.startswith("Everything due was settled, but account acct-1 is not ready: No master list is chosen.")
    assert line.endswith("(1 more account: mailchimp-worker status)")
    other = replace(run, account_id=AccountId("acct-3"))
    assert last_line(other, [lists]) == "Nothing to do: everything due was settled."


@pytest.mark.parametrize("ended", ["failed", "stopped"])
def test_a_run_that_ended_early_never_advises_to_confirm_what_an_earlier_one_held(ended: str) -> None:
    """After an outage nobody is asked to release departures: the next flush tries again."""
    run = Run(3, as_text(NOW), as_text(NOW), "once", None, RunResult(ended), (part(ended),))
    for states in (
        [state_of(replace(FACTS, held_counts=(HELD,), run=3, part=part(ended)), NOW)],
        [AccountState(ACCOUNT, State.HELD, "List Other (o) is gone", "Confirm it: flush --confirm")],
    ):
        line = last_line(run, states)
        assert line.startswith(f"To do: account acct-1 is {ended}: ")
        assert "confirm" not in line
        assert line.rsplit(": ")[-2].endswith("now")
