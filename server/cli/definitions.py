"""`crossdock plan`, `apply`, `rollback` and `export`; `crossdock definition` reads what the workspace holds."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import click

from server.authoring.words import KINDS
from server.cli import output
from server.cli.exits import Exit
from server.cli.failing import OTHER_WORKSPACE
from server.cli.files import Paths, bodies, counted, gather_all, origin_of, show_findings, tally
from server.cli.paths import path_of
from server.cli.shell import Noun, asks, lists
from server.kernel.errors import Conflict, Malformed, code

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from server.cli.shell import Paging, Shell

BAD_EXPORT = code("BAD_EXPORT", "The server sent a file name that leads out of the folder; nothing of it was written.")
_PLAN = "crossdock_plan"
_PLAN_FORM = 1
_SIGNS = {"create": "+", "change": "~", "remove": "-"}
_LONGEST = 120
_COLUMNS = {
    "KIND": "kind",
    "NAME": "name",
    "VERSION": "version",
    "ORIGIN": "origin",
    "DRIFTED": "drifted",
    "UPDATED": "updated_at",
    "BY": "updated_by",
}
_VERSIONS = {"VERSION": "version", "ACTION": "action", "ORIGIN": "origin", "AT": "at", "BY": "by"}


class _Path(click.ParamType[Any]):
    """`KIND/NAME`, such as webhook/orders or event-type/order.created@1, as its path in the API."""

    name = "definition"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the path."""
        kind, slash, name = str(value).partition("/")
        if not (kind and slash and name):
            self.fail(f"{value!r} is not KIND/NAME, such as webhook/orders", param, ctx)
        return path_of("definitions", kind, name)


_origin = click.option("--origin", metavar="NAME", help="Who owns the definitions; the folder's name when left out.")
_prune = click.option("--prune", is_flag=True, help="Remove what this folder owned and no longer has.")


@click.command
@click.argument("paths", cls=Paths)
@_prune
@_origin
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Write the plan to this file for `apply`.")
@asks
def plan(shell: Shell, paths: Sequence[Path], prune: bool, origin: str | None, out: Path | None) -> Exit:
    """Show what `apply` would create, change and remove, field by field. It touches nothing."""
    request = _request(paths, origin, prune=prune)
    if request is None:
        return Exit.FAILED
    with output.working("planning"):
        answer = shell.rest.post("/definitions/plan", request)
    made = answer.value
    shell.show(answer, _show_plan)
    if any(each["severity"] == "error" for each in made["findings"]):
        return Exit.FAILED
    if out is not None:
        head = {_PLAN: _PLAN_FORM, "workspace": _workspace(shell), "base": made["base"]}
        out.write_text(output.write_json(head | request | {"changes": made["changes"]}, indent=True) + "\n", "utf-8")
        output.note(f"written to {out}: crossdock apply {out}")
    return Exit.OK


@click.command
@click.argument("paths", cls=Paths)
@_prune
@_origin
@asks
def apply(shell: Shell, paths: Sequence[Path], prune: bool, origin: str | None) -> Exit:
    """Make the workspace hold these definitions, all in one transaction.

    PATHS are folders and files, or one plan that `crossdock plan --out FILE` wrote: it is refused when the workspace has
    changed since.
    """
    planned = _read_plan(paths)
    if planned is not None and (prune or origin):
        raise click.UsageError("a plan says itself whether it prunes, and whose it is")
    request = _request(paths, origin, prune=prune) if planned is None else _of_plan(shell, planned)
    if request is None:
        return Exit.FAILED
    with output.working("applying"):
        answer = shell.rest.post("/definitions/apply", request)
    shell.show(answer, _show_applied)
    return Exit.OK


@click.command
@click.argument("definition", type=_Path(), metavar="KIND/NAME")
@click.argument("version", type=click.IntRange(1, 2**31 - 1), required=False)
@asks
def rollback(shell: Shell, definition: str, version: int | None) -> None:
    """Re-apply an older VERSION of a definition, the one before when left out.

    It shows as drift in `plan` until the files agree.
    """
    body = {} if version is None else {"version": version}
    shell.show(shell.rest.post(f"{definition}/rollback", body))


@click.command
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="Write a file each below this folder.")
@click.option("--origin", help="Only those of this owner: `api`, or `folder:NAME`.")
@asks
def export(shell: Shell, out: Path | None, origin: str | None) -> None:
    """Write the definitions that the workspace holds, as files that check cleanly."""
    answer = shell.rest.get("/definitions/export", origin=origin)
    files = answer.value["files"]
    if out is None:
        shell.show(answer, lambda _: click.echo("---\n".join(f"# {each['path']}\n{each['text']}" for each in files)))
        return
    _write(files, out)
    shell.show(answer, lambda _: output.say(f"{counted(len(files), 'file')} in {out}"))


@click.group(cls=Noun)
def definition() -> None:
    """See what definitions the workspace holds, and their versions."""


