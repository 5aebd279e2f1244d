"""With which code a command ends that flushed, and what it says."""

import json

import pytest

from worker.cli import run as command
from worker.errors import FlushEndedEarly
from worker.model import AccountId
from worker.store.runs import AccountRun, Run

MOMENT = "2026-11-20T10:00:00Z"


def run(ended):
    """A run that ended so."""
    part = AccountRun(AccountId("acct-1"), {"added": 1}, 2, 1, ended)
    return Run(1, MOMENT, MOMENT, "once", None, ended, (part,))


@pytest.mark.parametrize(("ended", "code"), [("done", 0), ("failed", 1), ("stopped", 0)])
def test_a_flush_that_a_person_stopped_is_no_failure(ended, code):
    """Whoever stops a command gets what was asked for."""
    assert command._tell(run(ended), asked=True, as_json=False) == code


@pytest.mark.parametrize(("ended", "code"), [("done", 0), ("failed", 1)])
def test_a_flush_that_went_to_its_end_tells_by_its_code_whether_it_failed(ended, code):
    """Done is 0, failed 1."""
    assert command._tell(run(ended), asked=False, as_json=False) == code


def test_a_flush_that_ended_early_though_nobody_asked_is_told_as_an_error(capsys):
    """What it did is printed, and then what is left: a script must not take it for done."""
    with pytest.raises(FlushEndedEarly, match="ended early") as caught:
        command._tell(run("stopped"), asked=False, as_json=True)
    assert caught.value.exit_code == 1
    assert json.loads(capsys.readouterr().out)["ended"] == "stopped"
