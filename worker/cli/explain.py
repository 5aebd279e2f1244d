"""``mailchimp-worker explain``: what happened to one contact, and why."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from typing import Annotated, NamedTuple

import typer

from worker.app import App
from worker.cli import output
from worker.cli.context import AccountOption, Json, address_of, known_account, load_app
from worker.errors import NotFound
from worker.flush.schedule import next_flush_time
from worker.model import AccountId, Customer
from worker.plan.identity import awaits_confirmation, status_after
from worker.plan.outcomes import Outcome
from worker.sqlite.database import Database
from worker.status.explanation import (
    Explanation,
    LiveMember,
    event_name,
    explanations_of,
    letters_naming,
    read_live_member,
)
from worker.status.json_data import explanation_data
from worker.status.other_workers import elsewhere
from worker.store import bare_customers
from worker.store.customer_outcomes import CustomerOutcome
from worker.store.dead_letters import DeadLetter
from worker.store.ledger import LedgerEntry
from worker.store.receipts import Receipt


def explain(
    email: Annotated[str, typer.Argument(metavar="EMAIL", help="The address. Upper and lower case are the same.")],
    account: AccountOption = None,
    live: Annotated[
        bool, typer.Option("--live", help="Also ask Mailchimp for the current status; one read per customer.")
    ] = False,
    json: Json = False,
) -> None:
    """Explain one contact: its events, its list and why, each call and answer, its status now, and what is next."""
    address = address_of(email)
    app = load_app()
    flush = app.config.flush
    due = next_flush_time(app.clock(), flush.time_of_day, flush.zone)
    with closing(app.open_existing()) as db:
        explanations = explanations_of(db, address, known_account(db, account), due)
        letters = letters_naming(db, address)
        other = elsewhere(
            app.config, db, AccountId(account or explanations[0].account_id) if account or explanations else None
        )
        if not explanations:
            bare = "Customers of accounts that are not connected are staged without their addresses."
            unconnected = bare if bare_customers.any_unconnected(db) else None
            raise _not_found(address, account, letters, " ".join(filter(None, (other, unconnected))))
        live_members = [_live_member(app, db, explanation) if live else None for explanation in explanations]
    if other:
        output.note(other)
    if json:
        pairs = zip(explanations, live_members, strict=True)
        output.as_json([explanation_data(*pair, letters) | {"other_worker": other} for pair in pairs])
        return
    for number, explanation in enumerate(explanations):
        if number:
            output.say("")
        _print_explanation(explanation, live_members[number])
    for letter in letters:
        output.say(f"Dead letter {letter.number} names this address: {letter.reason}. {_see(letter)}")


def _not_found(address: str, account: str | None, letters: Sequence[DeadLetter], other: str) -> NotFound:
    sentence = f"No customer with the address {address} is known{f' in account {account}' if account else ''}"
    if letters:
        return NotFound(f"{sentence}, but dead letter {letters[-1].number}: {letters[-1].reason}.", _see(letters[-1]))
    advice = (
        "Check the spelling. If the event is new, mailchimp-worker status shows how far the worker has read. A former "
        "address is known only until its receipts expire. After that, give the current address."
    )
    return NotFound(f"{sentence}.", f"{other} {advice}" if other else advice)


def _see(letter: DeadLetter) -> str:
    return f"See: mailchimp-worker dead-letters show {letter.number}"


def _live_member(app: App, db: Database, explanation: Explanation) -> LiveMember | None:
    if (membership := explanation.membership_now) is None:
        return None
    with app.open_client_of(db, explanation.account_id) as sender:
        return read_live_member(sender, membership)


def _print_explanation(explanation: Explanation, live: LiveMember | None) -> None:
    output.say(f"Account {explanation.account_id}, customer {explanation.customer_id}", bold=True)
    customer = explanation.customer
    printed = None
    for receipt in explanation.receipts:
        if (record := _record_of(receipt)) != printed:
            _print_record(_brought_by(receipt, customer), record)
            printed = record
        _print_receipt(explanation, receipt)
    if customer is not None and (record := _newest_record(customer)) != printed:
        _print_record(_newest_event(customer), record)
    output.say("")
    if (news := explanation.newer_outcome) is not None:
        output.say(_last_known(explanation, news))
    output.say(f"Now: {_now(explanation)}")
    for entry in explanation.entries:
        output.say(f"  {_member(explanation, entry)}")
    if live is not None:
        output.say(f"  {_live(explanation, live)}")
    output.say(f"Next: {explanation.next_step(live).sentence}")


_NO_RECEIPT = (
    "no receipt is left here: it is too old, another database has it, or the worker was killed before it stored it"
)


def _last_known(explanation: Explanation, news: CustomerOutcome) -> str:
    last = explanation.receipts[-1] if explanation.receipts else None
    read_since = last is not None and (news.run is None or news.event_id == last.event_id)
    why = "since the last receipt" if read_since else _NO_RECEIPT
    where = f" on {explanation.list_name(news.list_id)}" if news.list_id is not None else ""
    by = {"person": "the person", "mailchimp": "somebody in Mailchimp", "worker": "this worker"}.get(news.caused_by)
    status = f"{news.member_status}{where} since {news.since}, by {by or news.caused_by}"
    return f"Last outcome ({why}): {status}. {news.reason}"


class _Record(NamedTuple):
    """An event's record in Kafka."""

    event_id: str | None
    topic: str
    partition: int
    offset: int


