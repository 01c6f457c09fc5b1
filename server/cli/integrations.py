"""`crossdock integration`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from server.cli import output
from server.cli.exits import Exit
from server.cli.paths import path_of
from server.cli.shell import JsonText, Noun, asks
from server.cli.states import add_states

if TYPE_CHECKING:
    from server.cli.shell import Shell

_COLUMNS = {
    "NAME": "name",
    "PLUGIN": "definition.plugin",
    "STATE": "state",
    "VERSION": "version",
    "ORIGIN": "origin",
    "UPDATED": "updated_at",
}


@click.group(cls=Noun)
def integration() -> None:
    """See integrations, pause and resume them, and ask the systems behind them how they are."""


add_states(integration, "integrations", _COLUMNS)


@integration.command
@click.argument("name")
@asks
def test(shell: Shell, name: str) -> Exit:
    """Ask the system behind an integration how it is; fails when it is unhealthy."""
    with output.working("asking"):
        answer = shell.rest.post(path_of("integrations", name, "test"))
    shell.show(answer)
    return Exit.FAILED if answer.value.get("status") == "unhealthy" else Exit.OK


@integration.command
@click.argument("name")
@click.argument("operation", metavar="NOUN.VERB")
@click.option(
    "--input", "input_", type=JsonText(), default="{}", help="The input: JSON, @FILE, or - for standard input."
)
@asks
def call(shell: Shell, name: str, operation: str, input_: Any) -> None:
    """Call one operation of an integration once, and show what it answers."""
    body = {"operation": operation, "input": input_}
    with output.working("calling"):
        answer = shell.rest.post(path_of("integrations", name, "call"), body)
    shell.show(answer)
