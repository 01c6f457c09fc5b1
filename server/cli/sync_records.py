"""`crossdock sync revert|changes|reconcile|differences|why`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from server.cli.output import details, note, table
from server.cli.paths import path_of
from server.cli.shell import Duration, asks, lists

if TYPE_CHECKING:
    from collections.abc import Callable

    from server.cli.client import Answer
    from server.cli.shell import Paging, Shell

_FORESEEN = {"KEY": "key", "ACTION": "action", "WHY": "reason", "TO": "to"}
_CHANGES = {
    "KEY": "key",
    "STATE": "state",
    "WHY": "reason",
    "AT": "at",
    "KEPT UNTIL": "kept_until",
    "BEFORE": "before",
    "WRITTEN": "written",
}
_DIFFERENCES = {
    "KIND": "kind",
    "KEY": "key",
    "TARGET KEY": "target_key",
    "FIELDS": "fields",
    "STATE": "state",
    "WHY": "reason",
}
_OF_RECORD = {"RUN": "run", "AT": "at", "BEFORE": "before", "WRITTEN": "written", "STATE": "state"}
_REFUSED = {"RUN": "run", "AT": "at", "ERROR": "error.code", "STATE": "state"}
_wait = click.option(
    "--wait", type=Duration(), metavar="DURATION", help="Show the progress, and wait so long for the end."
)


def add_records(noun: click.Group, follow: Callable[[Shell, Answer, int], int | None]) -> None:
    """Add the verbs of records to `crossdock sync`; `follow` waits for a run."""
    for each in (_revert(follow), _reconcile(follow), _changes, _differences, _why):
        noun.add_command(each)


def _revert(follow: Callable[[Shell, Answer, int], int | None]) -> click.Command:
    @click.command("revert")
    @click.argument("run", metavar="RUN")
    @click.option("--dry-run", is_flag=True, help="Show what it would do with the first records; nothing is written.")
    @click.option("--force", is_flag=True, help="Also put back what was changed since.")
    @_wait
    @asks
    def revert(shell: Shell, run: str, *, dry_run: bool, force: bool, wait: int | None) -> int | None:
        """Put back what a run wrote, as it was before; what was changed since is left and listed."""
        path = path_of("sync-runs", run, "revert")
        if dry_run:
            shell.show(shell.rest.post(f"{path}/preview", {"force": force}), _foreseen)
            return None
        return _begun(
            shell, shell.rest.post(path, {"force": force}), wait, follow, f"crossdock sync changes {run} --state left"
        )

    return revert


def _reconcile(follow: Callable[[Shell, Answer, int], int | None]) -> click.Command:
    @click.command("reconcile")
    @click.argument("name")
    @click.option("--repair", is_flag=True, help="Write what is missing or differs, within the job's guards.")
    @_wait
    @asks
    def reconcile(shell: Shell, name: str, *, repair: bool, wait: int | None) -> int | None:
        """Compare every row of a job's source with its target."""
        answer = shell.rest.post(path_of("sync-jobs", name, "reconcile"), {"repair": repair})
        return _begun(shell, answer, wait, follow, f"crossdock sync differences {answer.value['id']}")

    return reconcile


@click.command("changes")
@click.argument("run", metavar="RUN")
@click.option("--state", type=click.Choice(("open", "reverted", "left")), help="Only those in this state.")
@lists
def _changes(shell: Shell, run: str, paging: Paging, state: str | None) -> None:
    """List the records that a run wrote or removed, with what was there before."""
    shell.listing(path_of("sync-runs", run, "changes"), _CHANGES, paging, state=state)


@click.command("differences")
@click.argument("run", metavar="RUN")
@click.option("--kind", type=click.Choice(("missing", "differing", "surplus")), help="Only those of this kind.")
@click.option("--state", type=click.Choice(("open", "repaired", "left")), help="Only those in this state.")
@lists
def _differences(shell: Shell, run: str, paging: Paging, **filters: str | None) -> None:
    """List what a reconcile found: missing in the target, differing, or too much there."""
    shell.listing(path_of("sync-runs", run, "differences"), _DIFFERENCES, paging, **filters)


@click.command("why")
@click.argument("name")
@click.argument("key")
@asks
def _why(shell: Shell, name: str, key: str) -> None:
    """Tell why a record of the target looks as it does; KEY is its row's primary key, several values as a JSON list."""
    shell.show(shell.rest.get(path_of("sync-jobs", name, "records", key)), _explained)


def _begun(
    shell: Shell, answer: Answer, wait: int | None, follow: Callable[[Shell, Answer, int], int | None], then: str
) -> int | None:
    if wait is not None:
        return follow(shell, answer, wait)
    shell.show(answer)
    note(f"`crossdock sync status {answer.value['id']}` tells how far it has got, `{then}` what it found")
    return None


def _foreseen(found: Any) -> None:
    details({name: value for name, value in found.items() if name != "samples"})
    if found["samples"]:
        table(
            [{**each, "key": json.dumps(each["key"]), "to": json.dumps(each["to"])} for each in found["samples"]],
            _FORESEEN,
        )


def _explained(found: Any) -> None:
    details({name: value for name, value in found.items() if name not in ("changes", "refused")})
    if found["changes"]:
        table(found["changes"], _OF_RECORD)
    if found["refused"]:
        table(found["refused"], _REFUSED)
