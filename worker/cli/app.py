"""The command ``mailchimp-worker``: all commands, by name."""

from __future__ import annotations

from typing import Annotated

import typer

from worker import __version__
from worker.cli import accounts, checking, explaining, ledger, lists, output, playing, running, status, upkeep

commands = typer.Typer(
    name="mailchimp-worker",
    help="Keeps billmywork's customers in their Mailchimp lists, and never puts back someone who left.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

commands.command("run")(running.run)
commands.command("flush")(running.flush)
commands.command("status")(status.status)
commands.command("check")(checking.check)
commands.command("explain")(explaining.explain)
commands.command("receipts")(explaining.list_receipts)
commands.add_typer(accounts.commands, name="account")
commands.add_typer(lists.commands, name="lists")
commands.add_typer(upkeep.letters, name="dead-letters")
commands.command("resync")(upkeep.resync)
commands.add_typer(ledger.commands, name="ledger")
commands.command("move-ledger")(upkeep.move_ledger)
commands.command("forget")(upkeep.forget)
commands.command("publish")(upkeep.publish)
commands.command("sandbox")(playing.sandbox)
commands.command("demo")(playing.demo)


def _version(wanted: bool) -> None:
    if wanted:
        output.say(__version__)
        raise typer.Exit


@commands.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    pass


def run() -> None:
    """Runs the command that the arguments name.

    Raises:
        WorkerError: what went wrong, with advice.
    """
    commands()
