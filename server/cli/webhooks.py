"""`crossdock webhook`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from server.cli.paths import path_of
from server.cli.shell import JsonText, Noun, asks, json_option, lists
from server.cli.states import add_states
from server.sdk.signing import generate_private_key, generate_secret

if TYPE_CHECKING:
    from server.cli.shell import Paging, Shell

_COLUMNS = {"NAME": "name", "STATE": "state", "VERSION": "version", "ORIGIN": "origin", "UPDATED": "updated_at"}


@click.group(cls=Noun)
def webhook() -> None:
    """See webhooks, pause and resume them, and send through them."""


add_states(webhook, "webhooks", _COLUMNS)


@webhook.command
@click.argument("name")
@click.option(
    "--data", type=JsonText(), required=True, help="The payload, an object: JSON, @FILE, or - for standard input."
)
@click.option("--header", "headers", metavar="NAME:VALUE", multiple=True, help="Of an inbound one: a header.")
@click.option(
    "--param", "params", metavar="NAME=VALUE", multiple=True, help="Of an inbound one: a parameter of its path."
)
@click.option("--query", metavar="TEXT", help="Of an inbound one: the query, without the question mark.")
@asks
def trigger(
    shell: Shell, name: str, data: Any, headers: tuple[str, ...], params: tuple[str, ...], query: str | None
) -> None:
    """Make one real signed delivery of a payload through this webhook only; an inbound one takes it as a request.

    Such a request counts as verified, and is mapped as if its sender had sent it.
    """
    if shell.rest.get(path_of("webhooks", name)).value["definition"].get("direction") != "inbound":
        shell.show(shell.rest.post(path_of("webhooks", name, "trigger"), {"payload": data}))
        return
    body = {"payload": data, "headers": _pairs(headers, ":"), "params": _pairs(params, "="), "query": query or ""}
    shell.show(shell.rest.post(path_of("webhooks", name, "requests"), body))


def _pairs(given: tuple[str, ...], sign: str) -> dict[str, str]:
    pairs = [each.partition(sign) for each in given]
    wrong = [name for name, found, _ in pairs if not found or not name.strip()]
    if wrong:
        raise click.BadParameter(f"{wrong[0]} is no NAME{sign}VALUE")
    return {name.strip(): value.strip() for name, _, value in pairs}


@webhook.command("public-keys")
@click.argument("name")
@lists
def public_keys(shell: Shell, name: str, paging: Paging) -> None:
    """List the keys (whpk_…) with which receivers verify the asymmetric signatures of a webhook."""
    shell.listing(path_of("webhooks", name, "public-keys"), {"KEY": "key", "SECRET": "secret"}, paging)


@webhook.command("new-key")
@click.option(
    "--asymmetric", is_flag=True, help="An ed25519 key (whsk_…); `public-keys` shows its other half (whpk_…)."
)
@json_option
@click.pass_obj
def new_key(shell: Shell, asymmetric: bool) -> None:
    """Write a new signing key, to be piped into `crossdock secret set NAME`; it is stored nowhere else."""
    key = generate_private_key() if asymmetric else generate_secret()
    shell.result({"key": key}, lambda made: click.echo(made["key"]))
