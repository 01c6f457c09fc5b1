"""`crossdock dead-letters`: what will not be tried again by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from server.cli.output import note, say
from server.cli.paths import path_of
from server.cli.shell import Noun, asks, confirmed, lists

if TYPE_CHECKING:
    from server.cli.shell import Paging, Shell

_AT_ONCE = 10_000
"""As many as the server retries for one request."""
_COLUMNS = {
    "ID": "id",
    "OWNER": "owner",
    "REASON": "reason",
    "ERROR": "error.code",
    "TRIES": "attempts",
    "CREATED": "created_at",
    "RESOLVED": "resolution",
}


@click.group("dead-letters", cls=Noun)
def dead_letters() -> None:
    """See what died, retry it or discard it."""


@dead_letters.command("list")
@click.option("--owner", metavar="KIND/NAME", help="Only those of one definition, such as webhook/orders.")
@click.option("--kind", help="Only those of one kind of work, such as delivery.")
@click.option("--resolved", is_flag=True, help="Those that were retried or discarded, instead of the open ones.")
@lists
def list_dead_letters(shell: Shell, paging: Paging, owner: str | None, kind: str | None, resolved: bool) -> None:
    """List dead letters, newest first."""
    shell.listing("/dead-letters", _COLUMNS, paging, owner=owner, kind=kind, resolved=resolved or None)


@dead_letters.command
@click.argument("id_", metavar="ID")
@asks
def show(shell: Shell, id_: str) -> None:
    """Show one dead letter."""
    shell.show(shell.rest.get(path_of("dead-letters", id_)))


@dead_letters.command
@click.argument("id_", metavar="ID")
@asks
def retry(shell: Shell, id_: str) -> None:
    """Try what died again; doing it twice does it once."""
    shell.show(shell.rest.post(path_of("dead-letters", id_, "retry")))


@dead_letters.command("retry-all")
@click.argument("owner", metavar="KIND/NAME")
@asks
def retry_all(shell: Shell, owner: str) -> None:
    """Retry every open dead letter of one definition, such as webhook/orders."""
    count = 0
    while True:
        some = int(shell.rest.post("/dead-letters/retry", {"owner": owner}).value["count"])
        count += some
        if some < _AT_ONCE:  # those that die again meanwhile are for the next time
            break
        note(f"{count} retried …")
    shell.result({"count": count}, lambda value: say(f"{value['count']} retried"))


@dead_letters.command
@click.argument("id_", metavar="ID")
@click.option("--yes", is_flag=True, help="Do not ask.")
@asks
def discard(shell: Shell, id_: str, yes: bool) -> None:
    """Give a dead letter up for good; what waited for it in order goes on."""
    confirmed(f"Give {id_} up for good?", sure=yes)
    shell.show(shell.rest.post(path_of("dead-letters", id_, "discard")))
