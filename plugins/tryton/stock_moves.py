"""Stock as a source of sync jobs: what lies there of each product, and what its last move was."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from plugins.tryton.changes import OWN, Changed, Place, Span, changed
from plugins.tryton.collections import Collection
from plugins.tryton.products import PRODUCT
from plugins.tryton.reading import CollectionRead
from plugins.tryton.stock import levels
from plugins.tryton.values import exact, goods
from server.sdk.ports import INVENTORY

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from plugins.tryton.changes import Stamp
    from plugins.tryton.rest import Tryton
    from server.sdk import ReadRequest, Row

_MOVE = "stock.move"
_COUNTS = ["state", "in", ["assigned", "done"]]
_FIELDS = ("product", "state", "from_location.type", "to_location.type", "shipment", "origin")
_CAME = {"supplier": "received", "customer": "returned", "lost_found": "added", "production": "produced"}
_WENT = {"customer": "shipped", "lost_found": "adjusted", "production": "produced"}
_OF = {
    "stock.shipment.in": "received",
    "stock.shipment.out.return": "returned",
    "stock.shipment.out": "shipped",
}
_MORE = frozenset(("added", "counted", "received", "released", "returned"))
_REPORT = INVENTORY["inventory.stock_report"]
STOCK = Collection(
    operation=_REPORT,
    key="product_id",
    model=PRODUCT,
    fields=(),
    show=lambda _erp, _records: [],
    schema=_REPORT.output_schema["properties"]["products"]["items"],
)
_EVER = datetime(1, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Moved:
    """A product by its number and the moment of its last move, and what that was, in the words of `stock.updated`."""

    place: Place
    kind: str


class StockRead(CollectionRead):
    """What lies in stock, one row for each product that was ever moved; its moment is that of its last move.

    Products are not stamped when they are moved, so the moves of the span are gone through, and their products kept in memory:
    a few numbers each. The first run of a company with many moves may ask for thousands of them a request; let it begin late.
    """

    def _moments(self) -> tuple[str, ...]:
        return ("updated_at",)

    def _changed(self, erp: Tryton, request: ReadRequest, stamps: Sequence[Stamp], span: Span) -> Iterator[Changed]:
        del request, stamps
        found = [Changed(each.place, {"kind": each.kind}) for each in _moved(erp, span.after.moment)]
        yield from sorted((each for each in found if span.holds(each.place)), key=lambda each: each.place)

    def _everything(self, erp: Tryton, request: ReadRequest, after: int) -> Iterator[Changed]:
        del request
        for each in sorted(_moved(erp), key=lambda each: each.place.number):
            if each.place.number > after:
                yield Changed(each.place, {"kind": each.kind})

    def _rows(self, erp: Tryton, some: Sequence[Changed], stamps: Sequence[Stamp] | None) -> list[Row]:
        del stamps
        return _levels_of(erp, [Moved(each.place, each.record["kind"]) for each in some])

    def _numbered(self, erp: Tryton, request: ReadRequest, numbers: Sequence[int]) -> list[Row]:
        del request
        return _levels_of(erp, _moved(erp, of=[["product", "in", numbers]]))


def _moved(erp: Tryton, since: datetime = _EVER, of: Sequence[Any] = ()) -> list[Moved]:
    """Return what was moved, as far as that is no longer ago; planned moves that nothing was reserved for do not count.

    Where something came in between, it is told: whoever waits for it begins with that.
    """
    domain = [*of, ["product.type", "!=", "service"], ["OR", _COUNTS, ["write_date", "!=", None]]]
    found: dict[int, Moved] = {}
    for each in changed(erp, _MOVE, domain, (OWN,), Span(after=Place(since)), _FIELDS):
        number, kind = each.record["product"], _kind(each.record)
        if number in found and found[number].kind in _MORE and kind not in _MORE:
            kind = found[number].kind
        found[number] = Moved(Place(each.place.moment, number), kind)
    return list(found.values())


def _kind(move: Mapping[str, Any]) -> str:
    if move["state"] != "done":
        return "reserved" if move["state"] == "assigned" else "released"
    if str(move["origin"] or "").startswith("stock.inventory"):
        return "counted"
    shipment = str(move["shipment"] or "").partition(",")[0]
    came, went = move["from_location"]["type"], move["to_location"]["type"]
    return _CAME.get(came) or _WENT.get(went) or _OF.get(shipment, "moved")


def _levels_of(erp: Tryton, moved: Sequence[Moved]) -> list[Row]:
    if not moved:
        return []
    domain = [["id", "in", [each.place.number for each in moved]], ["active", "in", [True, False]]]
    free = {each["id"]: exact(each["quantity"]) for each in levels(erp, domain, free=True)}
    there = {each["id"]: exact(each["quantity"]) for each in levels(erp, domain, free=False)}
    return [
        {
            "product_id": str(each.place.number),
            "on_hand": goods(there[each.place.number]),
            "reserved": goods(there[each.place.number] - free[each.place.number]),
            "available": goods(free[each.place.number]),
            "reorder_point": None,
            "reorder_quantity": None,
            "is_low": False,
            "kind": each.kind,
            "updated_at": each.place.moment,
        }
        for each in moved
        if each.place.number in there and each.place.number in free
    ]
