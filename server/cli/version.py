"""`crossdock version`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from server.cli.output import say
from server.cli.shell import json_option

if TYPE_CHECKING:
    from server.cli.shell import Shell


@click.command
@json_option
@click.pass_obj
def version(shell: Shell) -> None:
    """Show the version of this command."""
    import platform  # noqa: PLC0415 (see server/cli/__init__.py)
    from importlib.metadata import version as version_of  # noqa: PLC0415

    value = {"version": version_of("crossdock"), "python": platform.python_version()}
    shell.result(value, lambda shown: say(f"crossdock {shown['version']} (Python {shown['python']})"))
