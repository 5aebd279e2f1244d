"""Erases an account, or one person, from what is kept here. Nothing is changed in Mailchimp."""

from __future__ import annotations

from worker.errors import DatabaseError
from worker.model import AccountId, AddressKey
from worker.staging import accounts, customers, dead_letters, ledger, receipts, runs
from worker.staging.database import Database


def forget_account(db: Database, account_id: AccountId) -> None:
    """Removes an account's API key, settings, lists, ledger, standings, receipts and parts of runs.

    Its customers stay staged, and changed: they came from the log, and would be delivered should it connect again.

    Raises:
        DatabaseError: nothing is removed; or it is, but its bytes may still be in the file.
    """
    with db.transaction(erase=True):
        accounts.delete(db, account_id)
        ledger.delete_account(db, account_id)
        receipts.delete_account(db, account_id)
        runs.delete_account(db, account_id)
        customers.mark_changed(db, account_id, None)
    _leave_no_trace(db)


def forget_person(db: Database, address: AddressKey) -> dict[str, int]:
    """Erases whoever has or ever had an address: customers, ledger, standings, receipts and dead letters.

    Returns:
        How many rows of each kind went. An event published later brings the person back.

    Raises:
        DatabaseError: nothing is erased; or it is, but its bytes may still be in the file.
    """
    with db.transaction(erase=True):
        people = sorted(
            {(one.account_id, one.customer_id) for one in receipts.find(db, address=address)}
            | {(one.account_id, one.customer_id) for one in customers.find_by_address(db, address, None)}
            | set(ledger.customers_at(db, address))  # receipts are kept for a time only
        )
        gone = {
            "receipts": receipts.delete_customers(db, people),
            "places": ledger.delete_customers(db, people, address),
            "customers": customers.delete(db, people),
            "dead letters": dead_letters.drop_mentioning(db, address),
        }
    _leave_no_trace(db)
    return gone


def _leave_no_trace(db: Database) -> None:
    # Although SQLite overwrites what it removes, cells that it moved before, to make room in a page, leave copies.
    try:
        db.make_anew()
    except DatabaseError as error:
        raise DatabaseError(
            f"All of it is removed, but its bytes may still be in the file: {error.what}",
            f"{error.advice} Then mailchimp-worker forget EMAIL, with this or any address, writes the file anew.",
        ) from error
