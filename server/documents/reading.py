"""From bytes and folders to document trees. Any bytes give nodes and findings, never an exception."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from server.documents.findings import Finding
from server.documents.json_reading import read_json
from server.documents.limits import ENCODING, FILE_TOO_LARGE, MAX_BYTES, Report
from server.documents.nodes import Node, Source
from server.documents.yaml_reading import read_yaml
from server.kernel.errors import code

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

SUFFIXES = (".yaml", ".yml", ".json")
SCHEMA_FILE = "definition.v1.json"  # lies beside the definitions for editors; is none itself
MAX_FILES = 5_000
UNREADABLE = code("UNREADABLE", "The file or folder cannot be read, or leads out of the folder of definitions.")
TOO_MANY_FILES = code("TOO_MANY_FILES", f"The folder holds more than {MAX_FILES:,} definition files.")


@dataclass(frozen=True, slots=True)
class File:
    """One definition file: its name as findings show it, and its bytes."""

    name: str
    content: bytes


@dataclass(slots=True)
class Reading:
    """What was read: the root of every document, in order, and what was wrong."""

    documents: list[Node] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)


@dataclass(slots=True)
class Gathered:
    """The files of a folder, by name, and what could not be read."""

    files: list[File] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)


def read(files: Iterable[File]) -> Reading:
    """Read every document of every file."""
    reading = Reading()
    for file in files:
        one = read_file(file)
        reading.documents += one.documents
        reading.findings += one.findings
    return reading


def read_file(file: File) -> Reading:
    """Read the documents of one file: JSON by its name's end, else YAML."""
    if len(file.content) > MAX_BYTES:
        message = f"{len(file.content):,} bytes; a definition file has {MAX_BYTES:,} at most"
        return Reading(findings=[_of_file(FILE_TOO_LARGE, message, file.name)])
    try:
        text = file.content.decode("utf-8")
    except UnicodeDecodeError as error:
        before = file.content[: error.start].split(b"\n")
        place = (len(before), len(before[-1].decode("utf-8", "replace")) + 1)
        return Reading(findings=[_of_file(ENCODING, "not UTF-8", file.name, *place)])
    report = Report(Source(file.name, text.removeprefix("\ufeff")))
    documents = read_json(report) if file.name.lower().endswith(".json") else read_yaml(report)
    return Reading(documents, report.findings)


def gather(root: Path) -> Gathered:
    """Return the definition files under a folder, or the one file that `root` is. Links that lead out are findings."""
    gathered = Gathered()
    if root.is_file():
        _load(gathered, root, root.name, root.parent.resolve())
        return gathered
    if not root.is_dir():
        gathered.findings.append(_of_file(UNREADABLE, "there is no such file or folder", str(root)))
        return gathered
    inside = root.resolve()
    for path in _walk(root, gathered):
        if len(gathered.files) >= MAX_FILES:
            gathered.findings.append(_of_file(TOO_MANY_FILES, f"more than {MAX_FILES:,} files", str(root)))
            break
        _load(gathered, path, path.relative_to(root).as_posix(), inside)
    return gathered


def _walk(root: Path, gathered: Gathered) -> Iterator[Path]:
    """Yield the paths with a suffix of ours, in order; hidden folders are left out, linked folders are not entered."""

    def unreadable(error: OSError) -> None:
        gathered.findings.append(_of_file(UNREADABLE, error.strerror or "cannot be read", str(error.filename)))

    for folder, folders, names in os.walk(root, onerror=unreadable, followlinks=False):
        folders[:] = sorted(each for each in folders if not each.startswith("."))
        for name in [each for each in folders if (Path(folder) / each).is_symlink()]:
            shown = (Path(folder) / name).relative_to(root).as_posix()
            gathered.findings.append(_of_file(UNREADABLE, "a link to a folder is not followed", shown))
        yield from (Path(folder) / each for each in sorted(names) if _is_definition_file(each))


def _is_definition_file(name: str) -> bool:
    return name.lower().endswith(SUFFIXES) and not name.startswith(".") and name != SCHEMA_FILE


def _load(gathered: Gathered, path: Path, name: str, inside: Path) -> None:
    try:
        real = path.resolve(strict=True)
        if not real.is_relative_to(inside):
            gathered.findings.append(_of_file(UNREADABLE, "a link that leads out of the folder is not followed", name))
            return
        if not real.is_file():
            gathered.findings.append(_of_file(UNREADABLE, "not a regular file", name))
            return
        with real.open("rb") as stream:
            gathered.files.append(File(name, stream.read(MAX_BYTES + 1)))
    except (OSError, RuntimeError) as error:  # RuntimeError: a loop of links, in Python 3.11 and 3.12
        reason = getattr(error, "strerror", None) or "cannot be read"
        gathered.findings.append(_of_file(UNREADABLE, reason, name))


def _of_file(code: str, message: str, name: str, line: int = 1, col: int = 1) -> Finding:
    return Finding(code=code, message=message, file=name, line=line, col=col)
