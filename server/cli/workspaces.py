"""`crossdock workspace` and `crossdock organization`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from server.cli.output import note, say
from server.cli.shell import Noun, asks, lists

if TYPE_CHECKING:
    from server.cli.shell import Paging, Shell

_COLUMNS = {"ORGANIZATION": "organization", "NAME": "name", "CREATED": "created_at"}


@click.group(cls=Noun)
def workspace() -> None:
    """List and create the workspaces of an organization."""


@workspace.command("list")
@lists
def list_workspaces(shell: Shell, paging: Paging) -> None:
    """List the workspaces of the organization."""
    shell.listing("/workspaces", _COLUMNS, paging)


@workspace.command
@click.argument("name")
@asks
def create(shell: Shell, name: str) -> None:
    """Make a workspace in the organization at hand and show its first admin token."""
    shell.show(shell.rest.post("/workspaces", {"name": name}), _created)


@click.group
def organization() -> None:
    """Create organizations; only whoever runs the instance may."""


@organization.command("create")
@click.argument("name")
@asks
def create_organization(shell: Shell, name: str) -> None:
    """Make an organization with its workspace `default` and show that one's first admin token."""
    shell.show(shell.rest.post("/organizations", {"name": name}), _created)


def _created(answer: dict[str, Any]) -> None:
    say(answer["token"])
    note(f"admin token of {answer['organization']}/{answer['name']}; keep it, it is never shown again")
