"""``mailchimp-worker backup``: a copy of the database."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from worker.cli import output
from worker.cli.context import Json, existing, load_app
from worker.cli.progress import Progress
from worker.sqlite.backup import back_up


def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The file to write. It must not exist yet.")],
    json: Json = False,
) -> None:
    """Copy the database to a file; the worker may be running. The copy does not include the secret key."""
    app = load_app()
    with existing(app) as db, Progress("copying") as progress:
        size = back_up(db, file, progress.update)
    line = f"Wrote {file} ({size / 1e6:.1f} MB). Keep the secret key too, in another place: it is not in the copy."
    output.result({"file": str(file), "bytes": size}, line, json=json)
