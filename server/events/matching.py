"""Which event types a subscription means: `*` is one segment, `**` one or more; ours (`crossdock.…`) only by name."""

from __future__ import annotations

from functools import lru_cache

OURS = "crossdock"


def is_ours(type_: str) -> bool:
    """Tell whether it is the type of an event of our own."""
    return type_.partition(".")[0] == OURS


def matches(pattern: str, type_: str) -> bool:
    """Tell whether a pattern means an event type.

    Patterns that begin with a wildcard leave out our own events, so that nobody subscribes to the plumbing by accident.
    """
    if is_ours(type_) and pattern.partition(".")[0] != OURS:
        return False
    return _match(tuple(pattern.split(".")), tuple(type_.split(".")))


@lru_cache(maxsize=65536)
def _match(pattern: tuple[str, ...], segments: tuple[str, ...]) -> bool:
    if not pattern:
        return not segments
    head, rest = pattern[0], pattern[1:]
    if head == "**":
        return any(_match(rest, segments[taken:]) for taken in range(1, len(segments) + 1))
    return bool(segments) and head in ("*", segments[0]) and _match(rest, segments[1:])
