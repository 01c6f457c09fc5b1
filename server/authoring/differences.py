"""What changed between two bodies, field by field, as a plan shows it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

MISSING: Any = object()
MOST_SHOWN = 500


@dataclass(frozen=True, slots=True)
class Difference:
    """One place that differs; `path` is a JSON pointer (RFC 6901). `MISSING` where there is nothing."""

    path: str
    before: Any = MISSING
    after: Any = MISSING

    def as_dict(self) -> dict[str, Any]:
        """Return the difference as JSON; `before` or `after` is left out where there is nothing."""
        shown = {"path": self.path}
        shown.update(
            {name: value for name, value in (("before", self.before), ("after", self.after)) if value is not MISSING}
        )
        return shown


def differences(before: Any, after: Any) -> tuple[Difference, ...]:
    """Return every place that differs, in the order of the new body; MOST_SHOWN at most."""
    found = _walk("", before, after)
    return tuple(each for each, _ in zip(found, range(MOST_SHOWN), strict=False))


def _walk(path: str, before: Any, after: Any) -> Iterator[Difference]:
    if isinstance(before, dict) and isinstance(after, dict):
        for key in [*after, *(key for key in before if key not in after)]:
            step = str(key).replace("~", "~0").replace("/", "~1")
            yield from _walk(f"{path}/{step}", before.get(key, MISSING), after.get(key, MISSING))
    elif isinstance(before, list) and isinstance(after, list):
        for number in range(max(len(before), len(after))):
            one = before[number] if number < len(before) else MISSING
            other = after[number] if number < len(after) else MISSING
            yield from _walk(f"{path}/{number}", one, other)
    elif not _same(before, after):
        yield Difference(path, before, after)


def _same(before: Any, after: Any) -> bool:
    """Say whether two single values are written alike: 1, 1.0 and true are three."""
    return type(before) is type(after) and before == after and str(before) == str(after)
