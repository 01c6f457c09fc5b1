"""`crossdock bench`: how fast is it here? A measurement on the user's own server, with what it needs made and removed again."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from server.cli import output
from server.cli.exits import Exit
from server.cli.shell import asks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from server.cli.bench_load import Plan
    from server.cli.shell import Shell

    Tell = Callable[[int, int], None]
    """Takes how many events were accepted and received so far."""


@click.command
@click.option("--rate", type=click.FloatRange(0.1, 5000), default=200.0, show_default=True, help="Events per second.")
@click.option("--seconds", type=click.FloatRange(0.5, 3600), default=20.0, show_default=True, help="For how long.")
@click.option(
    "--webhooks", type=click.IntRange(1, 1000), default=10, show_default=True, help="How many webhooks are made."
)
@click.option(
    "--size", type=click.IntRange(64, 65_536), default=1024, show_default=True, help="Bytes of an event's data."
)
@click.option(
    "--batch", type=click.IntRange(1, 500), default=1, show_default=True, help="Events per request; a list when more."
)
@click.option("--listen", default="127.0.0.1", show_default=True, help="The address on which the receiver listens.")
@click.option("--receiver", metavar="URL", help="How the server reaches the receiver, when it is on another machine.")
@click.option("--svg", type=click.Path(dir_okay=False, path_type=Path), help="Draw the distribution into this file.")
@click.option("--disturb", is_flag=True, help="Run although webhooks of yours would get the events too.")
@click.option("--clean", is_flag=True, help="Only remove what runs that were killed have left.")
@asks
def bench(shell: Shell, svg: Path | None, clean: bool, **asked: Any) -> Exit:
    """Measure throughput and latency of a running server.

    A receiver is started in this command, signed webhooks for it are made (`bench-…`) and removed at the end, also on
    Ctrl-C, and events are offered at fixed moments, whatever happened to those before. The events stay in the event store
    like any other, so better measure in a workspace of its own.
    """
    from server.cli.bench_load import Plan, run  # noqa: PLC0415 (see server/cli/__init__.py)
    from server.cli.bench_shown import drawn  # noqa: PLC0415
    from server.cli.bench_stage import clean_up, staged  # noqa: PLC0415

    if clean:
        shell.result({"removed": clean_up(shell.rest)}, lambda found: output.say(f"removed: {_cell(found)}"))
        return Exit.OK
    plan = Plan(**asked)
    with staged(shell, plan) as stage, _progress(plan) as tell:
        found = run(plan, stage, tell)
    if svg is not None:
        svg.write_text(drawn(found), "utf-8")
    shell.result(found, _show)
    return Exit.OK if found["lost"] == 0 and not found["refused"] else Exit.FAILED


def _cell(found: Mapping[str, Any]) -> str:
    return output.cell(found["removed"])


def _show(found: Mapping[str, Any]) -> None:
    from server.cli.bench_shown import histogram  # noqa: PLC0415 (see server/cli/__init__.py)

    output.say(
        f"{found['accepted']} of {found['offered']} events accepted, {found['received']} received, {found['lost']} lost, "
        f"{found['repeated']} repeated, over {found['connections']} connections"
    )
    for status, count in found["refused"].items():
        output.say(f"{count} were answered {status}")
    output.say(f"throughput: {found['per_second']:.1f} deliveries per second")
    rows = [
        {"what": words, **{name: f"{value:.1f}" for name, value in found[key].items()}}
        for key, words in (
            ("ingest_ms", "offered to accepted"),
            ("latency_ms", "accepted to received"),
            ("total_ms", "offered to received"),
        )
    ]
    output.table(rows, {"MILLISECONDS": "what", "P50": "p50", "P95": "p95", "P99": "p99", "MOST": "max"})
    output.say("\naccepted to received:")
    output.say(histogram(found["histogram"]))


@contextmanager
def _progress(plan: Plan) -> Iterator[Tell]:
    """Show on a terminal how far it is; elsewhere nothing."""
    if not sys.stderr.isatty():
        yield lambda _accepted, _received: None
        return
    from rich.console import Console  # noqa: PLC0415 (see server/cli/__init__.py)
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn  # noqa: PLC0415

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"))
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True), transient=True) as bars:
        accepted = bars.add_task("accepted", total=plan.events)
        received = bars.add_task("received", total=plan.events)

        def tell(accepted_now: int, received_now: int) -> None:
            bars.update(accepted, completed=accepted_now)
            bars.update(received, completed=received_now)

        yield tell
