"""``mailchimp-worker read-back``: reads what happened in Mailchimp since the last reading, and delivers nothing."""

from __future__ import annotations

from collections.abc import Sequence

from worker.cli import output
from worker.cli.context import AccountOption, Json, load_app
from worker.cli.run import RunDisplay, carry_out, exit_code_of
from worker.errors import FlushEndedEarly
from worker.sqlite.database import Database
from worker.store import readings
from worker.store.readings import MemberReading
from worker.store.run_result import RunResult
from worker.store.runs import Run
from worker.text.plural import counted


def read_back(account: AccountOption = None, json: Json = False) -> None:
    """Read who left, confirmed or joined again in Mailchimp since the last reading. Deliver nothing.

    If a worker is running, ask it to do so. Exits with 0 if every stored list was read to its end, 3 if somebody must
    look, 1 if it failed.
    """
    display = RunDisplay("read the lists", "reading members", _so_far, _print_result)
    carry_out(load_app(), display, account, reads_back=True, as_json=json)


def _readings_of(db: Database, run: Run) -> list[MemberReading]:
    return readings.of_members(db, run.account_id, run.started_at)


def _so_far(db: Database, run: Run) -> tuple[int, int]:
    lists_read = _readings_of(db, run)
    return sum(list_read.members for list_read in lists_read), sum(list_read.total for list_read in lists_read)


def _print_result(db: Database, run: Run, *, asked: bool, as_json: bool) -> int:
    assert run.ended is not None, "a run that has not ended is followed"
    lists_read = _readings_of(db, run)
    if as_json:
        output.as_json(_data(run, lists_read))
    else:
        _print_lists(run, lists_read)
    if run.ended is RunResult.STOPPED and not asked:
        raise FlushEndedEarly(
            "The reading ended early: its worker ended, or lost a partition to another worker, to a command that "
            "writes the ledger (such as forget), or by a timeout.",
            "Nothing is lost: it continues where it stopped. Run the command again.",
        )
    return exit_code_of(run.ended)


def _data(run: Run, lists_read: Sequence[MemberReading]) -> dict[str, object]:
    return {
        "run": run.run,
        "ended": run.ended,
        "lists": [
            {
                "account_id": list_read.account_id,
                "list_id": list_read.list_id,
                "read_to_the_end": list_read.ended,
                "members": list_read.members,
                "changed": list_read.learnt,
                "unknown": list_read.unknown,
            }
            for list_read in lists_read
        ],
        "accounts": [
            {"account_id": part.account_id, "ended": part.ended, "message": part.message} for part in run.accounts
        ],
    }


def _print_lists(run: Run, lists_read: Sequence[MemberReading]) -> None:
    rows = [
        (
            list_read.account_id,
            list_read.list_id,
            list_read.members,
            list_read.learnt,
            list_read.unknown,
            "yes" if list_read.ended else "continues next time",
        )
        for list_read in lists_read
    ]
    if rows:
        output.table(("account", "list", "members read", "news", "unknown", "read to the end"), rows)
    for part in run.accounts:
        if part.message:
            output.say(f"Account {part.account_id}: {part.message}")
    if not lists_read and not run.accounts:
        output.say("No account has a list to read: see mailchimp-worker status.")
        return
    news = sum(list_read.learnt for list_read in lists_read)
    output.say(f"Changed by people or owners: {counted(news, 'member')}. Nothing was delivered.")
