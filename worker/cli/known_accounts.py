"""Which accounts a command can be asked about."""

from __future__ import annotations

from worker.cli.output import some_of
from worker.errors import NotFound
from worker.model import AccountId
from worker.store import accounts, offsets
from worker.store.database import Database


def known_account(db: Database, account: str | None) -> AccountId | None:
    """Returns the account that was named; None where none was.

    Raises:
        NotFound: it has neither settings nor events here; names those that have.
    """
    if account is None:
        return None
    known = {one.account_id for one in accounts.all_accounts(db)} | offsets.accounts_read(db)
    if account not in known:
        raise NotFound(
            f"There is no account {account} here.",
            f"Accounts here: {some_of(sorted(known))}." if known else "No account is connected or was read yet.",
        )
    return AccountId(account)
