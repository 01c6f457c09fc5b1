"""Field types that only flows have: lists of steps, and the pieces of which the kinds of steps are made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from server.documents.expressions import MapValue
from server.documents.fields import WRONG_VALUE, Field, FieldType, wrong_type
from server.documents.findings import shown
from server.documents.nodes import MappingNode, Node
from server.documents.retrying import growing
from server.documents.scalars import Duration, Integer, Text
from server.flows import flow
from server.integrations.fallback import CallName

if TYPE_CHECKING:
    from server.documents.checking import Checker

STEP_ID = Text(63, "[a-z][a-z0-9_]*", "a step's id of small letters, digits and _ that begins with a letter")
LIMIT = Field("limit", Integer(1, 32), "So many items at the same time.", default=flow.DEFAULT_LIMIT)
LONG = Duration("1s", "365d")
_PAUSE = Duration("1ms", "1d")
_OPTIONS = frozenset(("from", "each", "value", "map"))
CALL_TIMEOUT = Field("timeout", Duration("100ms", "1h"), "How long one try may take; else what its integration says.")
RETRY = Field(
    "retry",
    growing(flow.RETRY),
    "When a call is repeated that failed in a way that may pass; without it, as the integration's policy says.",
)


def place_of(base: str, *, item: bool) -> str:
    """Return the place of an expression; inside a `for_each` `item` is one of its roots."""
    return f"{base}_item" if item else base


def calling(place: str, about: str) -> tuple[Field, Field]:
    """Return `call` and `with`."""
    return (
        Field("call", CallName(), about, required=True, example="erp.orders.create"),
        Field("with", MapValue(place), "What it is called with.", example="{order_id: data.order_id}"),
    )


@dataclass(frozen=True)
class Values(FieldType):
    """Values by names of one's own, each a map."""

    place: str

    def check(self, node: Node, checker: Checker) -> None:
        """Check the names and compile the values."""
        if not isinstance(node, MappingNode):
            wrong_type(node, "a mapping of names to values", checker)
            return
        for key, _ in node.entries:
            if key.value in _OPTIONS:
                checker.error(WRONG_VALUE, key, f"{shown(key.value)} means something else in a map: choose another")
        MapValue(self.place).check(node, checker)

    def schema(self) -> dict[str, Any]:
        """Return the schema: a mapping of maps."""
        return {"type": "object", "additionalProperties": {"$ref": "#/$defs/map"}, "minProperties": 1}

    def label(self) -> str:
        """Return `mapping to` what maps are called."""
        return f"mapping to {MapValue(self.place).label()}"

    def accepts(self, node: Node) -> bool:
        """Say whether it is a mapping."""
        return isinstance(node, MappingNode)
