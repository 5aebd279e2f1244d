"""The edge: what is printed and with which code the process ends, whatever a command does."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import threading
from types import SimpleNamespace

import pytest

import worker.cli.app
from worker import __main__ as edge
from worker import errors, log
from worker.config import Log
from worker.errors import ConfigError, NotFound
from worker.sqlite.database import open_database
from worker.system import process_exit

KEY = "0123456789abcdef0123456789abcdef-us21"

CODES = {
    "account_error",
    "already_running",
    "api_key_malformed",
    "api_key_refused",
    "certificate_not_accepted",
    "config_error",
    "consumer_stopped",
    "database_error",
    "flush_ended_early",
    "kafka_error",
    "ledger_lost",
    "mailchimp_error",
    "mailchimp_unreachable",
    "not_found",
    "not_moved",
    "not_planned",
    "not_signed",
    "partition_given_up",
    "publish_stopped",
    "request_withdrawn",
    "secret_key_error",
    "too_many_open_files",
    "usage_error",
    "web_error",
    "worker_error",
    "writer_fenced",
    "wrong_data_centre",
}


@pytest.fixture
def ends(monkeypatch, capsys):
    """Has the command raise something; gives the exit code and what was printed on standard error."""

    def ended(raised):
        def command():
            raise raised

        monkeypatch.setattr(worker.cli.app, "main", command)
        # Threads that other tests of this process left would end it.
        alone = SimpleNamespace(enumerate=lambda: [threading.main_thread()], main_thread=threading.main_thread)
        monkeypatch.setattr(process_exit, "threading", alone)
        with pytest.raises(SystemExit) as caught:
            edge.main()
        return caught.value.code, capsys.readouterr().err

    return ended


@pytest.mark.parametrize(("kind", "code"), [(NotFound, 1), (ConfigError, 2)])
def test_an_error_is_reported_with_its_advice_and_its_code(ends, kind, code):
    """What happened and what to do come on a line each, and no traceback; the kind of error says the code."""
    assert ends(kind("It is gone.", "Look elsewhere.")) == (code, "error: It is gone.\nLook elsewhere.\n")


def test_a_process_that_may_open_no_more_files_says_so(ends):
    """It is no error of the worker: the message names the limit to raise, without a traceback."""
    code, told = ends(OSError(errno.EMFILE, "Too many open files", "worker/changelog/tail.py"))
    assert (code, told.count("\n")) == (1, 2)
    assert told.startswith("error: Too many files are open")
    assert "ulimit -n 1024" in told


def test_an_error_does_not_tell_an_api_key(ends):
    """A key in a message is cut to its last four characters."""
    assert ends(NotFound(f"Not {KEY}.", "")) == (1, "error: Not …us21.\n\n")


def test_an_error_is_json_for_programs(ends, monkeypatch):
    """With --json: its kind, what happened and what to do, in one document, without keys."""
    monkeypatch.setattr(sys, "argv", ["mailchimp-worker", "status", "--json"])
    code, told = ends(NotFound(f"Not {KEY}.\x1b[2J", "Look elsewhere."))
    assert code == 1
    assert json.loads(told) == {"code": "not_found", "message": "Not …us21.\x1b[2J", "advice": "Look elsewhere."}


def test_wrong_use_is_json_for_programs():
    """Also errors that come before the command reads its options."""
    ended = _python("-m", "worker", "status", "--colour", "--json")
    assert (ended.returncode, json.loads(ended.stderr)["code"]) == (2, "usage_error")


def test_an_error_obeys_the_form_of_the_log(ends, own_root):
    """Where the operator chose a log for programs, the last error is a line of it too."""
    log.configure(Log(format="json"))
    line = json.loads(ends(NotFound("It is gone.", "Look elsewhere."))[1])
    assert (line["event"], line["level"], line["code"], line["advice"]) == (
        "It is gone.",
        "error",
        "not_found",
        "Look elsewhere.",
    )


def test_kinds_of_errors_keep_their_names():
    """Programs rely on the codes."""
    kinds = [one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, errors.WorkerError)]
    assert {one("", "").code for one in kinds} == CODES


def test_an_interrupt_is_quiet(ends):
    """Ctrl-C ends any command with 3, as the table of exit codes says, and says nothing."""
    assert ends(KeyboardInterrupt()) == (3, "")


def test_what_ends_the_process_itself_keeps_its_code(ends):
    """Commands that chose an exit code keep it."""
    assert ends(SystemExit(3)) == (3, "")


def test_a_fault_before_anything_is_configured_tells_no_key():
    """An internal error is logged whole, but for keys in its traceback, from the first moment on; exit 1."""
    program = (
        "import sys; from worker import __main__ as edge; import worker.cli.app as app\n"
        f"def fault(): raise ValueError('bad {KEY}')\n"
        "app.main = fault; edge.main()"
    )
    ended = _python("-c", program)
    assert ended.returncode == 1
    assert "Traceback" in ended.stderr
    assert "ValueError: bad …us21" in ended.stderr
    assert KEY not in ended.stderr
    assert ended.stderr.endswith("Please report it, with that log.\n")


def test_a_reader_that_has_enough_is_no_fault():
    """Output into a pipe that nobody reads any more ends the command without a word."""
    program = (
        "import sys; from worker import __main__ as edge; import worker.cli.app as app\n"
        "app.main = lambda: print('data'); edge.main()"
    )
    reading, writing = os.pipe()
    os.close(reading)
    try:
        ended = _python("-c", program, stdout=writing)
    finally:
        os.close(writing)
    assert (ended.returncode, ended.stderr) == (1, "")


@pytest.mark.parametrize(("arguments", "code"), [(("--version",), 0), (("fly",), 2), (("status", "--colour"), 2)])
def test_wrong_use_ends_with_2(arguments, code):
    """Commands and options that there are not are wrong use."""
    ended = _python("-m", "worker", *arguments)
    assert ended.returncode == code
    assert "Traceback" not in ended.stderr


def test_help_imports_no_part_of_the_worker():
    """The list of commands shows at once: nothing that reads config, Kafka, SQLite or Mailchimp is imported for it."""
    program = (
        "import sys; from worker.cli import app; sys.argv = ['mailchimp-worker', '--help']\n"
        "try: app.main()\n"
        "except SystemExit: pass\n"
        "print(sorted(sys.modules.keys() & {'pydantic', 'structlog', 'confluent_kafka', 'sqlite_utils', 'requests'}))"
    )
    printed = _python("-c", program).stdout
    assert printed.endswith("[]\n")
    assert max(len(line) for line in printed.splitlines()) <= 80


def test_status_imports_no_library_that_it_does_not_need(tmp_path):
    """With a database that needs no migration, and nothing to log, five libraries that are slow to import stay out."""
    open_database(tmp_path / "worker.db").close()
    program = (
        "import os, sys; os.environ['WORKER_STAGING__PATH'] = sys.argv[1]; sys.argv[1:] = ['status']\n"
        "from worker.cli import app\n"
        "try: app.main()\n"
        "except SystemExit: pass\n"
        "slow = {'rich.console', 'structlog', 'sqlite_utils', 'requests', 'confluent_kafka'}\n"
        "print(sorted(sys.modules.keys() & slow))"
    )
    assert _python("-c", program, str(tmp_path / "worker.db")).stdout.endswith("[]\n")


def test_every_command_has_a_help_page():
    """Each line of the list names a command that can be imported."""
    from worker.cli import app

    for name in app.COMMANDS:
        assert app.LazyCommands(name="x").get_command(None, name).name == name


def _python(*arguments, stdout=subprocess.PIPE):
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    return subprocess.run(
        [sys.executable, *arguments],
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
        env=buffered,
        check=False,
    )
