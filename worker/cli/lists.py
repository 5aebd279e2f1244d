"""Commands on accounts' lists: ``mailchimp-worker lists …``."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace
from typing import Annotated

import typer

from worker.accounts import chosen_fields, settings
from worker.accounts import lists as account_lists
from worker.cli import follows, output
from worker.cli.context import AccountArgument, Json, author, changing, existing, wired
from worker.clock import as_text
from worker.errors import UsageError
from worker.fields import field_mapping
from worker.fields.field_mapping import MappedField
from worker.model import AccountId, ListId
from worker.status.json_data import lists_data, mapping_data
from worker.store import attribute_names
from worker.store.accounts import AccountList, AccountSettings

commands = typer.Typer(no_args_is_help=True, help="Manage an account's lists: refresh, store, map fields.")


@commands.command()
def refresh(account: AccountArgument, json: Json = False) -> None:
    """Read the account's lists from Mailchimp. New lists are used only after you store them."""
    app = wired()
    with changing(app) as db:
        found = account_lists.refresh(
            db, app.changelog, AccountId(account), secret=app.secret, open_sender=app.open_client, at=app.clock()
        )
    if json:
        output.as_json(lists_data(found.settings))
        return
    for what, lists in (("New", found.new), ("Gone from Mailchimp", found.gone), ("Back in Mailchimp", found.back)):
        if lists:
            output.say(f"{what}: {', '.join(f'{one.name} ({one.list_id})' for one in lists)}")
    _print(found.settings)


@commands.command()
def show(account: AccountArgument, json: Json = False) -> None:
    """Show the account's lists as the last refresh found them."""
    app = wired()
    with existing(app) as db:
        one = settings.load(db, AccountId(account))
    if json:
        output.as_json(lists_data(one))
    else:
        _print(one)


@commands.command()
def store(
    account: AccountArgument,
    lists: Annotated[list[str] | None, typer.Argument(metavar="LIST", help="Ids of the lists to use.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Use every list that the last refresh found.")] = False,
    yes: Annotated[
        bool, typer.Option("--yes", help="Do not ask, no matter how many members would leave a list.")
    ] = False,
    json: Json = False,
) -> None:
    """Use exactly these lists. Says what the next flush will do, and asks first if many members would leave one."""
    if every == bool(lists):
        raise UsageError("No list was named.", "Name the ids of the lists to store, or use --all.")
    app = wired()
    wanted = None if every else [ListId(each) for each in lists or ()]
    with changing(app) as db:
        before = settings.load(db, AccountId(account))
        after = account_lists.stored(before, wanted)
        changed = {each.list_id for each in after.stored} != {each.list_id for each in before.stored}
        confirmed = follows.announce(app, db, after, every=changed, yes=yes, json=json)
        one = account_lists.store(db, app.changelog, before.account_id, wanted, confirmed, author(app))
    if json:
        output.as_json(lists_data(one))
        return
    _print(one)
    if one.master_list is None:
        output.say(f"Next: choose the master list: mailchimp-worker lists master {account} LIST")


@commands.command()
def master(
    account: AccountArgument,
    list_id: Annotated[str, typer.Argument(metavar="LIST", help="Id of a stored list.")],
    yes: Annotated[
        bool, typer.Option("--yes", help="Do not ask, no matter how many members would leave a list.")
    ] = False,
    json: Json = False,
) -> None:
    """Choose the list for customers without a stored list of their own. Says what the next flush will do, and asks."""
    app = wired()
    with changing(app) as db:
        before = settings.load(db, AccountId(account))
        after = account_lists.with_master(before, ListId(list_id))
        confirmed = follows.announce(app, db, after, every=after.master_list != before.master_list, yes=yes, json=json)
        one = account_lists.choose_master(db, app.changelog, before.account_id, ListId(list_id), confirmed, author(app))
    if json:
        output.as_json(lists_data(one))
        return
    chosen = one.list_of(list_id)
    output.say(f"{chosen.name if chosen else list_id} ({list_id}) is the master list of account {account}.")
    if lacking := settings.missing(one):
        output.say(f"Next: {lacking[0].what} {lacking[0].advice}")


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
    app, wanted, which = wired(), _assignments(fields or ()), ListId(list_id)
    account_id, changes = AccountId(account), bool(wanted) or clear
    with (changing if changes else existing)(app) as db:
        on_list, available = chosen_fields.read(db, account_id, which, secret=app.secret, open_sender=app.open_client)
        if changes:
            before = {} if clear else dict(on_list.merge_fields or {})
            named = field_mapping.checked(account_id, which, before | wanted, available)
            chosen_fields.choose(db, app.changelog, account_id, which, named, author(app))
            on_list = replace(on_list, merge_fields=named or None)
        found = field_mapping.mapped(on_list, available)
        seen = attribute_names.some(db, account_id)
    if json:
        output.as_json({"list_id": list_id, "fields": mapping_data(found)})
        return
    output.table(
        ("tag", "name", "type", "gets", "notes"),
        [
            (
                one.tag,
                one.field.name if one.field is not None else "",
                one.field.type if one.field is not None else "",
                one.source or "nothing",
                _of_field(one, seen),
            )
            for one in found
        ],
    )
    if changes:
        output.say("The next flush checks every customer again and sends what differs.")


def _assignments(given: Iterable[str]) -> dict[str, str]:
    found = {}
    for one in given:
        tag, equals, source = one.partition("=")
        if not equals or not tag.strip():
            raise UsageError(
                f"{one} is not a field mapping.",
                "Write TAG=ATTRIBUTE, such as BIRTHDAY=birthday, or TAG= to send nothing.",
            )
        found[tag.strip().upper()] = source.strip()
    return found


def _of_field(one: MappedField, seen: Collection[str]) -> str:
    if one.field is None:
        return "the list has no such field: not sent"
    if one.source is None:
        return "chosen" if one.chosen else ""
    why = field_mapping.unfit(one.source, one.field)
    if why is None and one.source not in (*field_mapping.CUSTOMER_FIELDS, *seen):
        why = f"no customer has an attribute {one.source} yet"
    return why or ("chosen" if one.chosen else "")


def _print(one: AccountSettings) -> None:
    if not one.lists:
        output.say(
            "No lists are known. Read them from Mailchimp: mailchimp-worker lists refresh " + one.account_id
            if one.refreshed_at is None
            else "The account has no lists in Mailchimp. Create one there, then refresh again."
        )
        return
    output.table(
        ("list", "name", "members", "use", "notes"),
        [(each.list_id, each.name, each.member_count, _use(one, each), _notes(each)) for each in one.lists],
    )


def _use(one: AccountSettings, each: AccountList) -> str:
    if each.list_id == one.master_list:
        return "master list"
    return "stored" if each.stored else "not stored"


def _notes(each: AccountList) -> str:
    notes = []
    if each.gone_at:
        notes.append(f"gone from Mailchimp since {as_text(each.gone_at)}")
    if each.pause:
        notes.append(f"paused since {as_text(each.pause.since)}: {each.pause.reason}")
    if each.marketing_permissions:
        notes.append("asks for marketing permissions: contacts are added without any")
    return "; ".join(notes)
