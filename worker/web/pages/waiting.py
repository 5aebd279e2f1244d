"""The people whose changes the next sync delivers."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from worker.model import Customer
from worker.store import bare_customers, customers
from worker.store.accounts import AccountSettings
from worker.web.account_reader import settings_of
from worker.web.call import Call
from worker.web.pages.layout import page
from worker.web.pages.people import MOST_SHOWN, name_of


def show(call: Call) -> Response:
    """Shows the waiting customers, ordered by their billmywork ids, up to a limit."""
    settings = settings_of(call)
    waiting = customers.changed(call.db, call.account, None, MOST_SHOWN)
    bare = bare_customers.of_account(call.db, call.account)
    unread = bare.count if bare is not None and bare.reading else 0
    return page(
        call,
        "waiting.html",
        title="People waiting for the next sync",
        rows=[_row(customer, settings) for customer in waiting],
        count=customers.changed_count(call.db, call.account) - unread,
        unread=unread,
    )


def _row(customer: Customer, settings: AccountSettings) -> dict[str, Any]:
    return {
        "name": name_of(customer),
        "email": customer.address,
        "list": _list_name(customer, settings),
        "sentence": _sentence(customer),
    }


def _list_name(customer: Customer, settings: AccountSettings) -> str | None:
    if customer.deleted or settings.master_list is None:
        return None
    chosen = settings.list_of(settings.target_list(customer, None).list_id)
    return chosen.name if chosen is not None else None


def _sentence(customer: Customer) -> str:
    if customer.deleted:
        return "Deleted in billmywork: taken off your lists if the sync added them."
    if customer.state.marketing_consent is False:
        return "Does not want marketing: unsubscribed where subscribed, and added nowhere."
    if customer.address is None:
        return "Has no e-mail address, so nothing is sent."
    return "New, changed, or to be checked again."
