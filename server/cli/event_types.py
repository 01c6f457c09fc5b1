"""`crossdock event-type`: the catalogue."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from server.cli.output import write_json
from server.cli.paths import path_of
from server.cli.shell import Noun, asks, lists

if TYPE_CHECKING:
    from server.cli.shell import Paging, Shell

_COLUMNS = {
    "NAME": "name",
    "DESCRIPTION": "definition.description",
    "ORIGIN": "origin",
    "UPDATED": "updated_at",
}


@click.group("event-type", cls=Noun)
def event_type() -> None:
    """Read the catalogue of event types."""


@event_type.command("list")
@lists
def list_event_types(shell: Shell, paging: Paging) -> None:
    """List the event types of the catalogue, a line per version."""
    shell.listing("/event-types", _COLUMNS, paging)


@event_type.command
@asks
def asyncapi(shell: Shell) -> None:
    """Print the AsyncAPI 3 document of the workspace: event types, webhooks and endpoints."""
    shell.show(shell.rest.get("/asyncapi.json"), lambda document: click.echo(write_json(document)))


@event_type.command
@click.argument("name", metavar="TYPE@VERSION")
@asks
def show(shell: Shell, name: str) -> None:
    """Show one event type with its schema and example."""
    shell.show(shell.rest.get(path_of("event-types", name)))
