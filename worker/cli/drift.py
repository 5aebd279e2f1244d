"""``resync ID --from-mailchimp``: differences between an account's lists in Mailchimp and the ledger."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace

from worker.accounts import settings
from worker.accounts.hash_key import address_hashes, create_hash_key
from worker.app import App
from worker.cli import output
from worker.cli.context import changing
from worker.cli.progress import Progress
from worker.clock import Stop, as_text
from worker.errors import MailchimpError
from worker.flush.list_readings import Page, read_list
from worker.flush.member_pages import write_page
from worker.flush.members_to_read import WHOLE, MembersToRead
from worker.model import AccountId
from worker.sqlite.database import Database
from worker.sqlite.rows import Changed, Rows
from worker.status.drift import Comparison, Drift, Edited, without
from worker.store import accounts, customers, ledger
from worker.store.readings import Reading
from worker.text.plural import counted

NAMED = 20
"""Members named for people; --json names more."""


def compare_with_mailchimp(app: App, account_id: AccountId, stop: Stop, *, overwrite: bool, json: bool) -> None:
    """Reads every stored list in full, prints the differences, and records statuses as a daily reading does.

    Raises:
        MailchimpError: a list could not be read.
        KafkaError: the statuses cannot be written.
    """
    with changing(app, lambda db: [account_id]) as db:
        settings.load(db, account_id)
        with Progress("comparing") as progress:
            drifts = list(differences(app, db, account_id, stop, progress, writes=True, overwrite=overwrite))
    if json:
        output.as_json({"account_id": account_id, "overwrite": overwrite, "lists": [asdict(drift) for drift in drifts]})
        return
    _print_drifts(account_id, drifts, overwrite=overwrite)


def differences(
    app: App,
    db: Database,
    account_id: AccountId,
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
    account_settings, members_read = settings.load(db, account_id), 0
    stored_by_others = accounts.stored_by_others(db, account_id)
    with app.open_sender(db, account_id, stop) as sender:
        if writes:
            # Only once the secret key has decrypted the API key: another one would replace the key of the hashes.
            create_hash_key(db, app.changelog, app.secret)
        hashes = address_hashes(db, account_id, app.secret)
        for on_list in account_settings.stored:
            if on_list.gone:
                continue
            at, strangers = as_text(app.clock()), on_list.list_id not in stored_by_others
            comparison = Comparison(db, account_id, app.hashes_of(account_id), at, Drift(on_list.list_id))

            def keep(page: Page, comparison: Comparison = comparison, strangers: bool = strangers) -> None:
                nonlocal members_read
                read, edited = comparison.take(page, strangers=strangers)
                members_read += len(page.new)
                progress.counted(members_read)
                if not writes:
                    return

                def write() -> Changed[None]:
                    rows = write_page(db, replace(read, hashes=hashes))
                    return Changed(None, rows + (_forget_sent(db, account_id, page, edited) if overwrite else []))

                app.changelog.commit(db, write)

            everybody = MembersToRead(
                on_list.list_id,
                Reading(WHOLE[0], None, whole=True, strangers=True, contacts=True),
                None,
                fields=True,
            )
            refused = read_list(sender, everybody, keep, stop.wait)
            if refused is not None:
                raise MailchimpError(
                    f"List {on_list.label} could not be read: {refused.title}.",
                    "Nothing is lost. Run the command again later.",
                )
            yield comparison.end()


def _forget_sent(db: Database, account_id: AccountId, page: Page, edited: Sequence[Edited]) -> Rows:
    addresses = [member.address for member in edited]
    entries = [
        entry for entry in ledger.entries_of(db, account_id, addresses) if entry.membership.list_id == page.list_id
    ]
    rows = ledger.put_entries(db, account_id, without(entries, edited))
    return rows + customers.reopen(db, account_id, [member.customer_id for member in edited])


def _print_drifts(account_id: AccountId, drifts: Sequence[Drift], *, overwrite: bool) -> None:
    columns = ("list", "members", "unknown", "edited by hand", "statuses", "vanished", "appeared")
    rows = [
        (drift.list_id, drift.members, drift.unknown, drift.edited, drift.statuses, drift.vanished, drift.appeared)
        for drift in drifts
    ]
    output.table(columns, rows)
    for drift in drifts:
        for example in drift.examples[:NAMED]:
            output.say(f"{example.address} on {drift.list_id}: edited in Mailchimp: {', '.join(example.tags)}")
        for address in drift.missing[:NAMED]:
            output.say(f"{address} on {drift.list_id}: no longer in Mailchimp")
        named = min(NAMED, len(drift.examples)) + min(NAMED, len(drift.missing))
        if (more := drift.edited + drift.vanished - named) > 0:
            output.say(f"{counted(more, 'more member')} of list {drift.list_id}: see --json")
    edited = sum(drift.edited for drift in drifts)
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
