"""`crossdock plugin`: what is installed on the server; begin one here, and hold it to the contract."""

from __future__ import annotations

import re
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any

import click

from server.cli import output
from server.cli.exits import Exit
from server.cli.files import counted
from server.cli.new import FILE_EXISTS
from server.cli.paths import path_of
from server.cli.shell import Noun, asks, json_option, lists
from server.kernel.errors import Conflict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from server.cli.shell import Paging, Shell

_COLUMNS = {"NAME": "name", "VERSION": "version", "TITLE": "title", "TIER": "tier", "ABOUT": "about"}
_TEMPLATE = Path(__file__).parent / "templates" / "plugin"
_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")


@click.group(cls=Noun)
def plugin() -> None:
    """See the plugins of the server, begin one, check one."""


@plugin.command("list")
@lists
def list_plugins(shell: Shell, paging: Paging) -> None:
    """List the plugins that the server has."""
    shell.listing("/plugins", _COLUMNS, paging)


@plugin.command
@click.argument("name")
@asks
def show(shell: Shell, name: str) -> None:
    """Show one plugin with the schemas of its config and operations."""
    shell.show(shell.rest.get(path_of("plugins", name)))


@plugin.command
@click.argument("folders", nargs=-1, required=True, type=click.Path(exists=True, file_okay=False, path_type=Path))
@json_option
@click.pass_obj
def check(shell: Shell, folders: Sequence[Path]) -> Exit:
    """Run the contract of plugins over those in FOLDERS, against their mocks, on this machine."""
    from server.sdk.testing import CHECKS  # noqa: PLC0415 (see server/cli/__init__.py)

    problems = {folder.as_posix(): _problems(folder) for folder in folders}
    ok = not any(problems.values())

    def show(_: Any) -> None:
        for folder, lines in problems.items():
            for line in lines:
                output.say(f"FAIL {line}")
            if not lines:
                output.say(f"ok   {folder}: {counted(len(CHECKS), 'check')}")

    shell.result({"ok": ok, "results": [{"folder": each, "problems": lines} for each, lines in problems.items()]}, show)
    return Exit.OK if ok else Exit.FAILED


@plugin.command
@click.argument("name")
@click.option("--title", help="What people call the system; made of the name when left out.")
@click.option("--owner", default="us", show_default=True, help="Who looks after the plugin.")
@click.option(
    "--dir",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("plugins"),
    show_default=True,
    help="The folder to put it in.",
)
@json_option
@click.pass_obj
def new(shell: Shell, name: str, title: str | None, owner: str, folder: Path) -> None:
    """Begin a plugin that passes the contract: adapter, mock, fixtures, schema, manifest, test."""
    if not _NAME.fullmatch(name):
        raise click.UsageError(f"{name!r} is no name of a plugin: small letters, digits and _, 40 at most")
    place = folder / name
    if place.exists():
        raise Conflict(f"{place} exists", code=FILE_EXISTS, source="cli")
    words = name.split("_")
    values = {
        "name": name,
        "title": _line(title or " ".join(words).capitalize()),
        "owner": _line(owner),
        "class_name": "".join(word.capitalize() for word in words),
        "dashed": name.replace("_", "-").strip("-"),
        "upper": name.upper(),
    }
    files = _fill(place, values)
    shell.result({"folder": place.as_posix(), "files": files}, lambda _: output.say("\n".join(files)))
    output.note(f"next: crossdock plugin check {place}")


def _line(text: str) -> str:
    """Refuse what would break the files that a text is put into."""
    if not text.isprintable() or not re.fullmatch(r"[^\W_][\w .,()&/+-]*", text):
        raise click.UsageError(f"{text!r}: letters, digits, spaces and . , ( ) & / + - only")
    return text


def _fill(place: Path, values: dict[str, str]) -> list[str]:
    """Write the template's files with the values in them; Python files end in `.txt` there, so that no tool takes them for code."""
    written = []
    for source in sorted(_TEMPLATE.rglob("*")):
        if source.is_file():
            target = place / source.relative_to(_TEMPLATE)
            target = target.with_suffix("") if target.suffix == ".txt" else target
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(Template(source.read_text("utf-8")).substitute(values), "utf-8")
            written.append(target.as_posix())
    return written


def _problems(folder: Path) -> list[str]:
    from server.integrations.scaffold import loopback_reach, loopback_session  # noqa: PLC0415
    from server.sdk.plugin import load_plugin  # noqa: PLC0415 (see server/cli/__init__.py)
    from server.sdk.testing import CHECKS, Rig, findings  # noqa: PLC0415

    rig = Rig(load_plugin(folder.resolve(), _package(folder)), loopback_session, loopback_reach)
    with output.working(f"checking {folder}"):
        return [line for each in CHECKS for line in findings(each, rig)]


def _package(folder: Path) -> str | None:
    """Return the importable name of a plugin of the project's own, None for any other folder."""
    import importlib.util  # noqa: PLC0415 (see server/cli/__init__.py)

    found = importlib.util.find_spec("plugins")
    places = [Path(each).resolve() for each in (found.submodule_search_locations or ())] if found else []
    return f"plugins.{folder.resolve().name}" if folder.resolve().parent in places else None
