"""The exit codes and last lines of commands that flush or read back."""

import json

import pytest

from worker.cli import read_back
from worker.cli import run as command
from worker.errors import FlushEndedEarly
from worker.model import AccountId
from worker.sqlite.database import open_database
from worker.store.run_result import RESULT_MEANINGS, RunResult
from worker.store.runs import AccountRun, Run

MOMENT = "2026-11-20T10:00:00Z"
CODES = {"done": 0, "held": 3, "paused": 3, "incomplete": 3, "failed": 1}


def run(ended):
    """A run with this result."""
    part = AccountRun(AccountId("acct-1"), {"added": 1}, 2, 1, RunResult(ended))
    return Run(1, MOMENT, MOMENT, "once", None, RunResult(ended), (part,))


@pytest.mark.parametrize(("ended", "code"), [*CODES.items(), ("stopped", 3)])
def test_a_flush_that_a_person_stopped_is_no_failure(ended, code):
    """It gives no error; but 0 would say that everything due was settled."""
    assert command._print_result(run(ended), (), asked=True, as_json=False) == code


def test_a_reading_that_a_person_stopped_is_no_failure():
    """`read-back` ends with 3 too, as after a stopped flush."""
    db = open_database(":memory:")
    assert read_back._print_result(db, run("stopped"), asked=True, as_json=True) == 3
    db.close()


@pytest.mark.parametrize(("ended", "code"), CODES.items())
def test_a_flush_that_went_to_its_end_tells_by_its_code_who_must_look(ended, code):
    """Done is 0, failed 1, and what waits for somebody 3."""
    assert command._print_result(run(ended), (), asked=False, as_json=False) == code


def test_a_flush_that_ended_early_though_nobody_asked_is_reported_as_an_error(capsys):
    """What it did is printed, and then what is left: a script must not take it for done."""
    with pytest.raises(FlushEndedEarly, match="ended early") as caught:
        command._print_result(run("stopped"), (), asked=False, as_json=True)
    assert caught.value.exit_code == 1
    assert json.loads(capsys.readouterr().out)["ended"] == "stopped"


@pytest.mark.parametrize("ended", RunResult)
def test_the_last_line_says_what_a_person_must_do(ended, capsys):
    """Nothing after a run that is done; else the account, how it ended and a command."""
    if ended is RunResult.STOPPED:
        with pytest.raises(FlushEndedEarly):
            command._print_result(run(ended), (), asked=False, as_json=False)
    else:
        command._print_result(run(ended), (), asked=False, as_json=False)
    last = capsys.readouterr().out.splitlines()[-1]
    if ended is RunResult.DONE:
        assert last == "Nothing to do: everything due was settled."
    else:
        assert last.startswith(f"To do: account acct-1 is {ended}: ")
        assert "mailchimp-worker " in last


def test_json_says_how_each_account_ended_and_what_to_do(capsys):
    """Programs get the same end and advice as people."""
    command._print_result(run("held"), (), asked=False, as_json=True)
    data = json.loads(capsys.readouterr().out)
    (part,) = data["accounts"]
    assert (data["ended"], part["ended"]) == ("held", "held")
    assert part["advice"] == RESULT_MEANINGS[RunResult.HELD].in_words("acct-1", 1)
