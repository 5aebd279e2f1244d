"""Commands that read and flush: ``mailchimp-worker run`` and ``flush``."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Annotated

import typer

from worker.app import App
from worker.cli import flush_plan, output
from worker.cli.context import AccountOption, Json, load_app
from worker.cli.progress import Progress, Waiting
from worker.cli.stage import read_for_plan
from worker.clock import as_text, utc_now
from worker.consumer.waiting import why_waiting
from worker.daemon import FLUSH_END_SECONDS, Daemon
from worker.errors import STOPPED_CODE, AccountError, AlreadyRunning, FlushEndedEarly, UsageError, WorkerError
from worker.jobs import rehash
from worker.jobs.flush import Flushing, FlushThread
from worker.jobs.job import attempt
from worker.jobs.poller import Poller, read_to_end
from worker.jobs.retention import drop_unowned, strip_unconnected
from worker.model import AccountId
from worker.sqlite.database import Database
from worker.sqlite.lock import DatabaseLock, is_locked
from worker.status.account_facts import facts_of
from worker.status.account_state import AccountState, state_of
from worker.status.confirmation import confirmation_in_words
from worker.status.left_out import sentences
from worker.status.live import read_live
from worker.status.other_workers import elsewhere
from worker.status.run_summary import last_line, run_data
from worker.store import accounts, bare_customers, held_counts, runs
from worker.store.run_result import RESULT_MEANINGS, RunResult
from worker.store.runs import Request, Run
from worker.system.open_files import allow_open_files
from worker.system.process_exit import leave
from worker.system.signals import stop_on_signals

FOLLOW_SECONDS = 0.2
NOTHING_CHANGED = "nothing has changed since the last flush."


def run(
    once: Annotated[
        bool, typer.Option("--once", help="Read to the end of the log, deliver what changed, and exit.")
    ] = False,
    json: Json = False,
) -> None:
    """Run the worker: read customer events as they come, and deliver what changed once a day.

    With --once, exits with 0 if everything due was settled, 3 if somebody must look, 1 if it failed.
    """
    app = load_app(service=True)
    allow_open_files()
    stop = stop_on_signals()
    if not once:
        Daemon(app, stop).run()
        leave(0)
    with DatabaseLock(app.config.staging.path):
        leave(_read_and_flush(app, stop, None, FLUSH, as_json=json))


def flush(
    account: AccountOption = None,
    plan: Annotated[
        bool, typer.Option("--plan", help="Show what a flush would do, after reading what is unread.")
    ] = False,
    calls: Annotated[bool, typer.Option("--calls", help="With --plan: show every call, in order.")] = False,
    confirm: Annotated[
        bool, typer.Option("--confirm", help="With --account: let many members leave a list at once.")
    ] = False,
    json: Json = False,
) -> None:
    """Deliver what changed now. If a worker is running, ask it to do so.

    Exits with 0 if everything due was settled, 3 if somebody must look, 1 if it failed.
    """
    app = load_app()
    if confirm and account is None:
        raise UsageError("--confirm was given for every account.", "Name the account, with --account.")
    if calls and not plan:
        raise UsageError("--calls was given without --plan.", "Give both to see the calls before they are made.")
    if plan:
        app.open_existing().close()  # a plan creates no database
    if confirm and account is not None:
        _note_what_is_confirmed(app, account)
    if plan:
        read_for_plan(app, stop_on_signals())
        with closing(app.open_database()) as db:
            account_id = _known(db, account)
            if account_id is not None and (other := elsewhere(app.config, db, account_id)):
                output.note(other)
            flush_plan.show(app, db, account_id, confirmed=confirm, calls=calls, json=json)
        return
    carry_out(app, FLUSH, account, confirmed=confirm, as_json=json)


def _note_what_is_confirmed(app: App, account: str) -> None:
    with closing(app.open_database()) as db:
        settings, now = accounts.find(db, AccountId(account)), app.clock()
        counts = held_counts.all_shown(db).get(AccountId(account), [])
        # An account without settings is reported later.
        for sentence in confirmation_in_words(settings, counts, now) if settings is not None else ():
            output.note(sentence)


@dataclass(frozen=True, slots=True)
class RunDisplay:
    """How a command shows the run that it requested.

    Attributes:
        so_far: returns how much of a run is done, and the total.
        print_result: prints the result of a run, and returns the exit code. Its keywords: ``as_json``, and ``asked``,
            whether a person stopped this command, so that an early end is not an error.
    """

    request: str
    progress: str
    so_far: Callable[[Database, Run], tuple[int, int]]
    print_result: Callable[..., int]


def carry_out(
    app: App,
    display: RunDisplay,
    account: str | None,
    *,
    confirmed: bool = False,
    reads_back: bool = False,
    as_json: bool,
) -> None:
    """Carries out a request in this process, or follows the worker that does, and exits.

    Raises:
        AccountError: the account does not exist.
        WorkerError: the run did not start, or did not end.
    """
    allow_open_files()
    with closing(app.open_database()) as db:
        account_id, stop = _known(db, account), stop_on_signals()
        new_request = partial(flush_request, app, db, account_id, confirmed=confirmed, reads_back=reads_back)
        try:
            with DatabaseLock(app.config.staging.path), new_request() as request:
                code = _read_and_flush(app, stop, request, display, as_json=as_json)
        except AlreadyRunning:
            with new_request() as request:
                code = _follow(app, db, request, stop, display, as_json=as_json)
        if code and account_id is not None and (other := elsewhere(app.config, db, account_id)):
            output.note(other)
    leave(code)


def _known(db: Database, account: str | None) -> AccountId | None:
    if account is None:
        return None
    if accounts.find(db, AccountId(account)) is None:
        raise AccountError(
            f"Account {account} has no Mailchimp settings.", f"Connect it: mailchimp-worker account connect {account}"
        )
    return AccountId(account)


@contextmanager
def flush_request(
    app: App, db: Database, account_id: AccountId | None, *, confirmed: bool, reads_back: bool = False
) -> Iterator[Request]:
    """Requests a flush; at the end of the block, withdraws the request if no run has taken it.

    Args:
        account_id: None for all accounts.
        confirmed: whether many members may leave a list.
        reads_back: whether to read members and deliver nothing.
    """
    with db.transaction():
        request = runs.ask(db, as_text(app.clock()), account_id, confirmed=confirmed, reads_back=reads_back)
    try:
        yield request
    finally:
        # If that fails too, it expires.
        with suppress(WorkerError), db.transaction():
            runs.withdraw(db, request.request)


def _read_and_flush(
    app: App, stop: threading.Event, request: Request | None, display: RunDisplay, *, as_json: bool
) -> int:
    poller = Poller(app)
    poller.start()
    calls_ended = True
    try:
        waiting = Waiting()
        with Progress("staging") as progress:

            def update(done: int, total: int) -> None:
                progress.update(done, total)
                waiting.update(why_waiting(poller.owned_partitions))

            read_to_end(poller, stop, update)
        if stop.is_set():
            output.note("Stopped before the flush. What was read is staged; nothing is lost.")
            return STOPPED_CODE
        flushing = Flushing(app, app.flusher(stop), poller.owned_partitions, *poller.ids)
        flush_thread = FlushThread(flushing, request.trigger if request else "once", request)
        calls_ended = False
        calls_ended = _awaited(app, poller, stop, flush_thread, display)
        if calls_ended and not stop.is_set():
            with closing(app.open_database()) as db:
                strip_unconnected(db, poller.owned_partitions)
                drop_unowned(app, db, poller.owned_partitions)
                attempt(lambda: rehash.rehash(app, db, poller.owned_partitions.ready()), rehash.FAILURE)
        if not calls_ended:
            output.note("Stopped. Calls were in flight; the next flush finds out what they did.")
            return STOPPED_CODE
    finally:
        poller.end(calls_ended=calls_ended)
    with closing(app.open_database()) as db:
        return display.print_result(db, flush_thread.result(), asked=stop.is_set(), as_json=as_json)


def _awaited(app: App, poller: Poller, stop: threading.Event, flushing: FlushThread, display: RunDisplay) -> bool:
    """Shows the progress of a flush until it ends; returns False if the worker must stop first."""
    with closing(app.open_database()) as db, Progress(display.progress) as progress:
        while not flushing.wait(FOLLOW_SECONDS):
            poller.check()
            if stop.is_set():
                return flushing.wait(FLUSH_END_SECONDS)
            newest = runs.last(db, 1)
            if newest and newest[0].ended is None:
                progress.update(*display.so_far(db, newest[0]))
    return True


def _follow(
    app: App, db: Database, request: Request, stop: threading.Event, display: RunDisplay, *, as_json: bool
) -> int:
    output.note(f"A worker is running; it was asked to {display.request}.")
    waiting = Waiting()
    with Progress(display.progress) as progress:
        while not stop.wait(FOLLOW_SECONDS):
            working = is_locked(app.config.staging.path)  # checked first: the worker may end once the run is over
            request_now = runs.request(db, request.request)
            if request_now is None:
                raise _not_begun(db, request)
            followed = runs.get(db, request_now.run) if request_now.run is not None else None
            live = read_live(app.config.staging.path) if followed is None else None
            waiting.update(None if live is None else live.waits_for)
            if followed is not None:
                progress.update(*display.so_far(db, followed))
                if followed.ended is not None:
                    break
            if not working:
                raise _worker_ended(followed)
    if followed is None:
        output.note("Stopped before the worker took the request; the request is withdrawn.")
        return STOPPED_CODE
    if followed.ended is None:
        output.note("Stopped following; the worker continues the flush. See: mailchimp-worker status")
        return STOPPED_CODE
    return display.print_result(db, followed, asked=stop.is_set(), as_json=as_json)


def _not_begun(db: Database, request: Request) -> WorkerError:
    problem = "The worker did not start the flush within ten minutes. Nothing was sent."
    bare = bare_customers.of_account(db, request.account_id) if request.account_id is not None else None
    if bare is not None and bare.reading:
        return WorkerError(
            f"{problem} {bare.in_words()}",
            "Run the command again once mailchimp-worker status shows that they are read.",
        )
    return WorkerError(problem, "Check what it does with mailchimp-worker status, and try again.")


def _worker_ended(run: Run | None) -> WorkerError:
    if run is None:
        return WorkerError("The worker ended before it took the request. Nothing was sent.", "Run the command again.")
    return WorkerError(
        f"The worker ended during run {run.run}; what it did not settle waits for the next flush.",
        "See its log for the reason. Start the worker again, or repeat the command: the next flush delivers the rest.",
    )


def _so_far(db: Database, run: Run) -> tuple[int, int]:
    return sum(part.settled for part in run.accounts), sum(part.to_do for part in run.accounts)


def _print_with_states(db: Database, run: Run, *, asked: bool, as_json: bool) -> int:
    now = utc_now()
    states = [state_of(facts, now) for facts in facts_of(db, now) if facts.settings.enabled]
    return _print_result(run, states, asked=asked, as_json=as_json)


def _print_result(run: Run, states: Sequence[AccountState], *, asked: bool, as_json: bool) -> int:
    """Prints the result of a run and returns the exit code.

    Args:
        asked: whether a person stopped this command, so that an early end is not an error.

    Raises:
        FlushEndedEarly: nobody asked it to stop, and something is left to do.
    """
    assert run.ended is not None, "a run that has not ended is followed"
    if as_json:
        output.as_json(run_data(run, states))
    else:
        _print_run(run)
        output.say(last_line(run, states))
    if run.ended is RunResult.STOPPED and not asked:
        raise FlushEndedEarly(
            "The flush ended early: its worker ended, or lost a partition to another worker, to a command that writes "
            "the ledger (such as forget), or by a timeout.",
            "Nothing is lost: the worker that has the partition now delivers the rest with its next "
            "flush. If this is the only worker, run it again once Kafka answers.",
        )
    return exit_code_of(run.ended)


def exit_code_of(ended: RunResult) -> int:
    """Returns the exit code of a command whose run ended like this; a stopped one was stopped by the person."""
    return STOPPED_CODE if ended is RunResult.STOPPED else RESULT_MEANINGS[ended].exit_code


FLUSH = RunDisplay("flush", "delivering", _so_far, _print_with_states)


def _print_run(run: Run) -> None:
    """Prints the result of a run, account by account."""
    if not run.accounts:
        failed = f"failed. {run.reason or ''}".rstrip()
        output.say(f"Run {run.run}: {failed if run.ended is RunResult.FAILED else NOTHING_CHANGED}")
        return
    rows = [
        (
            part.account_id,
            part.ended,
            part.to_do,
            part.settled,
            ", ".join(f"{count} {outcome}" for outcome, count in sorted(part.counts.items())),
            part.message,
        )
        for part in run.accounts
    ]
    columns = ("account", "ended", "changed", "settled", "receipts", "notes")
    output.table(columns, rows, title=f"Run {run.run}: {run.ended}")
    for part in run.accounts:
        for line in sentences(part.left_out):
            output.say(f"Account {part.account_id}, {line}")
