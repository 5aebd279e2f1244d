"""Commands that show what became of contacts: ``mailchimp-worker explain`` and ``receipts``."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import typer

from worker.cli import output
from worker.cli.context import AccountOption, Json, existing, wired
from worker.errors import NotFound, UsageError
from worker.explain import Explanation, explanations_of
from worker.flush.outcomes import Outcome
from worker.flush.schedule import next_flush_time
from worker.model import AccountId, address_key
from worker.store import receipts
from worker.store.ledger import LedgerEntry
from worker.store.receipts import Receipt


def explain(
    email: Annotated[str, typer.Argument(metavar="EMAIL", help="The address, in any case.")],
    account: AccountOption = None,
    json: Json = False,
) -> None:
    """Explain one contact: its events, the list and why, every call and answer, its status now, and what is next."""
    address = address_key(email)
    if address is None:
        raise UsageError("No address was given.", "Give the address to explain.")
    app = wired()
    flush = app.config.flush
    due = next_flush_time(app.clock(), flush.time_of_day, flush.zone)
    with existing(app) as db:
        found = explanations_of(db, address, AccountId(account) if account else None, due)
    if not found:
        raise NotFound(
            f"No customer with the address {address} has been read yet{f' in account {account}' if account else ''}.",
            "Check the spelling. If the event was published just now, see with mailchimp-worker status how far the "
            "worker has read.",
        )
    if json:
        output.as_json([as_data(one) for one in found])
        return
    for number, one in enumerate(found):
        if number:
            output.say("")
        _tell(one)


def as_data(explanation: Explanation) -> dict[str, Any]:
    """Returns an explanation as JSON shows it."""
    customer = explanation.customer
    return {
        "account": explanation.account_id,
        "customer": explanation.customer_id,
        "now": None
        if customer is None
        else {
            "state": asdict(customer.state),
            "deleted": customer.deleted,
            "event": customer.event_id,
            "event_time": customer.event_time,
            "topic": customer.position.topic,
            "partition": customer.position.partition,
            "offset": customer.position.offset,
            "waits_for_flush": customer.changed,
        },
        "receipts": [asdict(one) for one in explanation.receipts],
        "members": [
            {
                "list": one.membership.list_id,
                "list_name": explanation.list_name(one.membership.list_id),
                "address": one.membership.address,
                "state": one.state,
                "origin": one.origin,
                "status": one.member_status,
                "as_of": one.sent_at,
            }
            for one in explanation.entries
        ],
        "next": explanation.next,
    }


def list_receipts(
    account: AccountOption = None,
    outcome: Annotated[Outcome | None, typer.Option("--outcome", metavar="OUTCOME", help="Only this outcome.")] = None,
    email: Annotated[str | None, typer.Option("--email", help="Only customers who have or had this address.")] = None,
    run: Annotated[int | None, typer.Option("--run", help="Only this flush run.")] = None,
    refused: Annotated[
        bool, typer.Option("--refused", help="Only customers whom Mailchimp refuses now, each with its last refusal.")
    ] = False,
    limit: Annotated[int, typer.Option("--limit", min=1, help="How many, the newest.")] = 100,
    json: Json = False,
) -> None:
    """Print receipts: what became of each customer in each flush, newest last."""
    app = wired()
    with existing(app) as db:
        found = list(
            receipts.find(
                db,
                account_id=AccountId(account) if account else None,
                address=address_key(email),
                outcome=outcome,
                run=run,
                refused=refused,
                limit=limit,
            )
        )
    if json:
        output.as_json([asdict(one) for one in found])
        return
    if not found:
        output.say("There are no such receipts.")
        return
    output.table(
        ("at", "account", "customer", "address", "list", "outcome", "detail"),
        [(one.at, one.account_id, one.customer_id, one.address, one.list_id, one.outcome, one.detail) for one in found],
    )


def _tell(explanation: Explanation) -> None:
    output.say(f"Account {explanation.account_id}, customer {explanation.customer_id}", style="bold")
    event = None
    for receipt in explanation.receipts:
        if (receipt.event_id, receipt.offset) != event:
            event = receipt.event_id, receipt.offset
            _tell_event(receipt.event_id, receipt.topic, receipt.partition, receipt.offset)
        _tell_receipt(explanation, receipt)
    customer = explanation.customer
    if customer is not None and (customer.event_id, customer.position.offset) != event:
        position = customer.position
        _tell_event(customer.event_id, position.topic, position.partition, position.offset)
    output.say("")
    output.say(f"Now: {_now(explanation)}")
    for entry in explanation.entries:
        output.say(f"  {_member(explanation, entry)}")
    output.say(f"Next: {explanation.next}")


def _tell_event(event_id: str | None, topic: str, partition: int, offset: int) -> None:
    name = f"Event {event_id}" if event_id else "Without an event (a null value, or gone from the log)"
    output.say(f"  {name}, read from {topic}, partition {partition}, offset {offset}")


def _tell_receipt(explanation: Explanation, receipt: Receipt) -> None:
    membership = ""
    if receipt.list_id is not None:
        membership = f" · {receipt.address} on {explanation.list_name(receipt.list_id)}"
        membership += f", {receipt.list_reason}" if receipt.list_reason else ""
    output.say(f"    {receipt.at}  run {receipt.run}  {receipt.outcome}{membership}")
    output.say(f"      {receipt.detail}")
    if receipt.call is not None:
        output.say(f"      call:   {receipt.call}{_json_part(receipt.sent)}")
        answer = "none" if receipt.answer_status is None else str(receipt.answer_status)
        output.say(f"      answer: {answer}{_json_part(receipt.answer)}")
    output.say(f"      next:   {receipt.next}")


def _json_part(part: Any) -> str:
    return "" if not part else f"  {output.one_line(part)}"


def _now(explanation: Explanation) -> str:
    customer = explanation.customer
    if customer is None:
        return "the worker no longer knows this customer."
    state = "deleted" if customer.deleted else (customer.state.email or "without an address")
    consent = "" if customer.state.marketing_consent else ", consent withdrawn"
    waits = "; changed since the last flush" if customer.changed else ""
    return f"{state}{consent}{waits}"


def _member(explanation: Explanation, entry: LedgerEntry) -> str:
    where = f"{entry.membership.address} on {explanation.list_name(entry.membership.list_id)}"
    if entry.state == "intended":
        return f"{where}: adding it was begun at {entry.sent_at}, and the answer is not known yet"
    if entry.state == "gone":
        return f"{where}: no member any more, as of {entry.sent_at}"
    whose = "added by this worker" if entry.origin == "added" else "found there, not added by this worker"
    status = "archived by this worker" if entry.state == "archived" else entry.member_status
    return f"{where}: {status}, as of {entry.sent_at}; {whose}"
