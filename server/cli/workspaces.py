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


@workspace.command
@click.argument("cidr", nargs=-1)
@click.option("--public-only", is_flag=True, help="Reach none but public addresses.")
@click.option("--inherit", is_flag=True, help="Reach all that the instance allows, CROSSDOCK_ALLOW_NETWORKS.")
@asks
def networks(shell: Shell, cidr: tuple[str, ...], public_only: bool, inherit: bool) -> None:
    """Show which networks the workspace may reach although not public, or set them to CIDR...

    They lie within those of the instance; only whoever runs the instance may set them.
    """
    if bool(cidr) + public_only + inherit > 1:
        raise click.UsageError("give networks, or --public-only, or --inherit")
    if not (cidr or public_only or inherit):
        shell.show(shell.rest.get("/networks"), _networks)
    else:
        shell.show(shell.rest.put("/networks", {"networks": None if inherit else list(cidr)}), _networks)


@click.group
def organization() -> None:
    """Create organizations; only whoever runs the instance may."""


@organization.command("create")
@click.argument("name")
@asks
def create_organization(shell: Shell, name: str) -> None:
    """Make an organization with its workspace `default` and show that one's first admin token."""
    shell.show(shell.rest.post("/organizations", {"name": name}), _created)


def _networks(answer: dict[str, Any]) -> None:
    for each in answer["networks"]:
        say(each)
    if not answer["networks"]:
        note("none: only public addresses can be reached")
    note(f"{answer['workspace']}: {'its own list' if answer['own'] else 'all that the instance allows'}")


def _created(answer: dict[str, Any]) -> None:
    say(answer["token"])
    note(f"admin token of {answer['organization']}/{answer['name']}; keep it, it is never shown again")
