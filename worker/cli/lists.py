"""Commands on accounts' lists: ``mailchimp-worker lists …``."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from contextlib import closing
from dataclasses import replace
from typing import Annotated

import typer

from worker.accounts import lists as account_lists
from worker.accounts import settings
from worker.cli import consequences, output
from worker.cli.context import AccountArgument, Json, Yes, change, changing, load_app
from worker.clock import as_text
from worker.errors import UsageError
from worker.fields import field_mapping
from worker.fields.field_mapping import MappedField
from worker.model import AccountId, ListId
from worker.status.json_data import lists_data, mapping_data
from worker.store import customers
from worker.store.accounts import AccountList, AccountSettings

commands = typer.Typer(no_args_is_help=True, help="Manage an account's lists: refresh, store, map fields.")


@commands.command()
def refresh(account: AccountArgument, json: Json = False) -> None:
    """Read the account's lists from Mailchimp. New lists are used only after you store them."""
    app = load_app()
    with changing(app) as db:
        refreshed = account_lists.refresh(
            db, app.changelog, AccountId(account), secret=app.secret, open_sender=app.open_client, at=app.clock()
        )
    if json:
        output.as_json(lists_data(refreshed.settings))
        return
    for label, lists in (
        ("New", refreshed.new),
        ("Gone from Mailchimp", refreshed.missing),
        ("Back in Mailchimp", refreshed.back),
    ):
        if lists:
            output.say(f"{label}: {', '.join(account_list.label for account_list in lists)}")
    _print(refreshed.settings)


@commands.command()
def show(account: AccountArgument, json: Json = False) -> None:
    """Show the account's lists as the last refresh found them."""
    app = load_app()
    with closing(app.open_existing()) as db:
        account_settings = settings.load(db, AccountId(account))
    if json:
        output.as_json(lists_data(account_settings))
    else:
        _print(account_settings)


@commands.command()
def store(
    account: AccountArgument,
    lists: Annotated[list[str] | None, typer.Argument(metavar="LIST", help="Ids of the lists to use.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Use every list that the last refresh found.")] = False,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Use exactly these lists. Says what the next flush will do, and asks first if many members would leave one."""
    if every == bool(lists):
        raise UsageError("No list was named.", "Name the ids of the lists to store, or use --all.")
    app = load_app()
    list_ids = None if every else [ListId(list_id) for list_id in lists or ()]
    with changing(app) as db:
        before = settings.load(db, AccountId(account))
        after = account_lists.with_stored(before, list_ids)
        changed = after.stored_ids != before.stored_ids
        confirmed = consequences.announce(app, db, after, every=changed, yes=yes, json=json)
        account_settings = change(
            app,
            db,
            account,
            lambda current: replace(account_lists.with_stored(current, list_ids), confirmed=confirmed),
        )
    if json:
        output.as_json(lists_data(account_settings))
        return
    _print(account_settings)
    if account_settings.master_list is None:
        output.say(f"Next: choose the master list: mailchimp-worker lists master {account} LIST")


@commands.command()
def master(
    account: AccountArgument,
    list_id: Annotated[str, typer.Argument(metavar="LIST", help="Id of a stored list.")],
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Choose the list for customers without a stored list of their own. Says what the next flush will do, and asks."""
    app = load_app()
    with changing(app) as db:
        before = settings.load(db, AccountId(account))
        after = account_lists.with_master(before, ListId(list_id))
        every = after.master_list != before.master_list
        confirmed = consequences.announce(app, db, after, every=every, yes=yes, json=json)
        account_settings = change(
            app,
            db,
            account,
            lambda current: replace(account_lists.with_master(current, ListId(list_id)), confirmed=confirmed),
        )
    if json:
        output.as_json(lists_data(account_settings))
        return
    chosen = account_settings.list_of(list_id)
    output.say(f"{chosen.name if chosen else list_id} ({list_id}) is the master list of account {account}.")
    if lacking := settings.missing(account_settings):
        output.say(f"Next: {lacking[0].message} {lacking[0].advice}")


@commands.command(name="map")
def map_fields(
    account: AccountArgument,
    list_id: Annotated[str, typer.Argument(metavar="LIST", help="Id of one of its lists.")],
    fields: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="TAG=ATTRIBUTE",
            help="A merge field, and the attribute or customer's field to send there; TAG= sends nothing.",
        ),
    ] = None,
    clear: Annotated[bool, typer.Option("--clear", help="Reset to the default first.")] = False,
    json: Json = False,
) -> None:
    """Show or choose which fields and attributes of customers go to which merge fields of a list."""
    app, assignments, chosen_list = load_app(), _assignments(fields or ()), ListId(list_id)
    account_id, changes = AccountId(account), bool(assignments) or clear
    with changing(app) if changes else closing(app.open_existing()) as db:
        on_list, available = account_lists.merge_fields_of(
            db, account_id, chosen_list, secret=app.secret, open_sender=app.open_client
        )
        if changes:
            before = {} if clear else dict(on_list.merge_fields or {})
            mapping = field_mapping.checked(account_id, chosen_list, before | assignments, available)
            change(app, db, account, lambda current: account_lists.with_fields(current, chosen_list, mapping))
            on_list = replace(on_list, merge_fields=mapping or None)
        mapped_fields = field_mapping.mapped(on_list, available)
        attributes = customers.attribute_names(db, account_id)
    if json:
        output.as_json({"list_id": list_id, "fields": mapping_data(mapped_fields)})
        return
    output.table(
        ("tag", "name", "type", "gets", "notes"),
        [
            (
                mapped.tag,
                mapped.field.name if mapped.field is not None else "",
                mapped.field.type if mapped.field is not None else "",
                mapped.source or "nothing",
                _of_field(mapped, attributes),
            )
            for mapped in mapped_fields
        ],
    )
    if changes:
        output.say("The next flush checks every customer again and sends what differs.")


