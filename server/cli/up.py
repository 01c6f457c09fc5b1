"""`crossdock up`: everything in one process tree."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from server.cli.files import FOLDER

if TYPE_CHECKING:
    from server.cli.shell import Shell


@click.command
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", type=click.IntRange(1, 65_535), default=8080, show_default=True, help="The port to listen on.")
@click.option("--workers", type=click.IntRange(0, 64), default=2, show_default=True, help="How many workers.")
@click.option(
    "--api-processes", type=click.IntRange(1, 64), default=1, show_default=True, help="How many API processes."
)
@click.option(
    "--definitions",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help=f"The folder to apply at the start; {FOLDER}/ when there is one.",
)
@click.pass_obj
def up(shell: Shell, host: str, port: int, workers: int, api_processes: int, definitions: Path | None) -> int:
    """Start PostgreSQL, Redis, API, workers and scheduler, and serve until Ctrl-C.

    With DATABASE_URL or REDIS_URL that server is used instead of the embedded one. Data lies under CROSSDOCK_HOME.
    """
    from server import app, scheduler, worker  # noqa: F401, PLC0415 (loaded once here, shared by all that is forked)
    from server.cli.first_steps import first_steps, prepare  # noqa: PLC0415 (see server/cli/__init__.py)
    from server.runtime.up import UpOptions, run_up  # noqa: PLC0415

    if definitions is None and FOLDER.is_dir():
        definitions = FOLDER
    options = UpOptions(host=host, port=port, workers=workers, api_processes=api_processes, definitions=definitions)
    return run_up(options, shell.settings, migrate=prepare, first_steps=first_steps, command=_command)


def _command(arguments: list[str]) -> int:
    """Do another command of ours, in a process that `up` has forked."""
    from server.cli.main import root  # noqa: PLC0415 (it imports us)

    root.main(arguments)
