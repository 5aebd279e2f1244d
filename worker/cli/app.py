"""The command ``mailchimp-worker``: all commands, by name. The module of a command is imported when it is used."""

from __future__ import annotations

from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typer.main import get_command

from worker import __version__

COMMANDS = {
    "run": ("run", "run", "Run the worker: read events, deliver once a day."),
    "flush": ("run", "flush", "Deliver what changed now, or show the plan."),
    "status": ("status", "status", "Show what is staged, due, paused and failing."),
    "check": ("check", "check", "Check that everything the worker needs is in place."),
    "explain": ("explain", "explain", "Explain what happened to one contact, and why."),
    "receipts": ("explain", "list_receipts", "Show what became of each customer in each flush."),
    "account": ("accounts", "commands", "Connect accounts to Mailchimp, enable, show, forget."),
    "lists": ("lists", "commands", "Read an account's Mailchimp lists, choose those to use."),
    "resync": ("maintenance", "resync", "Look at an account's customers again."),
    "dead-letters": ("maintenance", "letters", "Show, replay and drop records not understood."),
    "ledger": ("ledger", "commands", "Go on after the ledger was lost in Kafka."),
    "move-ledger": ("maintenance", "move_ledger", "Write what only this database knows to Kafka."),
    "forget": ("maintenance", "forget", "Erase one person from database and ledger."),
    "publish": ("maintenance", "publish", "Publish events from a file, one JSON a line."),
    "sandbox": ("sandbox", "sandbox", "Run a Mailchimp stand-in with three accounts."),
    "demo": ("sandbox", "demo", "Run the whole main job, everything embedded."),
}
"""Name to module, function or group, and its line in the list of commands."""


class LazyCommands(TyperGroup):
    """Imports a command only when it is called or helped with."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Returns the names, in the order of the list."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Imports a command; None for a name that is none."""
        if cmd_name not in COMMANDS:
            return None
        module, attribute, _ = COMMANDS[cmd_name]
        found = getattr(import_module(f"worker.cli.{module}"), attribute)
        around = _typer()
        around.callback()(lambda: None)
        if isinstance(found, typer.Typer):
            around.add_typer(found, name=cmd_name)
        else:
            around.command(cmd_name)(found)
        group = get_command(around)
        assert isinstance(group, TyperGroup)
        return group.commands[cmd_name]

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Writes the list, without importing anything."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, _, line) in COMMANDS.items()])


def _typer(cls: type[TyperGroup] | None = None, help: str | None = None) -> typer.Typer:
    return typer.Typer(
        cls=cls,
        help=help,
        no_args_is_help=cls is not None,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
    )


commands = _typer(LazyCommands, "Keeps billmywork's customers in their Mailchimp lists, and never puts back who left.")


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
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
