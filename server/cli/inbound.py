"""`crossdock inbound`: what came to inbound webhooks, and what became of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from server.cli.paths import path_of
from server.cli.shell import Noun, asks, lists

if TYPE_CHECKING:
    from server.cli.shell import Paging, Shell

_COLUMNS = {
    "ID": "id",
    "WEBHOOK": "webhook",
    "STATE": "state",
    "REASON": "reason",
    "ERROR": "error.code",
    "BYTES": "body_size",
    "CLIENT": "client",
    "RECEIVED": "received_at",
}
_STATES = ("received", "emitted", "skipped", "stale", "dead", "discarded")


@click.group(cls=Noun)
def inbound() -> None:
    """See the requests that came to inbound webhooks, and map them once more."""


@inbound.command("list")
@click.option("--webhook", metavar="NAME", help="Only those to this webhook.")
@click.option("--state", type=click.Choice(_STATES), help="Only those in this state.")
@click.option("--since", metavar="TIME", help="Only those received at or after.")
@click.option("--until", metavar="TIME", help="Only those received before.")
@lists
def list_requests(shell: Shell, paging: Paging, **filters: str | None) -> None:
    """List requests, newest first."""
    shell.listing("/inbound-requests", _COLUMNS, paging, **filters)


@inbound.command
@click.argument("id_", metavar="ID")
@asks
def show(shell: Shell, id_: str) -> None:
    """Show one request with its headers and body."""
    shell.show(shell.rest.get(path_of("inbound-requests", id_)))


@inbound.command
@click.argument("id_", metavar="ID")
@asks
def retry(shell: Shell, id_: str) -> None:
    """Map a request once more, by the present definition; its dead letter is resolved."""
    shell.show(shell.rest.post(path_of("inbound-requests", id_, "retry")))
