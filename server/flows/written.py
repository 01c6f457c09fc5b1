"""Steps as they are written in a body, nested ones too; the body need not have been checked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


def written_steps(steps: Any) -> Iterator[Mapping[str, Any]]:
    """Yield every step of a list and of what stands in it, in the order of the file."""
    for step in steps if isinstance(steps, list) else ():
        if not isinstance(step, dict):
            continue
        yield step
        branches = step.get("parallel")
        for below in (
            step.get("steps"),
            step.get("atomic"),
            *(branches.values() if isinstance(branches, dict) else ()),
        ):
            yield from written_steps(below)
        chosen = step.get("choose")
        for each in chosen if isinstance(chosen, list) else ():
            yield from written_steps(each.get("steps") if isinstance(each, dict) else None)
