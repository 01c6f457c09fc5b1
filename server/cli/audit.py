"""`crossdock audit`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from server.cli.shell import lists

if TYPE_CHECKING:
    from server.cli.shell import Paging, Shell

_COLUMNS = {"AT": "at", "WHO": "principal", "ACTION": "action", "TARGET": "target", "DETAILS": "details"}


@click.command
@click.option("--action", help="Only this action, such as token.created.")
@click.option("--target", help="Only what was done to this.")
@lists
def audit(shell: Shell, paging: Paging, **filters: str | None) -> None:
    """List who changed what about access, newest first."""
    shell.listing("/audit", _COLUMNS, paging, **filters)
