"""`crossdock flow start|runs|cancel|retry|undo|approve|reject`, and how a run is shown."""

from __future__ import annotations

import time
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from server.cli.exits import Exit
from server.cli.output import cell, details, note, say, table, working
from server.cli.paths import path_of
from server.cli.shell import Duration, JsonText, asks, lists
from server.flows.states import RUN
from server.kernel.errors import sentence

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from server.cli.client import Answer
    from server.cli.shell import Paging, Shell

_COLUMNS = {
    "ID": "id",
    "FLOW": "flow",
    "STATE": "state",
    "CAUSE": "cause",
    "KEY": "key",
    "SECONDS": "seconds",
    "CREATED": "created_at",
    "ENDED": "ended_at",
}
_STEPS = {"STEP": "path", "STATE": "state", "FAILED TRIES": "tries", "SECONDS": "seconds", "WHEN": "bar", "WHY": "why"}
_ABOUT = (
    "id",
    "flow",
    "state",
    "cause",
    "key",
    "definition_version",
    "correlation_id",
    "created_at",
    "started_at",
    "ended_at",
)
_OPEN = ("queued", "running", "waiting", "compensating", "cancelling")
_WIDE = 24
_POLL_SECONDS = 0.3


def add_runs(noun: click.Group) -> None:
    """Add the verbs of runs to `crossdock flow`."""
    for each in (_start, _runs, _cancel, _retry, _undo, _approve, _reject):
        noun.add_command(each)


@click.command("start")
@click.argument("name")
@click.option(
    "--data", type=JsonText(), default=None, help="What it is started with: JSON, @FILE, or - for standard input."
)
@click.option("--key", help="One run per key: with one that is taken that run is answered.")
@click.option("--wait", type=Duration(), metavar="DURATION", help="Wait so long for its end, and show it.")
@asks
def _start(shell: Shell, name: str, data: Any, key: str | None, wait: int | None) -> int | None:
    """Start a run of a flow; that of a paused one waits until the flow is resumed."""
    body = {"data": {} if data is None else data, "idempotency_key": key}
    answer = shell.rest.post(path_of("flows", name, "runs"), body)
    if wait is not None:
        return _follow(shell, answer.value["id"], wait)
    shell.show(answer, _started)
    return None


def _started(answer: Any) -> None:
    say(answer["id"])
    note("a run with this key was there: nothing was started" if answer["duplicate"] else "started")
    note(f"`crossdock flow show {answer['id']}` tells how far it is")


@click.command("runs")
@click.argument("name", required=False)
@click.option("--state", type=click.Choice(sorted(RUN)), help="Only those in this state.")
@click.option("--key", help="Only those with this idempotency key.")
@click.option("--correlation-id", help="Only those of this chain.")
@lists
def _runs(shell: Shell, name: str | None, paging: Paging, **filters: str | None) -> None:
    """List runs, of all flows or of one, newest first."""
    shell.listing(path_of("flow-runs"), _COLUMNS, paging, flow=name, **filters)


@click.command("cancel")
@click.argument("run", metavar="RUN")
@click.option("--no-undo", is_flag=True, help="Leave what it did as it is; the same data may then be done twice.")
@asks
def _cancel(shell: Shell, run: str, *, no_undo: bool) -> None:
    """End a run; what it did is undone first, newest first."""
    shell.show(shell.rest.post(path_of("flow-runs", run, "cancel"), {"undo": not no_undo}), _short)


@click.command("retry")
@click.argument("run", metavar="RUN")
@click.option("--from", "from_step", metavar="STEP", help="That step and those behind it are undone, and done again.")
@asks
def _retry(shell: Shell, run: str, from_step: str | None) -> None:
    """Let a run that failed go on where it broke; one whose undo failed goes on undoing."""
    shell.show(shell.rest.post(path_of("flow-runs", run, "retry"), {"from_step": from_step}), _short)


@click.command("undo")
@click.argument("run", metavar="RUN")
@asks
def _undo(shell: Shell, run: str) -> None:
    """Undo what a run that failed did, newest first."""
    shell.show(shell.rest.post(path_of("flow-runs", run, "compensate")), _short)


@click.command("approve")
@click.argument("run", metavar="RUN")
@click.argument("step", metavar="STEP")
@click.option("--comment", help="Why; it is kept with the run.")
@asks
def _approve(shell: Shell, run: str, step: str, comment: str | None) -> None:
    """Approve what a step asks for: the run goes on."""
    _decide(shell, run, step, "approve", comment)


