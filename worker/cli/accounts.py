"""Commands on accounts' settings: ``mailchimp-worker account …``."""

from __future__ import annotations

import sys
from contextlib import closing
from dataclasses import replace
from typing import Annotated

import typer

from worker.accounts import api_keys, erasures, forget, secrets, settings
from worker.app import App
from worker.cli import consequences, output
from worker.cli.context import AccountArgument, Json, Yes, author, change, changing, despite_workers, load_app
from worker.cli.progress import Progress
from worker.clock import as_text
from worker.consumer.instance import instance_of
from worker.errors import UsageError
from worker.mailchimp import api_key
from worker.model import AccountId
from worker.sqlite.rows import Changed
from worker.status.json_data import settings_data
from worker.store import accounts, erasure_requests, ledger_erasure, rekeying, sent_fields
from worker.store.accounts import AccountSettings, StatusIfNew
from worker.store.rekeying import Rekeying
from worker.store.waiting import Waiting
from worker.text.plural import counted

commands = typer.Typer(no_args_is_help=True, help="Connect accounts to Mailchimp; enable, show and forget them.")

LONGEST_KEY_INPUT = 4096


@commands.command("list")
def list_accounts(json: Json = False) -> None:
    """List accounts, and what each still lacks."""
    app = load_app()
    with closing(app.open_existing()) as db:
        waiting = app.waiting(db)
        all_settings = accounts.all_accounts(db)
    if json:
        output.as_json([settings_data(each, waiting[each.account_id]) for each in all_settings])
        return
    if not all_settings:
        output.say("No account is connected yet. Connect one: mailchimp-worker account connect ACCOUNT")
        return
    rows = [
        (
            account_settings.account_id,
            f"…{account_settings.key_hint}" if account_settings.key_hint else "none",
            "yes" if account_settings.enabled else "no",
            len(account_settings.stored),
            account_settings.master_label,
            waiting[account_settings.account_id].count,
            " ".join(lack.message for lack in settings.missing(account_settings)) or "ready",
        )
        for account_settings in all_settings
    ]
    output.table(("account", "API key", "enabled", "stored lists", "master list", "waiting", "state"), rows)


@commands.command()
def show(account: AccountArgument, json: Json = False) -> None:
    """Show one account's settings."""
    app = load_app()
    with closing(app.open_existing()) as db:
        account_settings = settings.load(db, AccountId(account))
        waiting = app.waiting_of(db, account_settings.account_id)
    if json:
        output.as_json(settings_data(account_settings, waiting))
    else:
        _show(account_settings, waiting)


@commands.command()
def connect(
    account: AccountArgument,
    api_key_stdin: Annotated[
        bool, typer.Option("--api-key-stdin", help="Read the API key from standard input.")
    ] = False,
    json: Json = False,
) -> None:
    """Check an API key with Mailchimp and store it, encrypted."""
    app = load_app()
    api_keys.check_id(AccountId(account))  # what is wrong with the input comes first
    text = _api_key(api_key_stdin)
    api_key.parse(text)
    with changing(app) as db:
        connected = api_keys.connect(
            db,
            app.changelog,
            AccountId(account),
            text,
            secret=app.secret,
            open_sender=app.open_client,
            at=app.clock(),
            author=author(app),
        )
        waiting = app.waiting_of(db, connected.settings.account_id)
    user = {"account_name": connected.user.name, "login": connected.user.login}
    output.result(
        settings_data(connected.settings, waiting) | {"mailchimp": user, "notice": connected.notice},
        f"Mailchimp accepts the API key …{connected.settings.key_hint} of {connected.user}.",
        f"Account {account} is connected.",
        *([connected.notice] if connected.notice is not None else _next_step(connected.settings)),
        json=json,
    )


