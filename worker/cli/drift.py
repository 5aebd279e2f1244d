"""``resync ID --from-mailchimp``: differences between an account's lists in Mailchimp and the ledger."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict

from worker.accounts import settings
from worker.app import App
from worker.cli import output
from worker.cli.context import changing
from worker.cli.progress import Progress
from worker.clock import as_text
from worker.errors import MailchimpError
from worker.flush.drift import Comparison, Drift, Edited, without
from worker.flush.learning import write_page
from worker.flush.list_readings import WHOLE, Page, read_list
from worker.mailchimp.call import Sender
from worker.mailchimp.rate_limit import Stop
from worker.model import AccountId
from worker.sqlite.changed_rows import Changed, Rows
from worker.sqlite.database import Database
from worker.store import accounts, customers, ledger
from worker.store.readings import Reading
from worker.text.plural import counted

NAMED = 20
"""Members named for people; --json names more."""


def compare_with_mailchimp(app: App, account_id: AccountId, stop: Stop, *, overwrite: bool, json: bool) -> None:
    """Reads every stored list in full, prints the differences, and records statuses as a daily reading does.

    Args:
        overwrite: whether the next flush sends edited fields again.

    Raises:
        MailchimpError: a list could not be read.
        KafkaError: the statuses cannot be written.
    """
    with changing(app, lambda db: [account_id]) as db:
        settings.load(db, account_id)
        found = []
        with app.open_sender(db, account_id, stop) as sender, Progress("comparing") as progress:
            for one in differences(app, db, account_id, sender, stop, progress, writes=True, overwrite=overwrite):
                found.append(one)
    if json:
        output.as_json({"account_id": account_id, "overwrite": overwrite, "lists": [asdict(one) for one in found]})
        return
    _tell(account_id, found, overwrite=overwrite)


def differences(
    app: App,
    db: Database,
    account_id: AccountId,
    sender: Sender,
    stop: Stop,
    progress: Progress,
    *,
    writes: bool,
    overwrite: bool = False,
) -> Iterator[Drift]:
    """Compares every stored list of an account that Mailchimp still has.

    Args:
        writes: whether to write what the members' statuses reveal.

    Raises:
        MailchimpError: a list could not be read.
    """
    chosen, done = settings.load(db, account_id), 0
    others = accounts.stored_by_others(db, account_id)
    for on_list in chosen.stored:
        if on_list.gone:
            continue
        at, strangers = as_text(app.clock()), on_list.list_id not in others
        comparison = Comparison(db, account_id, app.hashes_of(account_id), at, Drift(on_list.list_id))

        def keep(page: Page, comparison: Comparison = comparison, at: str = at, strangers: bool = strangers) -> None:
            nonlocal done
            _, moved, edited = comparison.take(page, strangers=strangers)
            done += len(page.new)
            progress.counted(done)
            if not writes:
                return

            def write() -> Changed[None]:
                rows = write_page(db, account_id, page, at, strangers=strangers, moved=moved)
                return Changed(None, rows + (_forget_sent(db, account_id, page, edited) if overwrite else []))

            app.changelog.commit(db, write)

        refused = read_list(
            sender, on_list.list_id, Reading(WHOLE[0], None, whole=True), None, keep, stop.wait, fields=True
        )
        if refused is not None:
            raise MailchimpError(
                f"List {on_list.name} ({on_list.list_id}) could not be read: {refused.title}.",
                "Nothing is lost. Run the command again later.",
            )
        yield comparison.end()


def _forget_sent(db: Database, account_id: AccountId, page: Page, edited: Sequence[Edited]) -> Rows:
    addresses = [one.address for one in edited]
    there = [one for one in ledger.entries_of(db, account_id, addresses) if one.membership.list_id == page.list_id]
    rows = ledger.put_entries(db, account_id, without(there, edited))
    return rows + customers.reopen(db, account_id, [one.customer_id for one in edited])


def _tell(account_id: AccountId, found: Sequence[Drift], *, overwrite: bool) -> None:
    columns = ("list", "members", "unknown", "edited by hand", "statuses", "vanished", "appeared")
    rows = [
        (one.list_id, one.members, one.unknown, one.edited, one.statuses, one.vanished, one.appeared) for one in found
    ]
    output.table(columns, rows)
    for one in found:
        for each in one.examples[:NAMED]:
            output.say(f"{each.address} on {one.list_id}: edited in Mailchimp: {', '.join(each.tags)}")
        for address in one.gone[:NAMED]:
            output.say(f"{address} on {one.list_id}: no longer in Mailchimp")
        named = min(NAMED, len(one.examples)) + min(NAMED, len(one.gone))
        if (more := one.edited + one.vanished - named) > 0:
            output.say(f"{counted(more, 'more member')} of list {one.list_id}: see --json")
    edited = sum(one.edited for one in found)
    if edited and overwrite:
        output.say(
            f"The next flush sends the edited fields of {counted(edited, 'member')} again. It changes no status."
        )
    elif edited:
        output.say(
            f"Edited fields stay. To overwrite them with billmywork's values: resync {account_id} "
            "--from-mailchimp --overwrite"
        )
    else:
        output.say("No field was edited by hand. No status was changed in Mailchimp.")
