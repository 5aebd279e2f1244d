"""Prints the consequences of a change of settings, and asks before many members would leave a list."""

from __future__ import annotations

from worker.app import App
from worker.cli import output
from worker.clock import as_text
from worker.flush.schedule import next_flush_time
from worker.model import ListId
from worker.sqlite.database import Database
from worker.status.times import moment_in_words
from worker.status.what_follows import what_follows
from worker.store.accounts import AccountSettings
from worker.text.plural import counted


def announce(
    app: App, db: Database, settings: AccountSettings, *, every: bool, yes: bool, json: bool
) -> dict[ListId, int] | None:
    """Prints what the next flush would do with settings that are not saved yet; asks if many members would leave.

    With ``json``, prints to stderr.

    Returns:
        How many members may leave each list, as the person confirmed; None if confirmation was not needed.

    Raises:
        typer.Abort: the person declined.
    """
    now, flush = app.clock(), app.config.flush
    departed = app.departed_of(db, settings.account_id)
    consequences = what_follows(db, settings, departed, as_text(now), everyone=every)
    if consequences is None:
        return None
    moment = next_flush_time(now, flush.time_of_day, flush.zone)
    (output.note if json else output.say)(consequences.in_words(moment_in_words(moment, now, flush.zone)))
    confirmed = consequences.to_confirm
    if not confirmed:
        return None
    named = ", ".join(
        f"{count} of {counted(consequences.present.get(list_id, 0), 'member')} of {list_id}"
        for list_id, count in confirmed.items()
    )
    output.confirm(f"More than a tenth would leave: {named}. Continue?", yes=yes)
    return confirmed
