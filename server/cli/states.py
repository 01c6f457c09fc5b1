"""What webhooks and integrations have in common on the command line: they are listed, shown, stopped and started."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

import click

from server.cli.paths import path_of
from server.cli.shell import Pair, asks, lists
from server.kernel.lifecycle import State

if TYPE_CHECKING:
    from collections.abc import Mapping

    from server.cli.shell import Noun, Paging, Shell

_HISTORY = {"VERSION": "version", "AT": "at", "EVENT": "type", "BY": "by", "DETAILS": "data"}
_MOVES = {
    "pause": "Pause it: work is kept and waits until it is resumed.",
    "resume": "Let it go on after a pause; what waited goes out oldest first.",
    "activate": "Make a draft or a disabled one active.",
    "disable": "Stop it until a person activates it again.",
}


def add_states(noun: Noun, path: str, columns: Mapping[str, str]) -> None:
    """Give a noun, whose resources lie under `path`, the verbs list, show, history, restore, pause, resume, activate, disable."""

    @noun.command("list", help=f"List the {path} of the workspace.")
    @click.option(
        "--state", type=click.Choice(get_args(State)), help="Only those in this state; archived: removed ones."
    )
    @click.option("--metadata", type=Pair(), multiple=True, help="Only those with this metadata; may be repeated.")
    @lists
    def list_(shell: Shell, paging: Paging, state: str | None, metadata: tuple[tuple[str, str], ...]) -> None:
        filters = {f"metadata.{key}": value for key, value in metadata}
        shell.listing(path_of(path), columns, paging, state=state, **filters)

    @noun.command(help="Show one with its definition.")
    @click.argument("name")
    @asks
    def show(shell: Shell, name: str) -> None:
        shell.show(shell.rest.get(path_of(path, name)))

    @noun.command(help="List what happened to one, from its creation on.")
    @click.argument("name")
    @lists
    def history(shell: Shell, name: str, paging: Paging) -> None:
        shell.listing(path_of(path, name, "history"), _HISTORY, paging)

    @noun.command(help="Bring a removed one back with its history, as a draft.")
    @click.argument("name")
    @asks
    def restore(shell: Shell, name: str) -> None:
        shell.show(shell.rest.post(path_of(path, name, "restore")))

    for move, about in _MOVES.items():
        _add_move(noun, path, move, about)


def _add_move(noun: Noun, path: str, move: str, about: str) -> None:
    @noun.command(move, help=about)
    @click.argument("name")
    @click.option("--reason", help="Why; it is kept in the history.")
    @asks
    def act(shell: Shell, name: str, reason: str | None) -> None:
        shell.show(shell.rest.post(path_of(path, name, move), {"reason": reason} if reason else None))