@commands.command()
def enable(
    account: AccountArgument,
    double_opt_in: Annotated[
        bool | None,
        typer.Option(
            "--double-opt-in/--single-opt-in",
            help="Ask new contacts to confirm by email first, or not. Default: as before.",
        ),
    ] = None,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Enable the integration: from the next daily flush on, the account's customers are delivered.

    Says what the next flush will do, and asks first if many members would leave a list.
    """
    app = load_app()
    status: StatusIfNew | None = None if double_opt_in is None else "pending" if double_opt_in else "subscribed"
    with changing(app) as db:
        before = settings.load(db, AccountId(account))
        now = app.clock()
        after = settings.with_enabled(before, status, now)
        confirmed = consequences.announce(app, db, after, every=False, yes=yes, json=json)
        account_settings = change(
            app, db, account, lambda current: replace(settings.with_enabled(current, status, now), confirmed=confirmed)
        )
        data = settings_data(account_settings, app.waiting_of(db, account_settings.account_id))
    line = f"Account {account} is enabled; new contacts are added as {account_settings.status_if_new}."
    output.result(data, line, *_next_step(account_settings), json=json)


@commands.command()
def disable(account: AccountArgument, json: Json = False) -> None:
    """Disable the integration: nothing more is delivered. Settings and waiting changes are kept."""
    app = load_app()
    with changing(app) as db:
        account_settings = change(app, db, account, lambda current: replace(current, enabled=False))
        data = settings_data(account_settings, app.waiting_of(db, account_settings.account_id))
    line = f"Account {account} is disabled. Nothing more is delivered; its settings and changes are kept."
    output.result(data, line, json=json)


@commands.command()
def resume(account: AccountArgument, json: Json = False) -> None:
    """End the pauses of an account and of its lists; the next flush tries again."""
    app = load_app()
    with changing(app) as db:
        before = settings.load(db, AccountId(account))
        account_settings = change(app, db, account, settings.without_pauses)
        data = settings_data(account_settings, app.waiting_of(db, account_settings.account_id))
    paused = before.pause is not None or any(account_list.pause is not None for account_list in before.lists)
    line = f"Account {account} is resumed." if paused else f"Account {account} was not paused."
    output.result(data, line, *_next_step(account_settings), json=json)


@commands.command()
def rekey(json: Json = False) -> None:
    """Encrypt all API keys with the current secret key. Asks for the previous one.

    If WORKER_PREVIOUS_SECRET_KEY is set, that is the previous key.
    """
    app = load_app()
    both = app.secret.previous is not None
    if (previous := app.secret.previous) is not None:
        old = previous
    elif sys.stdin.isatty():
        old = secrets.parsed(str(typer.prompt("The secret key used before", hide_input=True, err=True)), "the terminal")
    else:
        old = secrets.parsed(sys.stdin.read(LONGEST_KEY_INPUT), "standard input")
    app = replace(app, previous=old)
    with changing(app) as db:
        count = api_keys.rekey(db, app.changelog, old, app.secret.alone)
        with Progress("signing") as progress:
            signed = app.signing(db, progress.counted).write_again(first_time=False)
        change = Rekeying(*app.secret.names, as_text(app.clock()))
        app.changelog.commit(db, lambda: Changed(None, rekeying.begin(db, change)))
        rows = sent_fields.count_by_account(db).total()
    signed_count, hashes = signed["ledger"] + signed["settings"], []
    if both:
        hashes = [
            f"The workers now renew the hashes of sent fields, here in up to {counted(rows, 'ledger row')}. "
            "mailchimp-worker status says when you can unset the previous key."
        ]
    elif rows:
        hashes = [
            "Hashes of sent fields cannot be renewed, because WORKER_PREVIOUS_SECRET_KEY is not set. The next change "
            "of each customer sends all its fields."
        ]
    output.result(
        {"encrypted": count, "signed": signed_count, "hashes_to_renew": rows if both else 0},
        f"Encrypted {counted(count, 'API key')} with {app.secret.where}.",
        f"Signed {counted(signed_count, 'record')} of ledger and settings with it.",
        *hashes,
        json=json,
    )


@commands.command("forget")
def forget_account(
    account: AccountArgument,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    json: Json = False,
) -> None:
    """Erase an account's API key, settings, ledger and receipts at every worker.

    Its lists in Mailchimp stay as they are. Run it at any worker, even during a flush.
    """
    if not account:
        raise UsageError("No account was given.", "Give the account's id.")
    app = load_app()
    output.confirm(
        f"Forget account {account}? Without its ledger, the worker no longer knows who left its lists.", yes=yes
    )
    was_known = False

    def forgotten() -> None:
        nonlocal was_known
        was_known = _forgotten(app, AccountId(account)) or was_known

    despite_workers(forgotten)
    here = f"Account {account} is forgotten here. Nothing was changed in Mailchimp."
    output.result(
        {"account_id": account, "forgotten": True, "was_known": was_known},
        here if was_known else f"This worker knows nothing about an account {account}. Check the id.",
        "Every other worker erases its own copy, even one that is away now. mailchimp-worker status shows which have.",
        json=json,
    )


def _forgotten(app: App, account_id: AccountId) -> bool:
    with changing(app, lambda db: [account_id]) as db, Progress() as progress:
        known = accounts.find(db, account_id) is not None or any(
            True for _ in ledger_erasure.rows_of_account(db, account_id)
        )
        erasures.request_account(db, app.changelog, account_id, app.clock())
        forget.forget_account(db, app.changelog, account_id, progress.step)
        worker, mine = instance_of(db, "command"), erasure_requests.of_account(db, account_id)
        done = as_text(app.clock())
        app.changelog.commit(db, lambda: Changed(None, erasure_requests.note_done(db, mine, worker, done)))
    return known


def _api_key(from_stdin: bool) -> str:
    if from_stdin:
        return sys.stdin.read(LONGEST_KEY_INPUT)
    if not sys.stdin.isatty():
        raise UsageError(
            "There is no terminal to ask for the API key.", "Give it on standard input, with --api-key-stdin."
        )
    return str(typer.prompt("Mailchimp API key", hide_input=True, err=True))


def _next_step(account_settings: AccountSettings) -> list[str]:
    return [f"Next: {lack.message} {lack.advice}" for lack in settings.missing(account_settings)[:1]]


def _show(account_settings: AccountSettings, waiting: Waiting) -> None:
    rows = [
        ("account", account_settings.account_id),
        ("API key", f"…{account_settings.key_hint}" if account_settings.key_hint else "none"),
        ("connected", as_text(account_settings.connected_at) if account_settings.connected_at else "never"),
        ("enabled", "yes" if account_settings.enabled else "no"),
        ("new contacts", account_settings.status_if_new),
        ("lists refreshed", as_text(account_settings.refreshed_at) if account_settings.refreshed_at else "never"),
        ("stored lists", ", ".join(account_list.label for account_list in account_settings.stored) or "none"),
        ("master list", account_settings.master_label or "none"),
        ("customers waiting", str(waiting.count)),
        *((("tried later", f"{waiting.later}, because Mailchimp refused them"),) if waiting.later else ()),
    ]
    if account_settings.pause:
        rows.append(("paused", f"{account_settings.pause.reason} (since {as_text(account_settings.pause.since)})"))
    rows += [("missing", f"{lack.message} {lack.advice}") for lack in settings.missing(account_settings)]
    output.table(("", ""), rows)
