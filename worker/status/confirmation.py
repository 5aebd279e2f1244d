"""What `flush --account ID --confirm` confirms, and what it cannot. Does no I/O."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from worker.accounts.settings import LOOKED_FOR
from worker.clock import as_moment
from worker.status.account_state import held_in_words
from worker.store.accounts import AccountSettings
from worker.store.held_counts import HeldCount, is_confirmed


def confirmation_in_words(settings: AccountSettings, counts: Sequence[HeldCount], now: datetime) -> Iterator[str]:
    """Yields sentences for the operator who confirms.

    Args:
        counts: what the account's last flush held back, at any time.
    """
    account_id = settings.account_id
    fresh = [held_count for held_count in counts if is_confirmed(held_count, now, now)]
    for held_count in fresh:
        unseen = " People who left it unseen are added elsewhere." if held_count.kind == "moves" else ""
        yield f"Confirmed: {held_in_words(settings, held_count)}.{unseen}"
    if any(as_moment(held_count.shown_at) > now for held_count in counts):
        yield "Nothing is confirmed: the clock was set back since the last flush. This one counts again."
    elif counts and not fresh:
        yield "Nothing is confirmed: the flush that held changes back is more than an hour ago. This one counts again."
    elif not fresh:
        yield f"Nothing is confirmed: the last flush of account {account_id} held back nothing that you can confirm."
    for mailing_list in settings.stored:
        if mailing_list.gone:
            yield (
                f"List {mailing_list.label} is gone from Mailchimp and still stored, so its customers wait. "
                f"{LOOKED_FOR} store another one: mailchimp-worker lists store {account_id} LIST... The next flush "
                "then says how many customers would move, and you confirm that."
            )
