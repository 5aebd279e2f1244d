"""The command ``mailchimp-worker``: all commands, by name."""

from __future__ import annotations

from typing import Annotated

import typer

from worker import __version__
from worker.cli import accounts, check, explain, ledger, lists, maintenance, output, run, sandbox, status

commands = typer.Typer(
    name="mailchimp-worker",
    help="Keeps billmywork's customers in their Mailchimp lists, and never puts back someone who left.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

commands.command("run")(run.run)
commands.command("flush")(run.flush)
commands.command("status")(status.status)
commands.command("check")(check.check)
commands.command("explain")(explain.explain)
commands.command("receipts")(explain.list_receipts)
commands.add_typer(accounts.commands, name="account")
commands.add_typer(lists.commands, name="lists")
commands.add_typer(maintenance.letters, name="dead-letters")
commands.command("resync")(maintenance.resync)
commands.add_typer(ledger.commands, name="ledger")
commands.command("move-ledger")(maintenance.move_ledger)
commands.command("forget")(maintenance.forget)
commands.command("publish")(maintenance.publish)
commands.command("sandbox")(sandbox.sandbox)
commands.command("demo")(sandbox.demo)


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


def main() -> None:
    """Runs the command that the arguments name.

    Raises:
        WorkerError: what went wrong, with advice.
    """
    commands()
