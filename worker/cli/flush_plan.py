"""Shows what a flush would do: ``mailchimp-worker flush --plan``."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from worker.accounts.settings import missing_before_calls
from worker.app import App
from worker.cli import output
from worker.errors import NotPlanned
from worker.flush.plan_preview import AccountPlan
from worker.flush.run import to_deliver
from worker.mailchimp.calls import member_hash
from worker.model import AccountId, ListId
from worker.plan.planned_calls import PlannedCall
from worker.plan.summary import KINDS
from worker.sqlite.database import Database
from worker.status.left_out import sentences
from worker.store.accounts import AccountSettings
from worker.text.plural import counted, some_of

NAMED = 5
"""Customers named beside a call; for more, see the addresses in its body."""


def show(app: App, db: Database, account_id: AccountId | None, *, confirmed: bool, calls: bool, json: bool) -> None:
    """Prints the plan of one account, or of all that have changed customers. Read-only, here and in Mailchimp.

    Raises:
        NotPlanned: some accounts could not be planned; the others were printed.
        SecretKeyError: an API key cannot be decrypted.
    """
    not_planned = list[AccountId]()
    chosen = [settings for settings in to_deliver(db) if account_id in (None, settings.account_id)]
    if json:
        # Streamed: a plan may have more calls than fit in memory.
        sys.stdout.write("[")
        for number, settings in enumerate(chosen):
            sys.stdout.write(",\n" if number else "\n")
            if not _write_json(app, db, settings, confirmed=confirmed):
                not_planned.append(settings.account_id)
        sys.stdout.write("\n]\n")
    else:
        if not chosen:
            output.say("Nothing has changed since the last flush, so nothing would be sent.")
        for settings in chosen:
            if not _print_plan(app, db, settings, confirmed=confirmed, calls=calls):
                not_planned.append(settings.account_id)
    if not_planned:
        raise NotPlanned(
            f"{counted(len(not_planned), 'account')} could not be planned, because Mailchimp gave no useful answer: "
            f"{some_of(not_planned)}.",
            "Nothing was changed. `check` says what is wrong; try again once Mailchimp answers.",
        )


def _print_plan(app: App, db: Database, settings: AccountSettings, *, confirmed: bool, calls: bool) -> bool:
    # Returns whether the account could be planned.
    output.say(f"Account {settings.account_id}")
    if lacking := missing_before_calls(settings):
        output.say(f"  Nothing would be sent. {lacking[0].message} {lacking[0].advice}")
        return True
    with _planned(app, db, settings, confirmed=confirmed) as plan:
        if plan.problem is not None:
            verdict = "Not planned" if plan.unanswered else "Nothing would be sent"
            output.say(" ".join(filter(None, (f"  {verdict}.", plan.problem, plan.advice))))
        else:
            _print_counts(plan)
        for notice in plan.notices:
            output.say(f"  {notice}")
        if calls:
            for number, planned in enumerate(plan.calls(), 1):
                _print_call(number, planned)
    return not plan.unanswered


@contextmanager
def _planned(app: App, db: Database, settings: AccountSettings, *, confirmed: bool) -> Iterator[AccountPlan]:
    with app.open_client_of(db, settings.account_id) as sender:
        yield app.plan_of(db, settings, sender, confirmed=confirmed)


def _print_counts(plan: AccountPlan) -> None:
    counts = plan.summary.counts
    used = [kind for kind in KINDS if any(counts[key] for key in counts if key[1] == kind)]
    names: dict[ListId | None, str] = {key: plan.settings.label_of(key) for key in sorted(plan.summary.lists)}
    if any(list_id is None for list_id, _ in counts):
        names[None] = "no list"
    rows = [[name, *(counts[list_id, kind] for kind in used)] for list_id, name in names.items()]
    output.table(("list", *used), rows)
    for line in sentences(plan.summary.left_out.rows(), plan.settings):
        output.say(f"  {line}")
    for reason, count in plan.summary.why.most_common():
        output.say(f"  {counted(count, 'time')}: {reason}")


def _print_call(number: int, planned: PlannedCall) -> None:
    condition = f"  {planned.when}:" if planned.when else ""
    call = str(planned.call)
    if planned.address is not None:
        call = call.replace(member_hash(planned.address), planned.address)
    whom = f"  (customer {', '.join(planned.customers)})" if 0 < len(planned.customers) <= NAMED else ""
    output.say(f"{number:6}{condition} {call}{whom}")
    if planned.call.body is not None:
        output.say(f"         {output.one_line(planned.call.body)}")


def _write_json(app: App, db: Database, settings: AccountSettings, *, confirmed: bool) -> bool:
    # Returns whether the account could be planned.
    head: dict[str, Any] = {"account_id": settings.account_id}
    if lacking := missing_before_calls(settings):
        sys.stdout.write(output.one_line(head | {"problem": lacking[0].message, "advice": lacking[0].advice}))
        return True
    with _planned(app, db, settings, confirmed=confirmed) as plan:
        head |= {
            "problem": plan.problem,
            **({"advice": plan.advice} if plan.advice is not None else {}),
            "customers": plan.summary.customers,
            "counts": [
                {"list_id": list_id, "what": kind, "contacts": count}
                for (list_id, kind), count in sorted(plan.summary.counts.items(), key=str)
            ],
            "reasons": dict(plan.summary.why),
            "left_out": [asdict(row) for row in plan.summary.left_out.rows()],
            "notices": list(plan.notices),
        }
        sys.stdout.write(output.one_line(head)[:-1] + ', "calls": [')
        for number, call in enumerate(_json_calls(plan)):
            sys.stdout.write((",\n" if number else "\n") + output.one_line(call))
        sys.stdout.write("\n]}")
        return not plan.unanswered


def _json_calls(plan: AccountPlan) -> Iterator[dict[str, Any]]:
    for planned in plan.calls():
        yield {
            "method": planned.call.method,
            "path": planned.call.path,
            "query": dict(planned.call.query),
            "body": planned.call.body,
            "reads_only": planned.call.reads_only,
            "if": planned.when,
            "email": planned.address,
            "customer_ids": planned.customers,
        }
