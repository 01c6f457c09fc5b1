"""The expressions of an outbound webhook, compiled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from server.mapping import PLACES, compile_expression, compile_map, compile_template

if TYPE_CHECKING:
    from collections.abc import Mapping

    from server.mapping import CompiledMap, Expression, Template

PLACE = "outbound_webhook"


@dataclass(frozen=True, slots=True)
class Compiled:
    """What a webhook runs for every event. `reads_data`: whether any of it looks inside the event's data."""

    when: Expression | None
    order_by: Expression | None
    map: CompiledMap | None
    path: Template | None
    headers: Mapping[str, Template]

    @property
    def reads_anything(self) -> bool:
        """Whether an event must be parsed before it can be sent."""
        return bool(self.when or self.map or self.path or self.headers)


def compile_webhook(
    when: str | None, order_by: str | None, map_: Any, path: str | None, headers: Mapping[str, str]
) -> Compiled:
    """Compile what was checked.

    Raises:
        ExpressionError: it was not checked.

    """
    roots = PLACES[PLACE]
    return Compiled(
        compile_expression(when, roots) if when is not None else None,
        compile_expression(order_by, roots) if order_by is not None else None,
        compile_map(map_, roots) if map_ is not None else None,
        compile_template(path, roots) if path is not None else None,
        {name: compile_template(value, roots) for name, value in headers.items()},
    )