def _record_of(receipt: Receipt) -> _Record:
    return _Record(receipt.event_id, receipt.topic, receipt.partition, receipt.offset)


def _newest_record(customer: Customer) -> _Record:
    at = customer.position
    return _Record(customer.event_id, at.topic, at.partition, at.offset)


def _newest_event(customer: Customer) -> str:
    return event_name(customer.event_id, deletion=customer.deleted, event_time=customer.event_time)


def _brought_by(receipt: Receipt, customer: Customer | None) -> str:
    if customer is not None and _record_of(receipt) == _newest_record(customer):
        return _newest_event(customer)
    # Only the receipt is left of an earlier event.
    return event_name(receipt.event_id, deletion=receipt.outcome in (Outcome.ARCHIVED, Outcome.DELETED))


def _print_record(name: str, record: _Record) -> None:
    output.say(f"  {name}, read from {record.topic}, partition {record.partition}, offset {record.offset}")


def _print_receipt(explanation: Explanation, receipt: Receipt) -> None:
    membership = ""
    if receipt.list_id is not None:
        membership = f" · {receipt.address} on {explanation.list_name(receipt.list_id)}"
        membership += f", {receipt.list_reason}" if receipt.list_reason else ""
    output.say(f"    {receipt.at}  run {receipt.run}  {receipt.outcome}{membership}")
    output.say(f"      {receipt.detail}")
    if receipt.call is not None:
        sent, body = (f"  {output.one_line(part)}" if part else "" for part in (receipt.sent, receipt.answer))
        output.say(f"      call:   {receipt.call}{sent}")
        answer = "none" if receipt.answer_status is None else str(receipt.answer_status)
        output.say(f"      answer: {answer}{body}")
    output.say(f"      next:   {receipt.next}")


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
        return f"{where}: an add began at {entry.sent_at}, and its answer is not known yet"
    if awaits_confirmation(entry):
        return f"{where}: left, and not subscribed again; last seen {entry.member_status} at {entry.sent_at}"
    if entry.state == "gone" and entry.address_now is not None:
        return (
            f"{where}: the person changed the address to {entry.address_now}; {entry.member_status} at {entry.sent_at}"
        )
    if entry.state == "gone":
        return f"{where}: no longer a member when last read at {entry.sent_at}"
    origin = "added by this worker" if entry.origin == "added" else "found there, not added by this worker"
    off = f"{status_after(entry.status_before)} by this worker"
    status = off if entry.state == "archived" else entry.member_status
    ours = [name for name, state in (entry.member_tags or {}).items() if state == "set"]
    tags = f"; tags set by this worker: {', '.join(ours)}" if ours else ""
    return f"{where}: last seen {status} at {entry.sent_at}; {origin}{tags}"


def _live(explanation: Explanation, live: LiveMember) -> str:
    where = f"{live.membership.address} on {explanation.list_name(live.membership.list_id)}"
    if live.problem is not None:
        return f"{where}: the current status could not be read: {live.problem}"
    if live.status is None:
        return f"{where}: not a member in Mailchimp now"
    changed = f", last changed at {live.last_changed}" if live.last_changed else ""
    return f"{where}: {live.status} in Mailchimp now{changed}"
