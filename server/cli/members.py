"""`crossdock member`: the people of a workspace."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from server.cli.output import say
from server.cli.paths import path_of
from server.cli.shell import Noun, asks, lists
from server.cli.tokens import ROLES

if TYPE_CHECKING:
    from server.cli.shell import Paging, Shell

_COLUMNS = {"EMAIL": "email", "NAME": "name", "ROLE": "role", "CREATED": "created_at", "DISABLED": "disabled_at"}


@click.group(cls=Noun)
def member() -> None:
    """See and change who belongs to the workspace."""


@member.command("list")
@lists
def list_members(shell: Shell, paging: Paging) -> None:
    """List the people of the workspace."""
    shell.listing("/members", _COLUMNS, paging)


@member.command("set")
@click.argument("email")
@click.option("--role", type=click.Choice(ROLES), required=True, help="What they may do here.")
@click.option("--name", help="What they are called.")
@asks
def set_(shell: Shell, email: str, role: str, name: str | None) -> None:
    """Give a person a role in the workspace."""
    shell.rest.put(path_of("members", email), {"role": role, **({"name": name} if name else {})})
    shell.result({"email": email, "role": role}, lambda _: say(f"{email} is {role} here"))


@member.command
@click.argument("email")
@asks
def remove(shell: Shell, email: str) -> None:
    """Take a person out of the workspace; their tokens here stop working."""
    shell.rest.delete(path_of("members", email))
    shell.result({"removed": email}, lambda _: say(f"{email} is removed"))
