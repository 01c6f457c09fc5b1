"""`crossdock sync conflicts|resolve`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from server.cli.output import note, read_json, table
from server.cli.paths import path_of
from server.cli.shell import asks, lists

if TYPE_CHECKING:
    from server.cli.shell import Paging, Shell

_COLUMNS = {"ID": "id", "JOB": "job", "KEY": "key", "FIELDS": "fields", "SINCE": "created_at"}
_FIELDS = {"FIELD": "field", "BASE": "base", "SOURCE": "source", "TARGET": "target", "DECISION": "decision"}


def add_conflicts(noun: click.Group) -> None:
    """Add the verbs of conflicts to `crossdock sync`."""
    for each in (_conflicts, _conflict, _resolve):
        noun.add_command(each)


@click.command("conflicts")
@click.argument("name", required=False)
@click.option("--resolved", is_flag=True, help="Those that are over.")
@lists
def _conflicts(shell: Shell, name: str | None, paging: Paging, *, resolved: bool) -> None:
    """List records whose fields both sides of a two-way job have changed, and that wait for a person."""
    state = "resolved" if resolved else "open"
    shell.listing(path_of("sync-conflicts"), _COLUMNS, paging, job=name, state=state)


@click.command("conflict")
@click.argument("conflict", metavar="ID")
@asks
def _conflict(shell: Shell, conflict: str) -> None:
    """Show a conflict: what both sides agreed on, and what each has now."""
    shell.show(shell.rest.get(path_of("sync-conflicts", conflict)), _one)


@click.command("resolve")
@click.argument("conflict", metavar="ID")
@click.option(
    "--field",
    "fields",
    multiple=True,
    required=True,
    metavar="NAME=CHOICE",
    help="`source`, `target`, or `value:JSON`; may be given more than once.",
)
@asks
def _resolve(shell: Shell, conflict: str, fields: tuple[str, ...]) -> None:
    """Say what the fields of a conflict are to be; a run of that record writes it."""
    chosen = dict(_choice(each) for each in fields)
    answer = shell.rest.post(path_of("sync-conflicts", conflict, "resolve"), {"fields": chosen})
    shell.show(answer, _one)
    note(f"`crossdock sync status {answer.value['run']}` tells whether it is written")


def _choice(text: str) -> tuple[str, Any]:
    name, equals, choice = text.partition("=")
    if not name or not equals:
        raise click.BadParameter(f"NAME=source, NAME=target or NAME=value:JSON is needed, not {text}")
    if not choice.startswith("value:"):
        return name, choice
    written = choice.removeprefix("value:")
    try:
        return name, {"value": read_json(written)}
    except ValueError:
        return name, {"value": written}


def _one(found: Any) -> None:
    table(found["fields"], _FIELDS)
