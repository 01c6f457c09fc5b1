"""`crossdock token`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from server.cli.output import note, say
from server.cli.paths import path_of
from server.cli.shell import Duration, Noun, asks, lists

if TYPE_CHECKING:
    from server.cli.shell import Paging, Shell

_COLUMNS = {
    "ID": "id",
    "NAME": "name",
    "PREFIX": "prefix",
    "ROLE": "role",
    "SCOPES": "scopes",
    "EXPIRES": "expires_at",
    "LAST USED": "last_used_at",
    "REVOKED": "revoked_at",
}
ROLES = ("viewer", "operator", "editor", "admin")


@click.group(cls=Noun)
def token() -> None:
    """Make, list and revoke the tokens that programs present."""


@token.command("list")
@lists
def list_tokens(shell: Shell, paging: Paging) -> None:
    """List the tokens of the workspace, newest first, without their values."""
    shell.listing("/tokens", _COLUMNS, paging)


@token.command
@click.option("--role", type=click.Choice(ROLES), required=True, help="What its holder may do.")
@click.option("--name", default="cli", show_default=True, help="What it is for.")
@click.option("--expires", type=Duration(), metavar="DURATION", help="How long it is valid, such as 90d; else no end.")
@click.option(
    "--scope", "scopes", multiple=True, metavar="PERMISSION", help="Narrow the role to this; may be repeated."
)
@click.option("--user", metavar="EMAIL", help="The member whom it stands for.")
@asks
def create(shell: Shell, role: str, name: str, expires: int | None, scopes: tuple[str, ...], user: str | None) -> None:
    """Make a token and show it: the only time that it is shown."""
    body: dict[str, Any] = {"role": role, "name": name, "scopes": list(scopes)}
    body |= {} if expires is None else {"expires_in_seconds": expires}
    body |= {} if user is None else {"user": user}
    shell.show(shell.rest.post("/tokens", body), _created)


def _created(answer: dict[str, Any]) -> None:
    say(answer["token"])
    note(f"{answer['role']} token {answer['id']}; keep it, it is never shown again")


@token.command
@click.argument("id_", metavar="ID")
@asks
def revoke(shell: Shell, id_: str) -> None:
    """Revoke a token; within two seconds every process refuses it."""
    shell.rest.delete(path_of("tokens", id_))
    shell.result({"revoked": id_}, lambda _: say(f"{id_} is revoked"))
