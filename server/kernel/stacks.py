"""The stack of a fault of ours, as a dead letter keeps it: places only, never a value."""

from __future__ import annotations

import traceback
from pathlib import PurePath

_FRAMES = 12
_ROOMS = ("server", "plugins")


def stack_of(error: BaseException) -> list[str]:
    """Return `file:line function` of the innermost frames, outermost first, and of what caused the error before it."""
    causes: list[BaseException] = []
    seen: BaseException | None = error
    while seen is not None and len(causes) < 3:  # noqa: PLR2004 - what broke, and what lay below it
        causes.append(seen)
        seen = seen.__cause__ or (None if seen.__suppress_context__ else seen.__context__)
    places: list[str] = []
    for each in reversed(causes):
        frames = traceback.extract_tb(each.__traceback__)[-_FRAMES:]
        places += [f"{_short(frame.filename)}:{frame.lineno} {frame.name}" for frame in frames]
        places.append(type(each).__name__)
    return places


def _short(path: str) -> str:
    """Name a file from its package on: where it is installed is nobody's concern."""
    parts = PurePath(path).parts
    starts = [number for number, part in enumerate(parts) if part in (*_ROOMS, "site-packages")]
    return "/".join(parts[starts[-1] :]) if starts else parts[-1]
