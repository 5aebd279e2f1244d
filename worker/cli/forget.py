"""``mailchimp-worker forget``: erases one person, here and at every other worker."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Literal

import typer

from worker.accounts.erasures import request_person
from worker.accounts.forget import forget_person, known_at, people_at, rows_of
from worker.app import App
from worker.cli import output
from worker.cli.context import Json, address_of, changing, despite_workers, load_app
from worker.cli.progress import Progress
from worker.clock import as_text
from worker.consumer.instance import instance_of
from worker.kafka.group import members_of
from worker.mailchimp import calls
from worker.mailchimp.errors import error_for
from worker.model import AccountId, AddressKey, CustomerId
from worker.sqlite.database import Database
from worker.sqlite.existing import is_there
from worker.sqlite.rows import Changed
from worker.store import bare_customers, customers, erasure_requests, ledger, ledger_erasure
from worker.store.ledger import LedgerEntry
from worker.text.plural import counted, some_of

_NAMES = {"places": "list entry", "dead letters": "dead letter", "receipts": "receipt", "customers": "customer"}
_COUNTED = {"places": "list_entries", "dead letters": "dead_letters"}
_Members = list[tuple[AccountId, LedgerEntry]]


def forget(
    email: Annotated[str, typer.Argument(metavar="EMAIL", help="The person's address.")],
    archive: Annotated[
        bool | None,
        typer.Option(
            "--archive/--keep-members",
            help="Archive all members of this person in Mailchimp too, or keep them. Default: ask.",
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask. Without --archive, members stay.")] = False,
    json: Json = False,
) -> None:
    """Erase one person at every worker: customers, ledger, receipts and dead letters.

    First delete the customer in billmywork and flush; then forget. Run it at any worker, even during a flush.
    """
    address = address_of(email)
    app = load_app()
    not_deleted, members = _known(app, address)
    _print_order(not_deleted)
    output.confirm(f"Erase everything that the workers know about {address}?", yes=yes)
    if archive is None:
        archive = (
            bool(members)
            and not yes
            and output.ask(f"Archive {counted(len(members), 'member')} of this address in Mailchimp too?")
        )
    erasing = _Erasing(app, address, app.clock(), archive=archive)
    worker = despite_workers(erasing.carry_out)
    deleted, archived, stay = erasing.deleted, list(erasing.archived), [] if archive else list(erasing.members)
    if json:
        erased = {_COUNTED.get(kind, kind): count for kind, count in deleted.items()}
        data = {"email": address, "erased": erased, "archived": archived, "members_left": stay, "done_by": worker}
        output.as_json(data | {"running_worker_erased": erasing.by_worker, "customers_not_deleted": not_deleted})
        return
    for line in erased_in_words(address, deleted, erasing.by_worker, any_unconnected=erasing.any_unconnected):
        output.say(line)
    _print_what_remains(app, archived, stay, worker)


@dataclass
class _Erasing:
    """What has been erased so far, over all attempts.

    Attributes:
        members: of the person, as "LIST of ACCOUNT", in the order found.
        deleted: deleted rows of each kind, including those deleted by the running worker, which carries out the request
            too when the command has to start again.
        any_unconnected: whether customers are staged without their addresses, because their account is not connected.
    """

    app: App
    address: AddressKey
    at: datetime
    archive: bool
    members: dict[str, None] = field(default_factory=dict)
    archived: dict[str, None] = field(default_factory=dict)
    deleted: dict[str, int] = field(default_factory=dict)
    any_unconnected: bool = False
    _people: list[tuple[AccountId, CustomerId]] = field(default_factory=list)
    _before: dict[str, int] = field(default_factory=dict)
    _left: dict[str, int] = field(default_factory=dict)
    _mine: bool = False
    _worker_too: bool = False

    @property
    def by_worker(self) -> Literal["all", "part"] | None:
        """How much the running worker erased between two attempts; None for nothing."""
        return ("part" if self._mine else "all") if self._worker_too else None

    def carry_out(self) -> str:
        """Erases what is left; returns the name of this database's worker.

        Raises:
            WriterFenced: a worker took over a partition meanwhile; what was erased before stays erased.
        """
        app, address = self.app, self.address
        with (
            changing(app, lambda db: [account_id for account_id, _ in people_at(db, address)]) as db,
            Progress() as progress,
        ):
            if not self._before:
                self._people, _ = known_at(db, address)
                self._before = self._left = rows_of(db, address, self._people)
            rows_now = rows_of(db, address, self._people)
            if any(count < self._left[kind] for kind, count in rows_now.items()):
                self._worker_too = True
            for account_id, entry in _members(db, address):
                name = f"{entry.membership.list_id} of {account_id}"
                self.members[name] = None
                if self.archive and name not in self.archived:
                    _archive(app, db, account_id, entry)
                    self.archived[name] = None
            try:
                digest = request_person(db, app.changelog, address, app.secret, self.at)
                forget_person(db, app.changelog, address, secret=app.secret, at=self.at, progress=progress.step)
            finally:
                self._left = rows_of(db, address, self._people)
                self._mine = self._mine or self._left != rows_now
            self.deleted = {kind: max(0, count - self._left[kind]) for kind, count in self._before.items()}
            self.any_unconnected = bare_customers.any_unconnected(db)
            worker = instance_of(db, "command")
            mine = [request for request in erasure_requests.all_requests(db) if request.digest == digest]
            done = as_text(app.clock())
            app.changelog.commit(db, lambda: Changed(None, erasure_requests.note_done(db, mine, worker, done)))
        return worker


def _known(app: App, address: AddressKey) -> tuple[list[str], _Members]:
    # Before asking anything, and without locking what a flush needs.
    if not is_there(app.config.staging.path):
        return [], []
    with closing(app.open_database()) as db:
        staged = [customer for customer in customers.find_by_address(db, address, None) if not customer.deleted]
        return [f"{customer.account_id}/{customer.customer_id}" for customer in staged], _members(db, address)


def _members(db: Database, address: AddressKey) -> _Members:
    accounts = sorted({account_id for account_id, _ in ledger_erasure.customers_at(db, address)})
    return [
        (account_id, entry)
        for account_id in accounts
        for entry in ledger.entries_of(db, account_id, [address])
        if entry.state == "present" and entry.member_status in ("subscribed", "unsubscribed")
    ]


def _archive(app: App, db: Database, account_id: AccountId, entry: LedgerEntry) -> None:
    with app.open_client_of(db, account_id) as client:
        answer = client.send(calls.archive(entry.membership))
    if not answer.empty and answer.status not in (404, 405):  # it is gone, or archived already
        error = error_for(answer)
        raise type(error)(f"Nothing was erased: {error.message}", f"{error.advice} Or give --keep-members.")


def _print_order(not_deleted: list[str]) -> None:
    if not_deleted:
        output.note(
            f"billmywork has not deleted {some_of(not_deleted)}. Delete it there first and flush, so that the "
            "member leaves its list; then forget. If you continue now, a later deletion finds nobody to archive, "
            "and any other event brings the customer back."
        )


def erased_in_words(
    address: AddressKey, deleted: Mapping[str, int], by_worker: str | None, *, any_unconnected: bool
) -> Iterator[str]:
    """Yields what was erased here as sentences.

    Args:
        deleted: deleted rows of each kind.
        by_worker: "all" or "part" if the running worker erased them; None if it did not.
        any_unconnected: whether customers are staged without their addresses, because their account is not connected.
    """
    erased = ", ".join(counted(count, _NAMES[kind]) for kind, count in deleted.items() if count)
    if not erased:
        yield f"This worker knows nothing about {address}. Check the spelling."
        if any_unconnected:
            yield (
                "Customers of accounts that are not connected are staged without their addresses. If the person is one "
                "of them, the worker erases it once the account is connected."
            )
        return
    yield f"Erased of {address} from this worker's database: {erased}."
    if by_worker is not None:
        share = "erased this" if by_worker == "all" else "erased part of this"
        yield f"The running worker {share}, because it took its partition back from this command."


def others_in_words(members: Collection[str], worker: str) -> str:
    """Returns which other workers still have to erase.

    Args:
        members: names of the workers in the group, including this one if it runs.
        worker: the name of this database's worker.
    """
    other_workers = sum(1 for name in members if not name.startswith(f"{worker} on "))
    now = f" ({counted(other_workers, 'other worker')} in the group now)" if other_workers else ""
    return (
        f"Every other worker erases its own copy, even one that is away{now}. mailchimp-worker status shows which have."
    )


def _print_what_remains(app: App, archived: list[str], stay: list[str], worker: str) -> None:
    if archived:
        output.say(f"Archived in Mailchimp: {some_of(archived)}.")
    if stay:
        output.say(f"Its members stay in Mailchimp: {some_of(stay)}. You can archive them there.")
    output.say(others_in_words([member.name for member in members_of(app.config.kafka) or ()], worker))
    output.say("Its events stay in Kafka until billmywork publishes the deletion. Delete earlier backups.")
