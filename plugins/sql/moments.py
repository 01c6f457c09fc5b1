"""Moments in SQLite, which has no type for them: as text with `T` or a space, or as seconds; a sample tells which."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datetime import datetime

_TEXT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?:([T ])[0-9]{2}:[0-9]{2}(?::[0-9]{2}(\.[0-9]+)?)?(Z|[+-][0-9:]+)?)?")
_MILLISECONDS = 100_000_000_000


@dataclass(frozen=True, slots=True)
class Style:
    """How a column writes a moment: `number` of units a second, or text with this separator and zone."""

    number: int = 0
    separator: str = "T"
    zone: str = "+00:00"
    digits: int = 6
    day_only: bool = False

    def written(self, moment: datetime) -> Any:
        """Return the moment, in UTC, as the column writes it."""
        moment = moment.astimezone(UTC) if moment.tzinfo else moment
        if self.number:
            seconds = moment.replace(tzinfo=moment.tzinfo or UTC).timestamp()
            return int(seconds) if self.number == 1 else int(seconds * self.number)
        if self.day_only:
            return moment.strftime("%Y-%m-%d")
        text = moment.strftime(f"%Y-%m-%d{self.separator}%H:%M:%S")
        fraction = f".{moment.microsecond:06d}"[: self.digits + 1] if self.digits else ""
        return f"{text}{fraction}{self.zone}"


def style_of(sample: Any) -> Style:
    """Return how the column of this value writes moments."""
    if isinstance(sample, int | float):
        return Style(number=1000 if sample > _MILLISECONDS else 1)
    found = _TEXT.fullmatch(sample) if isinstance(sample, str) else None
    if found is None:
        return Style()
    if found[1] is None:
        return Style(day_only=True)
    zone = "Z" if found[3] == "Z" else "+00:00" if found[3] else ""
    return Style(separator=found[1], zone=zone, digits=min(len(found[2] or ".") - 1, 6))
