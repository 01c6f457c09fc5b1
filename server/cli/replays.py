"""`crossdock replay`: make deliveries again, one or all that a filter means."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

import click

from server.cli.exits import Exit
from server.cli.output import details, note, say, table
from server.cli.paths import path_of
from server.cli.shell import Duration, Noun, asks, lists

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from server.cli.client import Answer
    from server.cli.shell import Paging, Shell

_COLUMNS = {
    "ID": "id",
    "STATE": "state",
    "DONE": "done",
    "OF": "total",
    "SKIPPED": "skipped",
    "FILTER": "filter",
    "CREATED": "created_at",
    "BY": "created_by",
}
_SAMPLES = {
    "DELIVERY": "delivery_id",
    "REQUEST": "request_id",
    "WEBHOOK": "webhook",
    "EVENT": "event_type",
    "SUBJECT": "subject",
    "STATE": "state",
    "RECORDED": "recorded_at",
}
_STATUSES = ("delivered", "dead", "skipped", "discarded", "stale", "emitted")
_STATES = ("counting", "running", "paused", "done", "cancelled", "failed")
_WORKING = ("counting", "running")
_POLL_SECONDS = 0.5
_STARTS = ("--webhook", "--type", "--subject", "--status", "--since", "--until", "--backfill")


class _Replay(Noun):
    """A noun whose verb `start` may be left out where a delivery or a filter is named."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put `start` where no verb stands and something to replay is named."""
        verb = bool(args) and args[0] in self.commands
        if not verb and any(each.startswith(("dlv_", "req_")) or each.partition("=")[0] in _STARTS for each in args):
            args = ["start", *args]
        return super().parse_args(ctx, args)


@click.group(cls=_Replay)
def replay() -> None:
    """Make deliveries again: named ones, or all that a filter means.

    `crossdock replay dlv_…` and `crossdock replay --webhook orders --since TIME` start one.
    """


@replay.command
@click.argument("ids", metavar="[DELIVERY_ID|REQUEST_ID]…", nargs=-1)
@click.option("--webhook", metavar="NAME", help="Deliveries to this webhook, or requests to this inbound one.")
@click.option("--type", metavar="PATTERN", help="Of events of this type, or of a pattern like order.* or **")
@click.option("--subject", help="Of events about this subject.")
@click.option("--status", type=click.Choice(_STATUSES), multiple=True, help="That ended like this; may be repeated.")
@click.option("--since", metavar="TIME", help="Of events recorded at or after (RFC 3339).")
@click.option("--until", metavar="TIME", help="Of events recorded before (RFC 3339).")
@click.option(
    "--backfill", is_flag=True, help="Make those that the webhook never had, of the events before it was there."
)
@click.option("--dry-run", is_flag=True, help="Count, show the first ones, and write nothing.")
@click.option(
    "--payload",
    type=click.Choice(("original", "current")),
    help="As it was first sent (the default), or mapped again by the present definition.",
)
@click.option("--as-new", is_flag=True, help="With another webhook-id, so that receivers take it for another message.")
@click.option("--rate", type=click.IntRange(1, 100_000), metavar="N", help="At most N new deliveries a second.")
@click.option("--wait", type=Duration(), metavar="DURATION", help="Show the progress, and wait so long for the end.")
@asks
def start(shell: Shell, ids: tuple[str, ...], wait: int | None, **given: Any) -> int | None:
    """Start a replay; order is waived, and dead letters of what is replayed are resolved."""
    names = ("webhook", "type", "subject", "status", "since", "until")
    filter_ = {name: given[name] for name in names if given[name]}
    body = {
        "filter": filter_ | _named(ids),
        "backfill": given["backfill"],
        "payload": given["payload"],
        "as_new": given["as_new"],
        "per_second": given["rate"],
        "dry_run": given["dry_run"],
    }
    answer = shell.rest.post("/replays", body)
    if given["dry_run"]:
        shell.show(answer, _counted)
        return None
    if wait is None:
        shell.show(answer, _started)
        return None
    return _wait(shell, answer, wait)


def _named(ids: tuple[str, ...]) -> dict[str, list[str]]:
    requests = [each for each in ids if each.startswith("req_")]
    deliveries = [each for each in ids if each not in requests]
    return {name: named for name, named in (("deliveries", deliveries), ("requests", requests)) if named}


@replay.command("list")
@click.option("--state", type=click.Choice(_STATES), help="Only those in this state.")
@lists
def list_replays(shell: Shell, paging: Paging, state: str | None) -> None:
    """List replays, newest first."""
    shell.listing("/replays", _COLUMNS, paging, state=state)


@replay.command
@click.argument("id_", metavar="ID")
@click.option("--wait", type=Duration(), metavar="DURATION", help="Show the progress, and wait so long for the end.")
@asks
def show(shell: Shell, id_: str, wait: int | None) -> int | None:
    """Show how far a replay has got, and what became of its deliveries."""
    answer = shell.rest.get(path_of("replays", id_))
    if wait is not None:
        return _wait(shell, answer, wait)
    shell.show(answer)
    return None


@replay.command
@click.argument("id_", metavar="ID")
@asks
def pause(shell: Shell, id_: str) -> None:
    """Stop a replay until it is resumed; what it has made goes out all the same."""
    shell.show(shell.rest.post(path_of("replays", id_, "pause")))


@replay.command
@click.argument("id_", metavar="ID")
@asks
def resume(shell: Shell, id_: str) -> None:
    """Let a replay go on where it was, after a pause or a failure."""
    shell.show(shell.rest.post(path_of("replays", id_, "resume")))


@replay.command
@click.argument("id_", metavar="ID")
@asks
def cancel(shell: Shell, id_: str) -> None:
    """End a replay for good; the deliveries that it has made stay."""
    shell.show(shell.rest.post(path_of("replays", id_, "cancel")))


def _counted(answer: Mapping[str, Any]) -> None:
    say(f"{answer['count']} deliveries would be made")
    if answer["samples"]:
        table(answer["samples"], _SAMPLES)
    if answer["count"] > len(answer["samples"]):
        note(f"these are the first {len(answer['samples'])}")


def _started(answer: Mapping[str, Any]) -> None:
    details(answer)
    note(f"`crossdock replay show {answer['id']}` tells how far it has got")
    note(f"`crossdock deliveries --replay {answer['id']}` lists what it makes")


def _wait(shell: Shell, answer: Answer, seconds: int) -> int | None:
    """Follow a replay until it ends or the time is over, then show it."""
    path = path_of("replays", answer.value["id"])
    *_, last = _progress(_polled(shell, path, seconds))
    shell.show(last)
    if last.value["state"] in _WORKING:
        note(f"it is still at work after {seconds} s: the time to wait is over, the replay goes on")
        return Exit.UNFINISHED
    return None if last.value["state"] == "done" else Exit.FAILED


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
        task = progress.add_task("counting", total=None)
        for answer in answers:
            value = answer.value
            progress.update(task, description=value["state"], completed=value["done"], total=value["total"])
            yield answer
