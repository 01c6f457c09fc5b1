"""An event as readers get it: JSON, with its data as it was stored, digit by digit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from server.events.envelope import Event


def shown(event: Event, **more: Any) -> bytes:
    """Write an event as JSON, with more fields if there are any."""
    view = {**event.view(), "principal": event.principal, "extensions": event.extensions, **more}
    return orjson.dumps({**view, "data": orjson.Fragment(event.data.encode())})


def one_line(event: Event) -> bytes:
    """Write an event as JSON on one line: what ends a line stands only between the tokens of JSON, never within one."""
    return shown(event).replace(b"\n", b" ").replace(b"\r", b" ")
