"""`crossdock deliveries`: what is owed to webhooks, and every try at it."""

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
    "EVENT": "event_type",
    "SUBJECT": "subject",
    "STATE": "state",
    "REASON": "reason",
    "TRIES": "attempts",
    "STATUS": "last_status",
    "ERROR": "error.code",
    "DUE": "due_at",
}
_ATTEMPTS = {
    "NO": "no",
    "STARTED": "started_at",
    "OUTCOME": "outcome",
    "STATUS": "status",
    "ERROR": "error.code",
    "MS": "timings.total",
    "WORKER": "worker",
}
_STATES = ("pending", "held", "delivered", "dead", "skipped", "discarded")


@click.group(cls=Noun)
def deliveries() -> None:
    """See deliveries and their attempts, and retry them."""


@deliveries.command("list")
@click.option("--webhook", metavar="NAME", help="Only those to this webhook.")
@click.option("--state", type=click.Choice(_STATES), help="Only those in this state.")
@click.option("--event", metavar="ID", help="Only those of this event.")
@click.option("--replay", metavar="ID", help="Only those that this replay made.")
@lists
def list_deliveries(shell: Shell, paging: Paging, **filters: str | None) -> None:
    """List deliveries, newest first."""
    shell.listing("/deliveries", _COLUMNS, paging, **filters)


@deliveries.command
@click.argument("id_", metavar="ID")
@asks
def show(shell: Shell, id_: str) -> None:
    """Show one delivery."""
    shell.show(shell.rest.get(path_of("deliveries", id_)))


@deliveries.command
@click.argument("id_", metavar="ID")
@lists
def attempts(shell: Shell, id_: str, paging: Paging) -> None:
    """List the attempts at a delivery, first try first."""
    shell.listing(path_of("deliveries", id_, "attempts"), _ATTEMPTS, paging)


@deliveries.command
@click.argument("id_", metavar="ID")
@asks
def retry(shell: Shell, id_: str) -> None:
    """Try a delivery again, with the same webhook-id: a dead one in its order, one that has ended otherwise beside it."""
    shell.show(shell.rest.post(path_of("deliveries", id_, "retry")))
