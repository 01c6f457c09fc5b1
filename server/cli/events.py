"""`crossdock send` and `crossdock events`."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

import click

from server.cli import following
from server.cli.client import items_of
from server.cli.output import cell, note, read_json, say, visible, write_json
from server.cli.paths import path_of
from server.cli.shell import JsonText, Noun, asks, lists

if TYPE_CHECKING:
    from collections.abc import Iterator

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
@click.option("--type", help="Only events of this type, or of a pattern such as order.* or order.**")
@click.option("--subject", help="Only events about this subject.")
@click.option("--source", help="Only events from this source.")
@click.option("--correlation-id", help="Only events with this correlation id.")
@click.option("--since", metavar="TIME", help="Recorded at or after (RFC 3339).")
@click.option("--until", metavar="TIME", help="Recorded before (RFC 3339).")
@click.option("--follow", is_flag=True, help="Listen: events as they are stored, from now or --since on, one a line.")
@click.option("--count", type=click.IntRange(1), help="With --follow: end after so many events.")
@lists
def list_events(shell: Shell, paging: Paging, *, follow: bool, count: int | None, **filters: str | None) -> None:
    """List events, newest first; or listen to them with --follow."""
    if not follow:
        if count is not None:
            raise click.UsageError("--count is for --follow")
        shell.listing("/events", _COLUMNS, paging, **filters)
        return
    given = [name for name in ("source", "correlation_id", "until") if filters[name] is not None]
    if given or paging.cursor or paging.whole:
        raise click.UsageError("--follow takes --type, --subject and --since only")
    told = following.follow(shell.rest, filters["since"], types=filters["type"], subject=filters["subject"])
    for text in islice(told, count):
        click.echo(text if shell.json else _line(read_json(text)))


def _line(event: dict[str, Any]) -> str:
    return "  ".join(cell(event[name]) for name in ("recorded_at", "type", "subject", "id"))


@events.command
@click.argument("id_", metavar="ID")
@click.option("--source", help="Needed when several sources used this id.")
@asks
def show(shell: Shell, id_: str, source: str | None) -> None:
    """Show one event with its data."""
    shell.show(shell.rest.get(path_of("events", id_), source=source))


@events.command
@click.argument("id_", metavar="ID")
@click.option("--source", help="Needed when several sources used this id.")
@asks
def tree(shell: Shell, id_: str, source: str | None) -> None:
    """Show what an event came of, and what came of it."""
    shell.show(shell.rest.get(path_of("events", id_, "tree"), source=source), lambda found: _trees(found, id_))


def _trees(found: dict[str, Any], asked: str) -> None:
    for root in found["trees"]:
        say("\n".join(_branch(root, asked, "", "")))
    if found["cut"] is not None:
        note(f"there is more: it was cut after {found['nodes']} (by {found['cut']})")


def _branch(node: dict[str, Any], asked: str, head: str, below: str) -> Iterator[str]:
    more = node["details"]
    tries = f"after {more['attempts']} {'try' if more['attempts'] == 1 else 'tries'}" if "attempts" in more else None
    parts = [node["kind"], node["name"], more.get("subject"), node["state"], tries, more.get("reason"), node["id"]]
    here = "  <- asked for" if node["kind"] == "event" and node["id"] == asked else ""
    yield head + visible("  ".join(str(each) for each in parts if each)) + here
    for number, child in enumerate(node["children"], 1):
        last = number == len(node["children"])
        yield from _branch(child, asked, below + ("└─ " if last else "├─ "), below + ("   " if last else "│  "))


@events.command
@click.argument("subject")
@click.option("--type", help="Only events of this type or pattern.")
@lists
def history(shell: Shell, subject: str, type: str | None, paging: Paging) -> None:  # noqa: A002 - the option's name
    """Show all events about a subject, oldest first, and what each changed."""
    query = {"subject": subject, "type": type}
    if paging.whole:
        items = list(shell.rest.pages("/subjects/history", limit=200, **query))
        shell.result({"items": items, "next": None}, _history)
        return
    shell.show(shell.rest.get("/subjects/history", limit=paging.limit, cursor=paging.cursor, **query), _history)


def _history(page: dict[str, Any]) -> None:
    for event in items_of(page):
        say(_line(dict(event)))
        for change in event["changes"]:
            before, after = (write_json(change[key]) if key in change else "nothing" for key in ("before", "after"))
            say(f"    {change['pointer'] or '/'}: {before} -> {after}")
        if event["more_changes"]:
            say("    and more")
    if page["next"] is not None:
        note(f"there are more: --all, or --cursor {page['next']}")
