"""`crossdock flow`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from server.cli import output
from server.cli.flow_runs import add_runs, show_run
from server.cli.paths import path_of
from server.cli.shell import Noun, asks
from server.cli.states import add_states

if TYPE_CHECKING:
    from server.cli.shell import Shell

_COLUMNS = {"NAME": "name", "STATE": "state", "VERSION": "version", "ORIGIN": "origin", "UPDATED": "updated_at"}
_RUN = "run_"


@click.group(cls=Noun)
def flow() -> None:
    """See flows and their runs; start, cancel and retry them, and decide what they ask."""


add_states(flow, "flows", _COLUMNS)
add_runs(flow)


@flow.command
@click.argument("which", metavar="NAME|RUN")
@asks
def show(shell: Shell, which: str) -> None:
    """Show a flow with its definition; or a run with its steps on a line of time."""
    if which.startswith(_RUN):
        show_run(shell, which)
    else:
        shell.show(shell.rest.get(path_of("flows", which)))


@flow.command
@click.argument("which", metavar="NAME|RUN")
@asks
def graph(shell: Shell, which: str) -> None:
    """Draw a flow, or a run in the colours of its states, in the language of Mermaid."""
    path = path_of("flow-runs", which, "graph") if which.startswith(_RUN) else path_of("flows", which, "graph")
    shell.show(shell.rest.get(path), _drawn)


def _drawn(found: Any) -> None:
    output.say(found["mermaid"].rstrip("\n"))
