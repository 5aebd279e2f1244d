"""``mailchimp-worker receipts``: what became of each customer in each flush."""

from __future__ import annotations

from contextlib import closing
from datetime import datetime, tzinfo
from typing import Annotated

import typer

from worker.cli import output
from worker.cli.context import AccountOption, Json, known_account, load_app
from worker.clock import as_text
from worker.errors import UsageError
from worker.model import CustomerId, ListId, address_key
from worker.plan.outcomes import Outcome
from worker.status.json_data import receipt_data
from worker.status.other_workers import elsewhere
from worker.status.receipts_since import none_in_words, receipts_since
from worker.store import receipts

COLUMNS = ("at", "run", "account_id", "customer_id", "email", "list_id", "outcome", "detail", "next")
"""Of the CSV: the same names as in JSON."""


def list_receipts(
    account: AccountOption = None,
    customer: Annotated[str | None, typer.Option("--customer", metavar="ID", help="Only this customer.")] = None,
    list_id: Annotated[str | None, typer.Option("--list", metavar="ID", help="Only this Mailchimp list.")] = None,
    outcome: Annotated[Outcome | None, typer.Option("--outcome", metavar="OUTCOME", help="Only this outcome.")] = None,
    email: Annotated[
        str | None, typer.Option("--email", metavar="EMAIL", help="Only customers who have or had this address.")
    ] = None,
    since: Annotated[
        str | None, typer.Option("--since", metavar="TIME", help="Only since this date or time, such as 2026-11-20.")
    ] = None,
    run: Annotated[int | None, typer.Option("--run", metavar="N", help="Only this flush run.")] = None,
    refused: Annotated[
        bool, typer.Option("--refused", help="Only customers whom Mailchimp refuses now, with their last refusal.")
    ] = False,
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=1, help="At most this many, the newest.")] = 100,
    csv: Annotated[bool, typer.Option("--csv", help="Print comma-separated values for a spreadsheet.")] = False,
    json: Json = False,
) -> None:
    """Print receipts: what became of each customer in each flush, newest last."""
    app = load_app()
    if csv and json:
        raise UsageError("--csv and --json were both given.", "Choose one.")
    moment = None if since is None else as_text(moment_of(since, app.config.flush.zone))
    with closing(app.open_existing()) as db:
        account_id = known_account(db, account)
        other = elsewhere(app.config, db, account_id)
        none = none_in_words(receipts_since(db, app.config, app.clock(), account_id), app.clock(), app.config)
        matching = receipts.find(
            db,
            account_id=account_id,
            customer_id=CustomerId(customer) if customer else None,
            list_id=ListId(list_id) if list_id else None,
            address=address_key(email),
            outcomes=[outcome] if outcome is not None else None,
            since=moment,
            runs=[run] if run is not None else None,
            refused=refused,
            limit=limit + 1,
        )
        if other:
            output.note(other)
        shown = output.newest(matching, len(matching), limit)
        if not matching and (json or csv):
            output.note(none)
        if json:
            output.as_json_list(map(receipt_data, shown))
        elif csv:
            rows = map(receipt_data, shown)
            output.as_csv(COLUMNS, ([row[name] for name in COLUMNS] for row in rows))
        elif not matching:
            output.say(none)
        else:
            shown_columns = ("at", "account_id", "customer_id", "email", "list_id", "outcome", "detail")
            cells = ([row[name] for name in shown_columns] for row in map(receipt_data, shown))
            output.table([name.removesuffix("_id") for name in shown_columns], cells)


def moment_of(text: str, zone: tzinfo) -> datetime:
    """Parses a time that a person entered.

    Args:
        text: a date, or a date and time, in ISO 8601.
        zone: used if the text has none.

    Raises:
        UsageError: it is neither.
    """
    try:
        moment = datetime.fromisoformat(text)
        return moment if moment.tzinfo is not None else moment.replace(tzinfo=zone)
    except ValueError as error:
        raise UsageError(
            f"{text} is not a date or time.", "Give a date, such as 2026-11-20, or a time, such as 2026-11-20T10:00."
        ) from error
