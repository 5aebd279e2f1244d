"""The root command: help, completion, and which settings it takes."""

from __future__ import annotations

import re

import pytest
import typer
from typer.testing import CliRunner

from worker.cli import app

GROUPS = ("account", "lists", "dead-letters", "ledger")


@pytest.fixture
def runner(monkeypatch):
    """Runs the command as on a terminal of 80 columns."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("WORKER_CONFIG", "")
    return lambda *arguments, **environment: CliRunner().invoke(
        app.commands, arguments, env=environment, prog_name="mailchimp-worker"
    )


def pages():
    """The words before --help of every page."""
    root = typer.main.get_command(app.commands)
    for name in app.COMMANDS:
        yield (name,)
        if name in GROUPS:
            yield from ((name, below) for below in root.get_command(None, name).commands)


@pytest.mark.parametrize("words", [(), *pages()])
def test_no_line_of_help_is_cut_or_too_long(words, runner):
    """Each page of help fits 80 columns, with whole sentences."""
    page = runner(*words, "-h").output
    assert page.startswith("Usage: ")
    assert max(map(len, page.splitlines())) <= 80
    assert re.search(r"[a-z]\.\.\.", page) is None


def test_a_shell_completes_commands_and_outcomes(runner):
    """By the shell's own completion, which the root command installs."""
    assert "--install-completion" in runner("-h").output

    def completed(words):
        count = str(len(words.split()) - 1)
        return runner(_MAILCHIMP_WORKER_COMPLETE="complete_bash", COMP_WORDS=words, COMP_CWORD=count).output.split()

    assert completed("mailchimp-worker re") == ["read-back", "receipts", "resync"]
    assert completed("mailchimp-worker receipts --outcome ref") == ["refused"]


def test_the_settings_file_can_be_named(runner, tmp_path):
    """--config wins over the variable, and an error in its file names that file."""
    path = tmp_path / "own.toml"
    path.write_text('[staging]\npath = ""\n')
    ended = runner("--config", str(path), "status")
    assert str(path) in str(ended.exception)


def test_an_unknown_outcome_is_refused_with_those_there_are(runner):
    """Wrong use, before anything is opened."""
    ended = runner("receipts", "--outcome", "lost")
    assert ended.exit_code == 2
    assert all(f"'{one}'" in ended.output for one in ("lost", "added", "left alone", "fault"))
