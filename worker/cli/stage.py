"""Reads without delivering: for ``mailchimp-worker stage``, and before a plan."""

from __future__ import annotations

import threading
from contextlib import closing

from worker.app import App
from worker.cli import output
from worker.cli.context import Json, load_app
from worker.cli.progress import Progress
from worker.errors import AlreadyRunning, KafkaError
from worker.jobs.finish_staging import finish_staging
from worker.jobs.poller import Poller, read_to_end
from worker.sqlite.lock import DatabaseLock
from worker.status.live import read_live
from worker.store.run_result import ATTENTION_CODE
from worker.system.process_exit import leave
from worker.system.signals import stop_on_signals
from worker.text.plural import counted


def stage(json: Json = False) -> None:
    """Read to the end of the log; deliver nothing. flush --plan then shows what a flush would do."""
    app = load_app()
    with DatabaseLock(app.config.staging.path):
        read = _staged(app, stop_on_signals())
    if read is None:
        output.note("Stopped. What was read is staged; nothing is lost.")
        leave(ATTENTION_CODE)
    with closing(app.open_database()) as db:
        by_account = app.waiting(db)
        waiting = {account_id: waits.count for account_id, waits in by_account.items() if waits.count}
    waits = [{"account_id": account_id, "customers_waiting": count} for account_id, count in sorted(waiting.items())]
    text = f"{counted(sum(waiting.values()), 'customer')} of {counted(len(waiting), 'account')}"
    line = f"Read {counted(read, 'record')} to the end of the log. Nothing was delivered. Waiting: {text}."
    output.result({"records": read, "accounts": waits}, line, json=json)
    leave(0)


def _staged(app: App, stop: threading.Event) -> int | None:
    """Reads to the end of the log; returns the number of records, or None if it was stopped first."""
    poller = Poller(app)
    poller.start()
    try:
        with Progress("staging") as progress:
            read_to_end(poller, stop, progress.update)
        if stop.is_set():
            return None
        with closing(app.open_database()) as db:
            finish_staging(app, poller.owned_partitions, poller.consumer.topic.id, db)
        return poller.owned_partitions.backlog()[1]
    finally:
        poller.end(calls_ended=True)


def read_for_plan(app: App, stop: threading.Event) -> None:
    """Reads unread records before a plan, unless a worker does, and prints how many there were."""
    path = app.config.staging.path
    try:
        with DatabaseLock(path):
            read = _staged(app, stop)
            if read is None or read > 0:
                output.note("Stopped." if read is None else f"Read {counted(read, 'unread record')}.")
    except AlreadyRunning:
        live = read_live(path)
        unread = None if live is None else sum(partition.records for partition in live.partitions.values())
        if unread is None:
            text = "It does not say yet how far it has read."
        else:
            text = f"It has not read {counted(unread, 'record')} yet." if unread else "It has read everything."
        output.note(f"A worker is running. {text}")
    except KafkaError as error:
        output.note(f"Kafka cannot be read, so the plan covers only what was read before. {error.message}")
