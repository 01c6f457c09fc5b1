"""`crossdock db`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from server.cli import output
from server.cli.shell import json_option

if TYPE_CHECKING:
    from server.cli.shell import Shell


@click.group
def db() -> None:
    """Prepare the database."""


@db.command
@json_option
@click.pass_obj
def upgrade(shell: Shell) -> None:
    """Bring the database to the newest schema and make the first workspace; several may run it at once."""
    from server.cli.client import quiet_logs  # noqa: PLC0415 (see server/cli/__init__.py)
    from server.cli.first_steps import prepare  # noqa: PLC0415
    from server.cli.place import local_settings  # noqa: PLC0415

    quiet_logs(shell.settings)
    settings = local_settings(shell.settings)
    with output.working("migrating"):
        before, after = prepare(settings.database_url)
    shell.result(
        {"before": before, "after": after},
        lambda _: output.say(f"the schema is {after}" + (", as it was" if before == after else f"; it was {before}")),
    )