@definition.command("list")
@click.option("--kind", type=click.Choice(tuple(KINDS)), help="Only those of this kind.")
@click.option("--origin", help="Only those of this owner: `api`, or `folder:NAME`.")
@lists
def list_definitions(shell: Shell, paging: Paging, **filters: str | None) -> None:
    """List the definitions of the workspace."""
    shell.listing("/definitions", _COLUMNS, paging, **filters)


@definition.command
@click.argument("path", type=_Path(), metavar="KIND/NAME")
@asks
def show(shell: Shell, path: str) -> None:
    """Show one definition as it is now."""
    shell.show(shell.rest.get(path))


@definition.command
@click.argument("path", type=_Path(), metavar="KIND/NAME")
@lists
def versions(shell: Shell, path: str, paging: Paging) -> None:
    """List the versions of a definition, newest first; `crossdock rollback` takes one of them."""
    shell.listing(f"{path}/versions", _VERSIONS, paging)


def _request(paths: Sequence[Path], origin: str | None, *, prune: bool) -> dict[str, Any] | None:
    """Return the body of a request; None, and the findings on the screen, when a file cannot be read."""
    if prune and any(path.is_file() for path in paths):
        raise click.UsageError("--prune needs the whole folder: what the folder lacks is removed")
    files, findings = bodies(gather_all(paths))
    if findings:
        show_findings([each.as_dict() for each in findings])
        return None
    return {"files": files, "origin": origin_of(paths, origin), "prune": prune}


def _workspace(shell: Shell) -> str:
    me = shell.rest.get("/me").value
    return f"{me['organization']}/{me['workspace']}"


def _read_plan(paths: Sequence[Path]) -> dict[str, Any] | None:
    """Return the plan, when the one path is a file with one."""
    if len(paths) != 1 or not paths[0].is_file():
        return None
    content = paths[0].read_bytes()
    if f'"{_PLAN}"'.encode() not in content[:200]:
        return None
    try:
        read = output.read_json(content)
        good = read[_PLAN] == _PLAN_FORM and {"workspace", "base", "files", "origin", "prune"} <= read.keys()
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Malformed(f"{paths[0]} is no plan: {error}", source="cli") from error
    if not good:
        raise Malformed(f"{paths[0]} is a plan of another version of Crossdock: plan again", source="cli")
    return dict(read)


def _of_plan(shell: Shell, planned: Mapping[str, Any]) -> dict[str, Any]:
    here = _workspace(shell)
    if planned["workspace"] != here:
        message = f"the plan was made for {planned['workspace']}, this is {here}"
        raise Conflict(message, code=OTHER_WORKSPACE, source="cli")
    return {key: planned[key] for key in ("files", "origin", "prune", "base")}


def _show_plan(made: Mapping[str, Any]) -> None:
    for each in made["changes"]:
        output.say(f"{_SIGNS.get(each['action'], '?')} {each['action']} {each['kind']} {each['name']}")
        if each.get("drift"):
            output.say(f"    drift: {each['drift']}")
        for difference in each["diff"]:
            output.say(f"    {_difference(difference)}")
    for name in made["kept"]:
        output.say(f"  keep {name}: no file has it, and only --prune removes it")
    show_findings(made["findings"])
    counts = [sum(each["action"] == action for each in made["changes"]) for action in _SIGNS]
    output.say(
        f"Plan: {counts[0]} to create, {counts[1]} to change, {counts[2]} to remove, {made['unchanged']} unchanged"
        + (f"; {tally(made['findings'])}" if made["findings"] else "")
    )


def _difference(each: Mapping[str, Any]) -> str:
    if "before" not in each:
        return f"{each['path']}: {_short(each.get('after'))}"
    if "after" not in each:
        return f"{each['path']}: {_short(each['before'])} → (removed)"
    return f"{each['path']}: {_short(each['before'])} → {_short(each['after'])}"


def _short(value: Any) -> str:
    text = output.write_json(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _show_applied(answer: Mapping[str, Any]) -> None:
    for each in answer["applied"]:
        sign = _SIGNS.get(each["action"], "?")
        output.say(f"{sign} {each['action']} {each['kind']} {each['name']} (version {each['version']})")
    output.say(f"{counted(len(answer['applied']), 'definition')} applied, {answer['unchanged']} unchanged")


def _write(files: Sequence[Mapping[str, Any]], folder: Path) -> None:
    """Write the files, once all their names are known to stay below the folder.

    Raises:
        Conflict: BAD_EXPORT.

    """
    places = []
    for each in files:
        path = PurePosixPath(each["path"])
        place = folder.joinpath(*path.parts)
        if path.is_absolute() or ".." in path.parts or not place.resolve().is_relative_to(folder.resolve()):
            raise Conflict(f"the server sent the file name {each['path']!r}", code=BAD_EXPORT, source="cli")
        places.append((place, each["text"]))
    for place, text in places:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text, "utf-8")
