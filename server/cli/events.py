"""`crossdock send` and `crossdock events`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from server.cli.client import path_of
from server.cli.output import note, say
from server.cli.shell import JsonText, Noun, asks, lists

if TYPE_CHECKING:
    from server.cli.shell import Paging, Shell

_COLUMNS = {"ID": "id", "TYPE": "type", "SUBJECT": "subject", "SOURCE": "source", "RECORDED": "recorded_at"}


@click.command
@click.argument("type_", metavar="TYPE")
@click.option("--data", type=JsonText(), required=True, help="The event's data: JSON, @FILE, or - for standard input.")
@click.option("--id", "id_", help="The event's id; the same id and content again is a duplicate, not a second event.")
@click.option("--source", help="Where it comes from; ids are unique per source.")
@click.option("--subject", help="What it is about, such as a document's number.")
@click.option("--time", help="When it happened (RFC 3339); now when left out.")
@click.option("--correlation-id", help="Ties it to what else belongs together.")
@asks
def send(shell: Shell, type_: str, data: Any, id_: str | None, **attributes: str | None) -> None:
    """Publish one event of a TYPE; it is stored when the command ends well."""
    given = {"type": type_, "data": data, "id": id_, **attributes}
    event = {key: value for key, value in given.items() if value is not None or key == "data"}
    shell.show(shell.rest.post("/events", event), _sent)


def _sent(answer: dict[str, Any]) -> None:
    say(answer["id"])
    note("it was stored before: nothing was done" if answer["duplicate"] else "stored")


@click.group(cls=Noun)
def events() -> None:
    """Read the events that were stored."""


@events.command("list")
@click.option("--type", help="Only events of this type.")
@click.option("--subject", help="Only events about this subject.")
@click.option("--correlation-id", help="Only events with this correlation id.")
@click.option("--since", metavar="TIME", help="Recorded at or after (RFC 3339).")
@click.option("--until", metavar="TIME", help="Recorded before (RFC 3339).")
@lists
def list_events(shell: Shell, paging: Paging, **filters: str | None) -> None:
    """List events, newest first."""
    shell.listing("/events", _COLUMNS, paging, **filters)


@events.command
@click.argument("id_", metavar="ID")
@click.option("--source", help="Needed when several sources used this id.")
@asks
def show(shell: Shell, id_: str, source: str | None) -> None:
    """Show one event with its data."""
    shell.show(shell.rest.get(path_of("events", id_), source=source))