def _assignments(arguments: Iterable[str]) -> dict[str, str]:
    sources = {}
    for argument in arguments:
        tag, equals, source = argument.partition("=")
        if not equals or not tag.strip():
            raise UsageError(
                f"{argument} is not a field mapping.",
                "Write TAG=ATTRIBUTE, such as BIRTHDAY=birthday, or TAG= to send nothing.",
            )
        sources[tag.strip().upper()] = source.strip()
    return sources


def _of_field(mapped: MappedField, attributes: Collection[str]) -> str:
    if mapped.field is None:
        return "the list has no such field: not sent"
    if mapped.source is None:
        return "chosen" if mapped.chosen else ""
    why = field_mapping.unfit(mapped.source, mapped.field)
    if why is None and mapped.source not in (*field_mapping.CUSTOMER_FIELDS, *attributes):
        why = f"no customer has an attribute {mapped.source} yet"
    return why or ("chosen" if mapped.chosen else "")


def _print(account_settings: AccountSettings) -> None:
    if not account_settings.lists:
        output.say(
            "No lists are known. Read them from Mailchimp: mailchimp-worker lists refresh "
            + account_settings.account_id
            if account_settings.refreshed_at is None
            else "The account has no lists in Mailchimp. Create one there, then refresh again."
        )
        return
    output.table(
        ("list", "name", "members", "use", "notes"),
        [
            (
                account_list.list_id,
                account_list.name,
                account_list.member_count,
                _use(account_settings, account_list),
                _notes(account_list),
            )
            for account_list in account_settings.lists
        ],
    )


def _use(account_settings: AccountSettings, account_list: AccountList) -> str:
    if account_list.list_id == account_settings.master_list:
        return "master list"
    return "stored" if account_list.stored else "not stored"


def _notes(account_list: AccountList) -> str:
    notes = []
    if account_list.gone_at:
        notes.append(f"gone from Mailchimp since {as_text(account_list.gone_at)}; each flush looks for it again")
    if account_list.pause:
        notes.append(f"paused since {as_text(account_list.pause.since)}: {account_list.pause.reason}")
    if account_list.marketing_permissions:
        notes.append("asks for marketing permissions: contacts are added without any")
    return "; ".join(notes)
