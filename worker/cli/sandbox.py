"""Commands for trying things out: ``mailchimp-worker sandbox`` and ``demo``. Nothing else here imports the sandbox."""

from __future__ import annotations

from typing import Annotated

import typer

from worker.cli import output
from worker.clock import utc_now
from worker.config import is_loopback
from worker.errors import UsageError


def sandbox(
    port: Annotated[
        int, typer.Option("--port", metavar="PORT", min=0, max=65535, help="Port to listen on; 0 for any.")
    ] = 8090,
    host: Annotated[str, typer.Option("--host", metavar="HOST", help="Address to listen on.")] = "127.0.0.1",
) -> None:
    """Run a Mailchimp stand-in with the lists of three accounts, until you stop it."""
    from worker.sandbox.content import ACCOUNTS, seed
    from worker.sandbox.server import SandboxServer
    from worker.sandbox.server_state import StandIn

    standin = StandIn(utc_now)
    seed(standin)
    try:
        server = SandboxServer(standin, host, port)
    except OSError as error:
        raise UsageError(
            f"Port {port} of {host} is already in use or not available: {error.strerror}.", "Choose another --port."
        ) from error
    with server:
        output.say(f"A Mailchimp stand-in answers at {server.base_url}. Point the worker at it:")
        output.say(f"  export WORKER_MAILCHIMP__BASE_URL={server.base_url}")
        if not is_loopback(host):
            output.say("  export WORKER_MAILCHIMP__ALLOW_PLAIN_HTTP=true")
        output.say("API keys that it accepts:")
        for account in ACCOUNTS:
            lists = ", ".join(f"{mailing_list.list_id} ({mailing_list.name})" for mailing_list in account.lists)
            output.say(f"  {account.api_key}   lists: {lists}")
        output.say(
            "See what happened: GET /sandbox/audit, /sandbox/calls. Cause faults: PUT /sandbox/faults. Stop it: Ctrl-C."
        )
        server.join()


def demo(
    serve: Annotated[
        bool, typer.Option("--serve", help="Leave the worker running at the end, with its pages.")
    ] = False,
) -> None:
    """Run the main job on an embedded broker and a Mailchimp stand-in, and show what happened and why."""
    from worker.demo.demo import run_demo

    run_demo(serve=serve)
