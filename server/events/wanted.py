"""Which events a listener wants: patterns of types and a subject, read from what they asked for."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from server.events.matching import matches
from server.kernel.errors import Invalid, code

if TYPE_CHECKING:
    from server.events.envelope import Event

PATTERN_INVALID = code(
    "PATTERN_INVALID", "A pattern of event types is segments with dots, where `*` is one segment and `**` one or more."
)
ALL = ("**",)
MOST = 20
LONGEST = 255
_DEEPEST = 3  # each `**` multiplies the ways to match
_PATTERN = re.compile(r"(?:\*\*?|[A-Za-z0-9_-]+)(?:\.(?:\*\*?|[A-Za-z0-9_-]+))*")


@dataclass(frozen=True, slots=True)
class Wanted:
    """Events whose type one of these patterns means, of one subject or of any."""

    patterns: tuple[str, ...] = ALL
    subject: str | None = None

    def __call__(self, event: Event) -> bool:
        """Tell whether it is wanted."""
        if self.subject is not None and event.subject != self.subject:
            return False
        return any(matches(pattern, event.type) for pattern in self.patterns)


def has_wildcard(pattern: str) -> bool:
    """Tell whether it may mean more than one type."""
    return "*" in pattern


def read_pattern(text: str) -> str:
    """Read one pattern.

    Raises:
        Invalid: PATTERN_INVALID.

    """
    if len(text) > LONGEST or not _PATTERN.fullmatch(text) or text.split(".").count("**") > _DEEPEST:
        raise Invalid(
            f"not an event type or a pattern like order.* or ** ({_DEEPEST} times ** at most)",
            code=PATTERN_INVALID,
            source="events",
        )
    return text


def read_patterns(text: str | None) -> tuple[str, ...]:
    """Read patterns separated by commas; none at all means every event but our own.

    Raises:
        Invalid: PATTERN_INVALID, or more than 20.

    """
    if text is None:
        return ALL
    given = [each.strip() for each in text.split(",")]
    if len(given) > MOST:
        raise Invalid(f"at most {MOST} patterns are taken", code=PATTERN_INVALID, source="events")
    return tuple(read_pattern(each) for each in given)


def patterns_of(entity: str) -> tuple[str, ...]:
    """Return the patterns of an entity: `order` means `order.created` and `order.line.added`; a pattern means itself.

    Raises:
        Invalid: PATTERN_INVALID.

    """
    read_pattern(entity)
    return (entity,) if has_wildcard(entity) else (entity, f"{entity}.**")
