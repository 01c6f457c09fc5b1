"""`crossdock webhook`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from server.cli.client import path_of
from server.cli.output import table
from server.cli.shell import JsonText, Noun, asks
from server.cli.states import add_states

if TYPE_CHECKING:
    from server.cli.shell import Shell

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
@asks
def trigger(shell: Shell, name: str, data: Any) -> None:
    """Make one real signed delivery of a payload through this webhook only."""
    shell.show(shell.rest.post(path_of("webhooks", name, "trigger"), {"payload": data}))


@webhook.command("public-keys")
@click.argument("name")
@asks
def public_keys(shell: Shell, name: str) -> None:
    """List the keys (whpk_…) with which receivers verify the asymmetric signatures of a webhook."""
    answer = shell.rest.get(path_of("webhooks", name, "public-keys"))
    shell.show(answer, lambda page: table(page["items"], {"KEY": "key", "SECRET": "secret"}))
