"""A folder that comes and goes with the mock; a scenario of failure puts a broken file into it, or takes the folder away."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from server.sdk import Mock, SourceStage, TargetStage

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from server.sdk import Scenario

_OLD = 1_767_225_600  # 2026-01-01


class FilesMock(Mock):
    """`in/*.csv` to read, `out/` to write to."""

    def __init__(self) -> None:
        self.folder: Path = Path(tempfile.mkdtemp(prefix="crossdock-files-"))
        self._put("in/things.csv", "id,name\n1,Bolt\n2,Nut\n")

    @property
    def config(self) -> dict[str, Any]:
        return {"url": "file:///"}

    def play(self, scenario: Scenario) -> None:
        """Break the files, or be gone."""
        if scenario == "broken_json":
            self._put("in/things.csv", "id,id\n")
            shutil.rmtree(self.folder / "out", ignore_errors=True)
            (self.folder / "out").write_text("no folder")
        elif scenario == "500" and self.folder.exists():
            shutil.rmtree(self.folder)

    def source(self, operation: str, ticks: Sequence[int]) -> SourceStage:  # noqa: ARG002 - there is one source
        """Give each tick a file of its own, with the rows of that tick."""
        shutil.rmtree(self.folder / "in", ignore_errors=True)
        for tick in sorted(set(ticks)):
            rows = "".join(f"{number},Thing {number}\n" for number, each in enumerate(ticks) if each == tick)
            self._put(f"in/{tick}.csv", f"id,name\n{rows}", _OLD + tick)
        return SourceStage(options={"path": "in/*.csv"}, primary_key=("id",))

    def target(self, operation: str) -> TargetStage:  # noqa: ARG002 - there is one target
        """Write JSON lines into a folder that is not there yet."""
        shutil.rmtree(self.folder / "out", ignore_errors=True)
        return TargetStage(
            options={"path": "out/things.jsonl"},
            match_on=("id",),
            record=lambda number, text: {"id": number, "name": text},
        )

    def stored(self, operation: str) -> Sequence[Mapping[str, Any]]:  # noqa: ARG002 - there is one target
        """Return the lines of all files that show."""
        files = sorted((self.folder / "out").glob("[!.]*.jsonl"))
        return [json.loads(line) for each in files for line in each.read_text("utf-8").splitlines()]

    def _put(self, path: str, text: str, changed: int = _OLD) -> None:
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, "utf-8")
        os.utime(file, (changed, changed))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