@click.command("reject")
@click.argument("run", metavar="RUN")
@click.argument("step", metavar="STEP")
@click.option("--comment", help="Why; it is kept with the run.")
@asks
def _reject(shell: Shell, run: str, step: str, comment: str | None) -> None:
    """Reject what a step asks for: the step has failed."""
    _decide(shell, run, step, "reject", comment)


def _decide(shell: Shell, run: str, step: str, verb: str, comment: str | None) -> None:
    path = path_of("flow-runs", run, "steps", *step.split("/"), verb)
    shell.show(shell.rest.post(path, {"comment": comment}), _short)


def _short(run: Any) -> None:
    details({name: run[name] for name in _ABOUT if run[name] is not None})


def show_run(shell: Shell, run: str) -> None:
    """Show a run with its steps on a line of time."""
    shell.show(shell.rest.get(path_of("flow-runs", run)), _whole)


def _follow(shell: Shell, run: str, seconds: int) -> int | None:
    """Wait until a run ends or the time is over, then show it."""
    with working(f"{run} is at work"):
        last = _polled(shell, run, time.monotonic() + seconds)
    shell.show(last, _whole)
    if last.value["state"] in _OPEN:
        note(f"it is {last.value['state']} after {seconds} s: the time to wait is over, the run goes on")
        return Exit.UNFINISHED
    return None if last.value["state"] == "completed" else Exit.FAILED


def _polled(shell: Shell, run: str, until: float) -> Answer:
    while True:
        answer = shell.rest.get(path_of("flow-runs", run))
        if answer.value["state"] not in _OPEN or time.monotonic() >= until:
            return answer
        time.sleep(min(_POLL_SECONDS, max(0.0, until - time.monotonic())))


def _whole(run: Any) -> None:
    _short(run)
    if run["error"]:
        say(f"error: {run['error']['code']} {sentence(run['error'])}")
    if run["output"] is not None:
        say(f"output: {cell(run['output'])}")
    if run["steps"]:
        say("")
        table(_lines(run), _STEPS)
    for hint in _hints(run):
        note(hint)
    if run["steps_total"] > len(run["steps"]):
        note(f"the first {len(run['steps'])} of {run['steps_total']} steps")


def _hints(run: Mapping[str, Any]) -> list[str]:
    """Say what a person can do about a run that needs one."""
    if run["state"] == "failed":
        return [f"next: mend the cause, then `crossdock flow retry {run['id']}`, or `crossdock flow undo {run['id']}`"]
    if run["state"] == "compensation_failed":
        return [f"next: mend the cause, then `crossdock flow retry {run['id']}` undoes the rest"]
    if run["state"] == "compensated":
        return [
            f"next: all is undone; mend the cause, and start it again: `crossdock flow start {run['flow']} --data '{{…}}'`"
        ]
    return [
        f"next: `crossdock flow approve {run['id']} {each['path']}`, or `reject`"
        for each in run["steps"]
        if "message" in (each["waits"] or {})
    ]


def _lines(run: Mapping[str, Any]) -> list[dict[str, Any]]:
    steps: Sequence[Mapping[str, Any]] = run["steps"]
    moments = [_moment(each[name]) for each in steps for name in ("began_at", "ended_at") if each[name] is not None]
    start, end = min(moments), max([*moments, *([_moment(run["ended_at"])] if run["ended_at"] else [])])
    return [{**each, "bar": _bar(each, start, end), "why": _why(each)} for each in steps]


def _bar(step: Mapping[str, Any], start: float, end: float) -> str:
    """Draw when a step was at work."""
    whole = max(end - start, 0.001)
    began = _moment(step["began_at"]) - start
    ended = (_moment(step["ended_at"]) if step["ended_at"] else end) - start
    left = min(int(began / whole * _WIDE), _WIDE - 1)
    wide = max(1, min(round((ended - began) / whole * _WIDE), _WIDE - left))
    return "." * left + "#" * wide + "." * (_WIDE - left - wide)


def _why(step: Mapping[str, Any]) -> str | None:
    error = step["undo_error"] or step["error"]
    if error is not None:
        return f"{error['code']} {sentence(error)}"
    waits = step["waits"] or {}
    if "message" in waits:
        return f"asks: {waits['message']}"
    if "needed" in waits:
        return f"{waits['arrived']} of {waits['needed']} events, until {waits.get('until')}"
    return f"until {waits['until']}" if "until" in waits else step["child_run"]


def _moment(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
