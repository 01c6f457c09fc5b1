"""`crossdock sync run|runs|status|cancel|preview`."""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING, Any

import click

from server.cli.exits import Exit
from server.cli.output import details, note, read_json, say, table
from server.cli.paths import path_of
from server.cli.shell import Duration, asks, lists
from server.kernel.errors import sentence

if TYPE_CHECKING:
    from collections.abc import Iterator

    from server.cli.client import Answer
    from server.cli.shell import Paging, Shell

_COLUMNS = {
    "ID": "id",
    "KIND": "kind",
    "STATE": "state",
    "CAUSE": "cause",
    "READ": "read",
    "WRITTEN": "written",
    "UNCHANGED": "unchanged",
    "REFUSED": "refused",
    "DELETED": "deleted",
    "PARKED": "parked",
    "CREATED": "created_at",
    "ENDED": "ended_at",
}
_CHANGES = {"KEY": "key", "ACTION": "action", "FIELD": "field", "FROM": "from", "TO": "to"}
_PARKED = {
    "KEY": "key",
    "WAITS FOR": "ref",
    "ITS KEY": "ref_key",
    "SINCE": "parked_at",
    "UNTIL": "until",
    "READY": "ready_at",
}
_WORKING = ("queued", "running", "paused")
_POLL_SECONDS = 0.5


def add_runs(noun: click.Group) -> None:
    """Add the verbs of runs to `crossdock sync`."""
    for each in (_run, _runs, _status, _cancel, _preview, _parked):
        noun.add_command(each)


@click.command("run")
@click.argument("name")
@click.option("--key", metavar="JSON", help="The primary key of one row, as a list: that alone is synced.")
@click.option(
    "--record", metavar="KEY", help="One record that was written is written again, though its row be unchanged."
)
@click.option("--wait", type=Duration(), metavar="DURATION", help="Show the progress, and wait so long for the end.")
@asks
def _run(shell: Shell, name: str, key: str | None, record: str | None, wait: int | None) -> int | None:
    """Start a run of a sync job now, also of one that is paused."""
    if key is not None and record is not None:
        raise click.UsageError("--key and --record do not go together")
    if record is not None:
        answer = shell.rest.post(path_of("sync-jobs", name, "records", record, "replay"))
    else:
        answer = shell.rest.post(path_of("sync-jobs", name, "runs"), {"key": _read(key)})
    if wait is not None:
        return follow(shell, answer, wait)
    shell.show(answer)
    note(f"`crossdock sync status {answer.value['id']}` tells how far it has got")
    return None


@click.command("runs")
@click.argument("name")
@lists
def _runs(shell: Shell, name: str, paging: Paging) -> None:
    """List the runs of a sync job, newest first."""
    shell.listing(path_of("sync-jobs", name, "runs"), _COLUMNS, paging)


@click.command("status")
@click.argument("run", metavar="RUN")
@click.option("--wait", type=Duration(), metavar="DURATION", help="Show the progress, and wait so long for the end.")
@asks
def _status(shell: Shell, run: str, wait: int | None) -> int | None:
    """Show how far a run has got."""
    answer = shell.rest.get(path_of("sync-runs", run))
    if wait is not None:
        return follow(shell, answer, wait)
    shell.show(answer)
    return None


@click.command("cancel")
@click.argument("run", metavar="RUN")
@asks
def _cancel(shell: Shell, run: str) -> None:
    """End a run at its next step; what it has written stays."""
    shell.show(shell.rest.post(path_of("sync-runs", run, "cancel")))


@click.command("preview")
@click.argument("name")
@click.option("--rows", type=click.IntRange(1, 100), default=20, show_default=True, help="How many rows are read.")
@asks
def _preview(shell: Shell, name: str, rows: int) -> None:
    """Show what a run would do with its first rows, field by field; nothing is written."""
    shell.show(shell.rest.post(path_of("sync-jobs", name, "preview"), {"rows": rows}), _previewed)


def _previewed(found: Any) -> None:
    details({name: value for name, value in found.items() if name not in ("samples", "refused")})
    lines = [
        {"key": each["key"], "action": each["action"], **change}
        for each in found["samples"]
        for change in (each["changes"] or [{"field": "", "from": "", "to": json.dumps(each["record"])}])
    ]
    if lines:
        table(lines, _CHANGES)
    for each in found["refused"]:
        say(f"refused: {each['key']}: {sentence(each['error'])}")


def _read(key: str | None) -> list[Any] | None:
    if key is None:
        return None
    try:
        value = read_json(key)
    except ValueError:
        value = key
    return value if isinstance(value, list) else [value]


def follow(shell: Shell, answer: Answer, seconds: int) -> int | None:
    """Follow a run until it ends or the time is over, then show it."""
    *_, last = _progress(_polled(shell, path_of("sync-runs", answer.value["id"]), seconds))
    shell.show(last)
    if last.value["state"] in _WORKING:
        note(f"it is still at work after {seconds} s: the time to wait is over, the run goes on")
        return Exit.UNFINISHED
    return None if last.value["state"] == "succeeded" else Exit.FAILED


def _polled(shell: Shell, path: str, seconds: int) -> Iterator[Answer]:
    until = time.monotonic() + seconds
    while True:
        answer = shell.rest.get(path)
        yield answer
        if answer.value["state"] not in _WORKING or time.monotonic() >= until:
            return
        time.sleep(min(_POLL_SECONDS, max(0.0, until - time.monotonic())))


def _progress(answers: Iterator[Answer]) -> Iterator[Answer]:
    """Pass answers on, with a bar on a terminal."""
    if not sys.stderr.isatty():
        yield from answers
        return
    from rich.console import Console  # noqa: PLC0415 (see server/cli/__init__.py)
    from rich.progress import Progress  # noqa: PLC0415

    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("queued", total=None)
        for answer in answers:
            value = answer.value
            rate = value["rows_per_second"]
            shown = f"{value['phase']}, {rate:.0f} rows/s" if rate else value["state"]
            progress.update(task, description=shown, completed=value["read"], total=value["total"])
            yield answer


@click.command("parked")
@click.argument("name")
@lists
def _parked(shell: Shell, name: str, paging: Paging) -> None:
    """List the records of a sync job that wait for records of other jobs."""
    shell.listing(path_of("sync-jobs", name, "parked"), _PARKED, paging)
