"""The root command: help, completion, and which settings it takes."""

from __future__ import annotations

import re
import sys

import pytest
import typer
from typer.testing import CliRunner

from worker.cli import app
from worker.errors import UsageError, WorkerError

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


@pytest.mark.parametrize(
    ("words", "message", "page"),
    [
        ("receipts --run x", "Invalid value for '--run': it is not a whole number.", "receipts"),
        ("receipts --limit 0", "Invalid value for '--limit': it should be greater than or equal to 1.", "receipts"),
        ("receipts --outcome lost", "Invalid value for '--outcome': 'lost' is not one of 'added', ", "receipts"),
        ("status --json --nonsense", "No such option: --nonsense.", "status"),
        ("dead-letters show x", "Invalid value for 'N': it is not a whole number.", "dead-letters show"),
        ("account nonsense", "No such command 'nonsense'.", "account"),
        ("nonsense --json", "No such command 'nonsense'.", ""),
        ("statsu --json", "No such command 'statsu'. Did you mean 'status'?", ""),
    ],
)
def test_wrong_use_is_named_in_plain_words_with_the_help_of_the_command(
    words: str, message: str, page: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same for people and programs."""
    monkeypatch.setattr(sys, "argv", ["mailchimp-worker", *words.split()])
    with pytest.raises(UsageError) as caught:
        app.main()
    assert caught.value.message.startswith(message)
    assert caught.value.advice == f"See its help: {' '.join(['mailchimp-worker', *page.split()])} --help"


def test_a_question_that_is_not_confirmed_aborts_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same for people and programs."""

    def unconfirmed(**options: object) -> None:
        raise typer.Abort

    monkeypatch.setattr(app, "commands", unconfirmed)
    with pytest.raises(WorkerError, match="Aborted: you did not confirm") as caught:
        app.main()
    assert caught.value.exit_code == 1


def test_a_group_without_a_command_shows_its_help(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On stderr, as wrong use."""
    monkeypatch.setattr(sys, "argv", ["mailchimp-worker"])
    with pytest.raises(SystemExit, match="2"):
        app.main()
    assert capsys.readouterr().err.startswith("Usage: mailchimp-worker [OPTIONS] COMMAND")


def test_help_names_values_and_no_types(runner) -> None:
    """An option's value has a name, such as EMAIL or N."""
    for words in pages():
        options = runner(*words, "-h").output.partition("Options:")[2]
        assert re.search(r"--[a-z-]+ +<", options) is None, words
