"""What the log says, and what it never says."""

import json
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.config import Log
from worker.log import configure, redacted

KEY = "0123456789abcdef0123456789abcdef-us21"


@pytest.fixture
def own_root():
    """Gives the root logger back as it was."""
    root = logging.getLogger()
    before, level = root.handlers, root.level
    yield root
    root.handlers = before
    root.setLevel(level)


@pytest.mark.parametrize("form", ["json", "console"])
def test_an_api_key_never_reaches_the_log(form, own_root, capsys):
    """A key in a message, an argument or a traceback is cut to its last four characters."""
    configure(Log(format=form))
    log = logging.getLogger("worker.anything")
    log.warning("calling with %s", KEY)
    try:
        raise ValueError(f"bad key {KEY}")
    except ValueError:
        log.exception("it failed with %s", KEY)
    told = capsys.readouterr().err
    assert KEY not in told
    assert KEY[:20] not in told
    assert "us21" in told


def test_json_lines_are_json(own_root, capsys):
    """Each line of the JSON format is an object with time, level, logger and event."""
    configure(Log(format="json"))
    logging.getLogger("worker.flushing").info("settled %d", 7)
    line = json.loads(capsys.readouterr().err)
    assert (line["event"], line["level"], line["logger"]) == ("settled 7", "info", "worker.flushing")
    assert "timestamp" in line


@given(st.text(), st.text())
def test_a_key_is_found_wherever_it_stands(before, after):
    """Whatever surrounds a key, its secret part does not stay."""
    assert KEY[:16] not in redacted(f"{before} {KEY} {after}")
