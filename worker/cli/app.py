"""The command ``mailchimp-worker``. Imports the module of a command only when it is used."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typer.main import get_command

from worker import __version__
from worker.errors import UsageError, WorkerError

NAME = "mailchimp-worker"
LONGEST_LINE = 1000
"""Characters of a command's line in a list: enough for any first sentence."""

COMMANDS = {
    "run": ("run", "run", "Run the worker: read events, deliver once a day."),
    "stage": ("stage", "stage", "Read to the end of the log; deliver nothing."),
    "flush": ("run", "flush", "Deliver what changed now, or show the plan."),
    "read-back": ("read_back", "read_back", "Read what changed in Mailchimp; deliver nothing."),
    "status": ("status", "status", "Show the worker, what waits, and each account's state."),
    "check": ("check", "check", "Check whether a flush now would deliver everything."),
    "explain": ("explain", "explain", "Explain what happened to one contact, and why."),
    "receipts": ("receipts", "list_receipts", "Show what became of each customer in each flush."),
    "account": ("accounts", "commands", "Manage accounts: connect, enable, show, forget."),
    "lists": ("lists", "commands", "Manage an account's lists: refresh, store, map fields."),
    "link": ("link", "link", "Print a link that opens an account's page once."),
    "backup": ("maintenance", "backup", "Copy the database to a file; the worker may be running."),
    "resync": ("maintenance", "resync", "Let the next flush check an account's customers again."),
    "dead-letters": ("dead_letters", "commands", "Manage records that could not be understood."),
    "ledger": ("ledger", "commands", "Sign the ledger in Kafka; continue after a loss."),
    "move-ledger": ("maintenance", "move_ledger", "Copy an old database's ledger and settings to Kafka."),
    "forget": ("forget", "forget", "Erase one person at every worker."),
    "publish": ("maintenance", "publish", "Publish events from a file, one on each line."),
    "sandbox": ("sandbox", "sandbox", "Run a Mailchimp stand-in with three accounts."),
    "demo": ("sandbox", "demo", "Run the main job with everything embedded."),
}
"""Each command: its module, its function or group there, and its line in the list of commands."""


class Commands(TyperGroup):
    """A group whose list of commands is never truncated, however narrow the terminal is."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Writes the list."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, line in self.lines(ctx)])

    def lines(self, ctx: Any) -> Iterator[tuple[str, str]]:
        """Yields the name of each command and the first sentence of its help."""
        for name in self.list_commands(ctx):
            command = self.get_command(ctx, name)
            yield name, command.get_short_help_str(LONGEST_LINE) if command is not None else ""


class LazyCommands(Commands):
    """Imports a command only when it is called or its help is shown."""

    def lines(self, ctx: Any) -> Iterator[tuple[str, str]]:
        """Yields the name of each command and its line, without importing anything."""
        yield from ((name, line) for name, (_, _, line) in COMMANDS.items())

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Finds a command; the error for an unknown one names the most similar one.

        Raises:
            click.UsageError: there is no such command.
        """
        if args and args[0] not in COMMANDS and (similar := get_close_matches(args[0], COMMANDS, 1)):
            ctx.fail(f"No such command '{args[0]}'. Did you mean '{similar[0]}'?")
        return super().resolve_command(ctx, args)

    def list_commands(self, ctx: Any) -> list[str]:
        """Returns the names in the order of the list."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Imports a command; returns None for an unknown name."""
        if cmd_name not in COMMANDS:
            return None
        module, attribute, _ = COMMANDS[cmd_name]
        command = getattr(import_module(f"worker.cli.{module}"), attribute)
        wrapper = _typer()
        wrapper.callback()(lambda: None)
        if isinstance(command, typer.Typer):
            wrapper.add_typer(command, name=cmd_name, cls=Commands)
        else:
            wrapper.command(cmd_name)(command)
        group = get_command(wrapper)
        assert isinstance(group, TyperGroup)
        return group.commands[cmd_name]


def _typer(cls: type[TyperGroup] | None = None, help: str | None = None) -> typer.Typer:
    return typer.Typer(
        cls=cls,
        help=help,
        no_args_is_help=cls is not None,
        add_completion=cls is not None,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
    )


commands = _typer(
    LazyCommands, "Keep billmywork's customers in their Mailchimp lists, and never put back anyone who left."
)


def _version(requested: bool) -> None:
    if requested:
        typer.echo(__version__)
        raise typer.Exit


@commands.callback()
def _root(
    config: Annotated[
        Path | None,
        typer.Option(
            "--config", metavar="FILE", help="The config file. Default: WORKER_CONFIG, or config/worker.toml."
        ),
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    if config is not None:
        os.environ["WORKER_CONFIG"] = str(config)


def main() -> None:
    """Runs the command in the arguments.

    Raises:
        UsageError: the command or its options are wrong; the advice names its help.
        WorkerError: the command failed; the error has advice.
    """
    try:
        code = commands(prog_name=NAME, standalone_mode=False)
    except typer.Abort:
        raise WorkerError("Aborted: you did not confirm.", "Answer yes, or use --yes.") from None
    except Exception as error:
        if not hasattr(error, "format_message"):  # only usage errors have it
            raise
        message, context = error.format_message(), getattr(error, "ctx", None)
        if context is not None and message == context.get_help():
            typer.echo(message, err=True)  # a group without a command
            sys.exit(UsageError.exit_code)
        raise _usage_error(message, context.command_path if context is not None else NAME) from error
    sys.exit(int(code or 0))


def _usage_error(message: str, path: str) -> UsageError:
    """Returns the error for wrong usage, in the words of the worker.

    Args:
        message: of Typer, and of the library that checks its values.
    """
    for theirs, ours in _WORDS.items():
        message = message.replace(theirs, ours)
    return UsageError(message if message.endswith((".", "?")) else f"{message}.", f"See its help: {path} --help")


_WORDS = {
    "Value error, ": "",
    "Input should be a valid integer, unable to parse string as an integer": "it is not a whole number",
    "Input should be": "it should be",
}
"""Parts of messages of the library that checks values, and what a person understands."""
