"""The definition files that a command is given: folders and files, under the names that findings show."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from server.cli import failing, output

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from server.cli.shell import Shell
    from server.documents.findings import Finding
    from server.documents.reading import Gathered

FOLDER = Path("definitions")
_LONGEST_ORIGIN = 100


class Paths(click.Argument):
    """`[PATHS]…`: folders and files; `definitions` when none is given."""

    def __init__(self, *_: Any, **__: Any) -> None:
        super().__init__(["paths"], nargs=-1, type=click.Path(path_type=Path), metavar="[PATHS]...")

    def process_value(self, ctx: click.Context, value: Any) -> tuple[Path, ...]:
        """Return the paths."""
        given: tuple[Path, ...] = super().process_value(ctx, value)
        if given:
            return given
        if not FOLDER.is_dir():
            raise click.UsageError(f"name a folder of definitions; there is no {FOLDER}/ here", ctx)
        return (FOLDER,)


def gather_all(paths: Sequence[Path]) -> Gathered:
    """Read the files of all paths, each once, named as the user would name them from here."""
    from server.documents.reading import Gathered, gather  # noqa: PLC0415 (see server/cli/__init__.py)

    together = Gathered()
    seen: set[Path] = set()
    for path in paths:
        place = path if path.is_dir() else path.parent
        found = gather(path)
        for file in found.files:
            real = (place / file.name).resolve()
            if real not in seen:
                seen.add(real)
                together.files.append(replace(file, name=(place / file.name).as_posix()))
        together.findings += [replace(each, file=_named(path, place, each.file)) for each in found.findings]
    return together


def _named(path: Path, place: Path, name: str) -> str:
    """Return what a finding's file is called from here; one about the folder, or a folder in it, says so already."""
    said = name == str(path) or (name.startswith(f"{path}/") and not (place / name).exists())
    return name if said else (place / name).as_posix()


def origin_of(paths: Sequence[Path], name: str | None) -> str:
    """Return who owns the definitions of these paths: the folder's name, of several the one they lie in."""
    if name is not None:
        return f"folder:{name}"
    folders = {(path if path.is_dir() else path.parent).resolve() for path in paths}
    if len(folders) > 1:
        raise click.UsageError("several folders need a name in common: --origin NAME")
    word = re.sub(r"[^A-Za-z0-9._-]+", "-", folders.pop().name).lstrip("._-")
    return f"folder:{word[:_LONGEST_ORIGIN] or 'root'}"


def bodies(gathered: Gathered) -> tuple[list[dict[str, str]], list[Finding]]:
    """Return the files as the API takes them, and what keeps some of them from being read."""
    from server.documents.reading import read_file  # noqa: PLC0415 (see server/cli/__init__.py)

    findings = list(gathered.findings)
    files = []
    for file in gathered.files:
        try:
            files.append({"path": file.name, "text": file.content.decode("utf-8")})
        except UnicodeDecodeError:
            findings += read_file(file).findings
    return files, findings


def show_findings(findings: Iterable[Mapping[str, Any]]) -> None:
    """Write findings, a line each, to standard output."""
    for each in findings:
        output.say(failing.finding(each))


def counted(number: int, noun: str) -> str:
    """Write `1 error`, `2 errors`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def tally(findings: Sequence[Mapping[str, Any]]) -> str:
    """Write how many errors and warnings there are."""
    errors = sum(each["severity"] == "error" for each in findings)
    return f"{counted(errors, 'error')}, {counted(len(findings) - errors, 'warning')}"


def local_catalog(shell: Shell) -> Any:
    """Return what a check on this machine knows: the installed plugins, and the addresses that `up` would allow."""
    from server.documents.catalog import FixedCatalog  # noqa: PLC0415 (see server/cli/__init__.py)
    from server.integrations.plugins import discover  # noqa: PLC0415
    from server.integrations.spec import plugin_facts  # noqa: PLC0415
    from server.runtime.up import LOOPBACK  # noqa: PLC0415
    from server.transport.addresses import AddressPolicy  # noqa: PLC0415

    allowed = (*shell.settings.allow_networks, *LOOPBACK)
    return FixedCatalog(
        plugins=plugin_facts(discover()),
        addresses=AddressPolicy(allowed),
        min_interval=shell.settings.sync_min_interval,
    )
