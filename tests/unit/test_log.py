"""What the log says, and what it never says."""

import ast
import json
import logging
import threading
import time
import timeit
import warnings
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.config import Log
from worker.log import configure
from worker.mailchimp import api_key
from worker.mailchimp.client import Client
from worker.text.redaction import hide, redacted, without_addresses

KEY = "0123456789abcdef0123456789abcdef-us21"


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
    logging.getLogger("worker.flush").info("settled %d", 7)
    line = json.loads(capsys.readouterr().err)
    assert (line["event"], line["level"], line["logger"]) == ("settled 7", "info", "worker.flush")
    assert "timestamp" in line


@given(st.text(), st.text())
def test_a_key_is_found_wherever_it_stands(before, after):
    """Whatever surrounds a key, its secret part does not stay."""
    assert KEY[:16] not in redacted(f"{before} {KEY} {after}")


@pytest.mark.parametrize("form", ["json", "console"])
def test_faults_of_threads_and_warnings_come_into_the_log(form, own_root, capsys):
    """What Python would print by itself is logged in the same form, without keys."""
    configure(Log(format=form))

    def fail():
        raise ValueError(f"bad key {KEY}")

    thread = threading.Thread(target=fail, name="the-one")
    thread.start()
    thread.join()
    warnings.warn(f"old key {KEY}", stacklevel=1)
    told = capsys.readouterr().err
    assert "internal error in the thread the-one" in told
    assert "ValueError: bad key …us21" in told
    assert "old key …us21" in told
    assert KEY not in told
    if form == "json":
        assert all(json.loads(line) for line in told.splitlines())


def test_a_thread_that_ends_itself_is_no_fault(own_root, capsys):
    """Ending a thread by SystemExit says nothing, as in Python itself."""
    configure(Log())

    def leave():
        raise SystemExit

    thread = threading.Thread(target=leave)
    thread.start()
    thread.join()
    assert capsys.readouterr().err == ""


def test_secrets_of_any_form_can_be_hidden(own_root):
    """A secret that looks like no API key stays out once it is hidden, and so does the header that carries a key."""
    odd = "correct.horse/battery-Staple"
    assert odd in redacted(f"sent {odd}")
    hide(odd)
    assert redacted(f"sent {odd}, {odd}") == "sent …aple, …aple"
    assert redacted("Authorization: Basic bWFpbGNoaW1wOmtleQ==") == "Authorization: Basic …"
    assert redacted(f"sent {KEY.upper()}") == "sent …US21"


def test_a_secret_that_begins_with_another_is_hidden_whole(own_root):
    """Of two secrets of which one is the beginning of the other, neither leaves its end behind."""
    for secret in ("first-of-all", "first-of-all-and-more", "first"):
        hide(secret)
    assert redacted("sent first-of-all-and-more") == "sent …more"


def test_a_line_costs_no_more_with_many_keys_than_with_few(own_root):
    """A worker that calls for 10,000 accounts logs as fast as one that calls for ten, and hides every key."""
    line = "GET /lists answered 200 - in 12 ms - for account acct-17 - of run 4"

    def cost():
        return min(timeit.repeat(lambda: redacted(line), number=200, repeat=7))

    keys = [f"{number:032x}-us21" for number in range(10_000)]
    for one in keys[:10]:
        hide(one)
    few = cost()
    for one in keys:
        hide(one)
    assert cost() < 5 * few
    assert redacted(f"sent {keys[0]}+{keys[9_999]}.") == "sent …us21+…us21."


def test_a_key_that_a_client_sends_is_hidden(own_root):
    """Opening a client for a key keeps that key out of the log, whatever it looks like."""
    Client(api_key.parse("short.key-eu"), "http://127.0.0.1:9/3.0", timeout=1)
    assert redacted("it is short.key-eu") == "it is …y-eu"


def test_levels_and_libraries(own_root, capsys):
    """Lines below the chosen level are left out, and so is the chatter of libraries."""
    configure(Log(level="info"))
    logging.getLogger("worker.anything").debug("detail")
    logging.getLogger("urllib3.connectionpool").info("a new connection")
    assert capsys.readouterr().err == ""
    configure(Log(level="debug"))
    logging.getLogger("worker.anything").debug("detail")
    assert "detail" in capsys.readouterr().err


def test_a_failure_that_asyncio_repeats_is_logged_once_a_minute(own_root, capsys, monkeypatch):
    """Without free file descriptors, it reports thousands a second."""
    configure(Log())
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    for at in (1000.0, 1001.0, 1059.0, 1061.0):
        now[0] = at
        logging.getLogger("asyncio").error("socket.accept() out of system resource")
    assert capsys.readouterr().err.count("out of system resource") == 2
    logging.getLogger("asyncio").error("another")
    assert "another" in capsys.readouterr().err


@pytest.mark.parametrize("form", ["json", "console"])
def test_no_address_reaches_the_log(form, own_root, capsys):
    """Neither in a message nor in a field or a traceback; what is no address stays."""
    configure(Log(format=form))
    log = logging.getLogger("worker.anything")
    try:
        raise ValueError("ann.o'neil+x@mail.example.com is bad")
    except ValueError:
        log.exception("it failed for %s", "BOB@EXAMPLE.COM", extra={"who": "zoë@exämple.org", "list": "a1@b"})
    told = capsys.readouterr().err
    assert not [one for one in ("example", "EXAMPLE", "exämple", "o'neil", "BOB", "zoë") if one in told]
    assert "a1@b" in told


def test_a_long_text_is_searched_for_addresses_in_a_moment():
    """Whatever an event or an answer holds: the time grows with its length and no faster."""
    began = time.monotonic()
    for text in ("a" * 1_000_000 + "@", "!" * 1_000_000 + "@", "a." * 500_000, "@a" * 500_000, "a@" * 500_000):
        without_addresses(text)
    assert time.monotonic() - began < 5


def test_facts_are_fields(own_root, capsys):
    """In JSON by their names, on the console as name and value behind the sentence."""
    for form in ("json", "console"):
        configure(Log(format=form))
        logging.getLogger("worker.flush").info("settled", extra={"account": "acct-1", "count": 7, "seconds": 0.5})
    line, shown = capsys.readouterr().err.splitlines()
    assert {"account": "acct-1", "count": 7, "seconds": 0.5}.items() <= json.loads(line).items()
    assert "account=acct-1" in shown
    assert "count=7" in shown


def test_every_line_of_the_log_has_its_facts_as_fields():
    """Each value in a log sentence is a field too, so that programs can search for it."""
    lacking = []
    for path in sorted((Path(__file__).parents[2] / "worker").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                continue
            if ast.unparse(node.func.value) not in ("log", "logging.getLogger('worker')"):
                continue
            says_more = len(node.args) > 1 + (node.func.attr == "log")
            if says_more and "extra" not in {one.arg for one in node.keywords}:
                lacking.append(f"{path.name}:{node.lineno}")
    assert lacking == []
