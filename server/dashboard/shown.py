"""How values look on a page. What came from outside is text: markup is escaped by the templates, and signs that would turn
the reading direction, hide or fake lines are made visible here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID

import orjson

from server.events.envelope import from_json
from server.kernel import ids
from server.kernel.errors import sentence
from server.transport.redaction import redact_url

if TYPE_CHECKING:
    from flask import Blueprint

LONGEST = 65_536
_MINUTE, _HOUR, _DAY = 60, 3600, 86_400
# C0 and C1 controls but tab and line feed, zero-width and bidirectional signs, line separators, soft hyphen, tags, BOM
_HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e"
    "\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U000e0000-\U000e0fff\ud800-\udfff]"
)


@dataclass(frozen=True, slots=True)
class Pretty:
    """A text to be shown; `cut` when it was longer."""

    text: str
    cut: bool = False


def plain(value: Any) -> str:
    """Return a text whose every sign can be seen."""
    return _HIDDEN.sub(_visible, "" if value is None else str(value))


def line(value: Any) -> str:
    """Return a text that stays on its line."""
    return plain(value).replace("\n", "␊").replace("\t", "␉")


def _visible(found: re.Match[str]) -> str:
    number = ord(found[0])
    if number < ord(" "):
        return chr(0x2400 + number)
    return f"⟨U+{number:04X}⟩"


def pretty(text: str | None) -> Pretty:
    """Indent JSON without changing a digit of it; anything else stays as it is. At most 64 Ki characters are shown."""
    if text is None:
        return Pretty("")
    shown = text
    if len(text) <= LONGEST:
        try:
            shown = orjson.dumps(from_json(text), default=_digits, option=orjson.OPT_INDENT_2).decode()
        except (ValueError, TypeError, RecursionError):
            shown = text  # not JSON, or beyond what can be written again: as it came
    return Pretty(plain(shown[:LONGEST]), cut=len(shown) > LONGEST)


def _digits(value: Any) -> Any:
    if isinstance(value, Decimal):
        return orjson.Fragment(str(value).encode())
    raise TypeError(f"not JSON: {type(value).__name__}")


def utc(moment: datetime) -> str:
    """Write a moment for people, to the second, in UTC."""
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def machine(moment: datetime) -> str:
    """Write a moment for `<time datetime>`."""
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def ago(moment: datetime, now: datetime) -> str:
    """Write how long ago a moment was, or how far ahead it is."""
    seconds = (now - moment).total_seconds()
    size = span(abs(seconds))
    if size == "0 s":
        return "just now"
    return f"{size} ago" if seconds > 0 else f"in {size}"


def span(seconds: float) -> str:
    """Write a duration by its largest unit."""
    if seconds < _MINUTE - 0.5:
        return f"{round(seconds)} s"
    if seconds < _HOUR - _MINUTE / 2:
        return f"{round(seconds / _MINUTE)} min"
    if seconds < 2 * _DAY - _HOUR / 2:
        return f"{round(seconds / _HOUR)} h"
    return f"{round(seconds / _DAY)} days"


def milliseconds(value: Any) -> str:
    """Write a duration that is given in milliseconds."""
    number = float(value)
    return f"{number / 1000:.1f} s" if number >= 1000 else f"{number:.0f} ms"  # noqa: PLR2004


def phases(timings: dict[str, Any] | None) -> list[tuple[str, float, float, str]]:
    """Return (name, start, width, time) of each phase of a try, start and width in percent of the whole."""
    given = {name: float(value) for name, value in (timings or {}).items() if isinstance(value, int | float | Decimal)}
    total = given.get("total", 0.0)
    if total <= 0:
        return []
    connected = min(given.get("connect", 0.0), total)
    first = min(max(given.get("first_byte", total), connected), total)
    edges = [("connect", 0.0, connected), ("wait", connected, first), ("read", first, total)]
    return [
        (name, round(start / total * 100, 2), round((end - start) / total * 100, 2), milliseconds(end - start))
        for name, start, end in edges
        if end > start
    ]


def identity(value: UUID, prefix: str) -> str:
    """Write an id as it is known outside."""
    return ids.show(prefix, value)


def event_id(key: str) -> str:
    """Write the key of an event's node in a tree as the id that it goes by here."""
    return ids.show("evt", UUID(key))


def install(pages: Blueprint) -> None:
    """Give the templates these filters."""
    for function in (plain, line, pretty, utc, machine, ago, span, milliseconds, phases, event_id, sentence):
        pages.add_app_template_filter(function)
    pages.add_app_template_filter(redact_url)
    pages.add_app_template_filter(identity, "shown")
