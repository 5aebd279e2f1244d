"""What commands print: for people and for programs, safe on any terminal, whole on a narrow one."""

import csv
import io
import json
import logging
import unicodedata

import pytest
import typer

from worker import log
from worker.cli import output
from worker.config import Log
from worker.errors import UsageError

CORPUS = [
    "\x1b[2J\x1b[H\x1b[31mred",  # clears the screen, goes to its top, colours
    "\x1b]0;title\x07",  # sets the window's title
    "\x1b]8;;http://evil.example\x1b\\click\x1b]8;;\x1b\\",  # a link that shows another text
    "\x9b31mred \x90q\x9c \x85next line",  # the same commands as single C1 characters
    "over\rwritten\b\b\b and \x7f\x00",
    "ann\nerror: forged line\vand\fmore\tand tab",
    "\u202egnp.exe\u202c \u2066isolated\u2069 \u200fright\u061c",  # reorder what is read
    "zero\u200bwidth\u200d\u2060\ufeff\u00ad\u180e",
    "line\u2028paragraph\u2029",
    "tag\U000e0041\U000e007f \ufff9annotated\ufffb",
    "lone \ud800 surrogate and \udfff",
    "not assigned \U000efff0 private \ue000",
]
KEPT = "Zoë 李\u00a0\u3000👩 Ørsted “…” e\u0301"


def unsafe(text, keep="\n"):
    """The characters of a text that steer a terminal or reorder a line."""
    return {one for one in text if unicodedata.category(one)[0] == "C" and one not in keep} | (
        {*text} & {*"\u2028\u2029"}
    )


@pytest.fixture
def console(monkeypatch):
    """Gives what was printed, on a terminal so wide."""

    def printing(width=80):
        written = io.StringIO()
        monkeypatch.setattr(output.Console, "_file", written)
        monkeypatch.setattr(output, "out", output.Console(width=width))
        return written

    return printing


@pytest.mark.parametrize("text", CORPUS)
def test_no_text_from_outside_steers_the_terminal(text, console, capsys, monkeypatch):
    """In lines, tables, blocks, titles, notices, questions, JSON and CSV, whatever an event or a list's name holds."""
    asked = []
    monkeypatch.setattr(typer, "confirm", lambda question, **_: asked.append(question) or True)
    written = console()
    output.say(text)
    assert len(written.getvalue().splitlines()) == 1
    output.table(("name", text), [(1, text), (text, 2)], title=text)
    output.table(("one", "two", "three"), [(text * 40, text, text)], title=text)
    output.confirm(text, yes=False)
    output.as_csv(("name",), [(text,)])
    output.as_json({text: [text]})
    output.note(text)
    printed = capsys.readouterr()
    assert unsafe(written.getvalue() + asked[0] + printed.out + printed.err) == set()


@pytest.mark.parametrize("text", [*CORPUS, KEPT])
def test_json_is_the_same_document(text, capsys):
    """Programs read from the JSON what the event held: only its form is another."""
    output.as_json([text])
    assert json.loads(capsys.readouterr().out) == [text]
    assert json.loads(output.one_line([text])) == [text]


def test_letters_of_all_languages_stay(console):
    """Names are printed as people write them; emoji, accents and wide spaces too."""
    written = console()
    output.say(KEPT)
    assert written.getvalue().strip() == KEPT


@pytest.mark.parametrize("form", ["console", "json"])
@pytest.mark.parametrize("text", CORPUS)
def test_no_text_from_outside_steers_the_terminal_by_the_log(text, form, capsys, own_root):
    """Neither in a message nor in a fact or a traceback; one line of the log stays one line."""
    log.configure(Log(format=form))
    logging.getLogger("worker").warning("it says %s", text, extra={"list": text, "counts": {text: [text]}})
    told = capsys.readouterr().err
    assert len(told.splitlines()) == 1
    assert unsafe(told) == set()
    try:
        raise ValueError(text)
    except ValueError:
        logging.getLogger("worker").exception("it failed")
    assert unsafe(capsys.readouterr().err) == set()


def test_a_table_that_does_not_fit_becomes_a_block_for_each_row(console):
    """On a narrow terminal each value has a line of its own with its name, and words stay whole."""
    columns = ("at", "account", "customer", "email", "list", "outcome", "detail")
    row = (
        "2026-11-20T10:00:00Z",
        "acct-1",
        "ann",
        "ann.lee@example.com",
        "a1b2c3d4e5",
        "added",
        "The contact was added.",
    )
    written = console(80)
    output.table(columns, [row, row])
    blocks = written.getvalue().split("\n\n")
    assert len(blocks) == 2
    assert [line.split(maxsplit=1)[0] for line in blocks[0].splitlines()] == [*columns]
    assert "The contact was added." in blocks[0]
    wide = console(160)
    output.table(columns, [row])
    assert len(wide.getvalue().splitlines()) == 2


@pytest.mark.parametrize("rows", [[], [1], [{"a": "x\ny\x1b", "b": [1, {"c": None}]}, {}, "é"]])
def test_a_list_printed_row_by_row_is_the_same_document(rows, capsys):
    """Programs see no difference."""
    output.as_json(rows)
    whole = capsys.readouterr().out
    output.as_json_list(iter(rows))
    assert capsys.readouterr().out == whole


def test_a_cell_of_csv_is_no_formula(capsys):
    """A spreadsheet would run what begins like a formula; commas and quotes are quoted."""
    output.as_csv(("email", "detail"), [("=cmd|'/c calc'!A0@example.com", 'a, "b"')])
    rows = list(csv.reader(io.StringIO(capsys.readouterr().out)))
    assert rows == [["email", "detail"], ["'=cmd|'/c calc'!A0@example.com", 'a, "b"']]


def test_notices_obey_the_form_of_the_log(capsys, own_root):
    """With a log for programs, what a command says beside its data is a line of that log."""
    log.configure(Log(format="json"))
    output.note("A worker is running.")
    assert json.loads(capsys.readouterr().err)["event"] == "A worker is running."


@pytest.mark.parametrize(("answer", "said"), [("y\n", True), ("n\n", False)])
def test_a_question_takes_its_answer_from_a_pipe_too(answer, said, monkeypatch):
    """A script may answer."""
    monkeypatch.setattr("sys.stdin", io.StringIO(answer))
    assert output.ask("Erase everything?") is said


def test_a_question_that_nobody_can_answer_names_the_option(monkeypatch):
    """Without a terminal and without input, the command says how to run it."""
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    with pytest.raises(UsageError, match="there is no terminal") as raised:
        output.confirm("Erase everything?", yes=False)
    assert "--yes" in raised.value.advice
