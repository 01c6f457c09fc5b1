"""`crossdock sync`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from server.cli import output
from server.cli.paths import path_of
from server.cli.shell import Noun, lists
from server.cli.states import add_states
from server.cli.sync_conflicts import add_conflicts
from server.cli.sync_records import add_records
from server.cli.sync_runs import add_runs, follow

if TYPE_CHECKING:
    from server.cli.shell import Paging, Shell

_COLUMNS = {"NAME": "name", "STATE": "state", "VERSION": "version", "ORIGIN": "origin", "UPDATED": "updated_at"}
_NEXT = {
    "NAME": "name",
    "STATE": "state",
    "CRON": "cron",
    "TIME ZONE": "timezone",
    "NEXT": "nominal",
    "FIRES AT": "fires_at",
}
_PAST = {"CAME": "nominal", "AT": "at", "RUN": "run_id", "GIVEN UP FROM": "dropped"}
_TIMES = {"NEXT": "nominal", "LOCAL": "local", "FIRES AT": "fires_at"}


@click.group(cls=Noun)
def sync() -> None:
    """See sync jobs, pause and resume them, and when they run."""


add_states(sync, "sync-jobs", _COLUMNS)
add_runs(sync)
add_conflicts(sync)
add_records(sync, follow)


@sync.command
@click.argument("name", required=False)
@click.option("--count", type=click.IntRange(1, 100), default=10, show_default=True, help="How many times of one job.")
@lists
def schedule(shell: Shell, name: str | None, paging: Paging, count: int) -> None:
    """Show the next time of every sync job, or the next times of one."""
    if name is None:
        shell.listing(path_of("sync-schedules"), _NEXT, paging)
        return
    shell.show(shell.rest.get(path_of("sync-jobs", name, "schedule"), count=count), _one)


def _one(schedule: Any) -> None:
    output.details({key: value for key, value in schedule.items() if key not in ("times", "past")})
    output.table(schedule["times"], _TIMES)
    if schedule["past"]:
        output.table(schedule["past"], _PAST)
