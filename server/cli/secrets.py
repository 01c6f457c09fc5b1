"""`crossdock secret`: values come from standard input, never from the command line, and never come back."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from server.cli.output import note, say
from server.cli.paths import path_of
from server.cli.shell import Duration, Noun, asks, confirmed, lists, read_stdin

if TYPE_CHECKING:
    from server.cli.shell import Paging, Shell

_COLUMNS = {
    "NAME": "name",
    "VERSION": "version",
    "CREATED": "versions.0.created_at",
    "OLD VALID UNTIL": "versions.1.valid_until",
}


@click.group(cls=Noun)
def secret() -> None:
    """Set and rotate the secrets that definitions refer to by name."""


@secret.command("list")
@lists
def list_secrets(shell: Shell, paging: Paging) -> None:
    """List the names of the secrets."""
    shell.listing("/secrets", _COLUMNS, paging)


@secret.command("set")
@click.argument("name")
@asks
def set_(shell: Shell, name: str) -> None:
    """Set a secret to what standard input holds (one line end at its end is left out)."""
    body = {"name": name, "value": _value(name)}
    answer = shell.rest.post("/secrets", body)
    shell.show(answer, lambda value: say(f"{value['name']} is set (version {value['version']})"))


@secret.command
@click.argument("name")
@click.option(
    "--overlap", type=Duration(), help="How long the value before stays valid, such as 12h; a day by default."
)
@asks
def rotate(shell: Shell, name: str, overlap: int | None) -> None:
    """Set a new value from standard input and keep the one before valid for a while."""
    body = {"value": _value(name), **({} if overlap is None else {"overlap_seconds": overlap})}
    answer = shell.rest.post(path_of("secrets", name, "rotate"), body)
    shell.show(answer, lambda value: say(f"{value['name']} is rotated (version {value['version']})"))


@secret.command
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
@asks
def delete(shell: Shell, name: str, yes: bool) -> None:
    """Delete a secret; what refers to it fails until it is set again."""
    confirmed(f"Delete the secret {name}?", sure=yes)
    shell.rest.delete(path_of("secrets", name))
    shell.result({"deleted": name}, lambda _: say(f"{name} is deleted"))


@secret.command
@asks
def rewrap(shell: Shell) -> None:
    """Encrypt all secrets of the instance anew under the newest key of CROSSDOCK_KEYS; on the server itself only."""
    shell.show(shell.rest.post("/secret-keys/rewrap", None), _rewrapped)


def _rewrapped(answer: dict[str, Any]) -> None:
    say(f"{answer['count']} secrets are encrypted anew; all are under the key {answer['key']}")
    if answer["left"]:
        note(f"keep the older keys: {answer['left']} refresh tokens follow when they are used next; then do this again")


def _value(name: str) -> str:
    if sys.stdin.isatty():
        typed: str = click.prompt(f"Value of {name}", hide_input=True, confirmation_prompt=True, err=True)
        return typed
    try:
        text = read_stdin().decode("utf-8")
    except ValueError as error:
        raise click.UsageError(f"standard input is not a secret's value: {error}") from error
    value = text.removesuffix("\n").removesuffix("\r")
    if not value:
        raise click.UsageError(
            f"give the value on standard input, as in: printf %s VALUE | crossdock secret set {name}"
        )
    return value
