"""Bills of materials over all their levels. What is in between is made on the way: only what nothing is made of is taken from stock."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import ROUND_UP, Decimal
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, text

from plugins.erp_sandbox import records
from plugins.erp_sandbox.inventory import levels, sold
from plugins.erp_sandbox.inventory.reservations import shown_goods
from plugins.erp_sandbox.production.tables import BOM_PARTS, BOMS
from plugins.erp_sandbox.records import NOTHING, Record, number, parts, refused
from plugins.erp_sandbox.sales.pricing import products_of
from plugins.erp_sandbox.tables import PART
from server.sdk.ports.production import BOM_CYCLE, BOM_TOO_DEEP, BOM_UNKNOWN, PRODUCTION_TOO_MUCH

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from plugins.erp_sandbox.desk import Desk

_DEEPEST = 20
_LINE = 7310004
_ONE = Decimal("1.0000")
_MOST = Decimal(10**13)


@dataclass(frozen=True)
class Graph:
    """What products are made of: how much of each component for one unit."""

    components: dict[str, dict[str, Decimal]] = field(default_factory=dict)

    def order(self, product_id: str) -> list[str]:
        """Return the product and all below it, each after everything that it is a component of.

        Raises:
            Permanent: BOM_CYCLE, BOM_TOO_DEEP.

        """
        done: dict[str, int] = {}
        self._visit(product_id, [], done)
        return list(reversed(done))

    def _visit(self, product_id: str, way: list[str], done: dict[str, int]) -> None:
        if product_id in way:
            cycle = [*way[way.index(product_id) :], product_id]
            raise refused(BOM_CYCLE, "a product would be a material of itself", cycle=cycle)
        if len(way) > _DEEPEST:
            raise refused(BOM_TOO_DEEP, f"bills of materials stand more than {_DEEPEST} levels deep", way=way)
        if product_id in done:
            # It may be met on a longer way than before; its depth below is known.
            if len(way) + done[product_id] > _DEEPEST:
                raise refused(BOM_TOO_DEEP, f"bills of materials stand more than {_DEEPEST} levels deep", way=way)
            return
        below = sorted(self.components.get(product_id, {}))
        for each in below:
            self._visit(each, [*way, product_id], done)
        done[product_id] = max((done[each] + 1 for each in below), default=0)

    def exploded(self, product_id: str, quantity: Decimal) -> dict[str, tuple[Decimal, int]]:
        """Return how much of everything a quantity takes, and at which level, the deepest, it is met; the product itself first."""
        needed = {product_id: (quantity, 0)}
        for each in self.order(product_id):
            amount, level = needed[each]
            for component, share in self.components.get(each, {}).items():
                before, deepest = needed.get(component, (NOTHING, 0))
                needed[component] = (before + amount * share, max(deepest, level + 1))
        return needed


def stand_in_line(desk: Desk, line: int) -> None:
    """Let one transaction of the company at a time go on, until its end; SQLite has one writer anyway."""
    if desk.locks:
        lock = text("SELECT pg_advisory_xact_lock(hashtextextended(:company, :line))")
        desk.connection.execute(lock, {"company": desk.company, "line": line})


def graph_below(desk: Desk, product_ids: Iterable[str]) -> Graph:
    """Read what products are made of, level by level."""
    graph, next_ones, seen = Graph(), set(product_ids), set[str]()
    while next_ones:
        seen |= next_ones
        boms = records.by_id(desk, BOMS, "product_id", next_ones)
        found: set[str] = set()
        for part in _parts_of(desk, boms):
            makes = boms[part["product_id"]]["makes"]
            graph.components.setdefault(part["product_id"], {})[part["component_id"]] = part["quantity"] / makes
            found.add(part["component_id"])
        next_ones = found - seen
    return graph


def _parts_of(desk: Desk, product_ids: Iterable[str]) -> list[Record]:
    wanted = sorted(product_ids)
    return records.many(desk, BOM_PARTS, BOM_PARTS.c.product_id.in_(wanted)) if wanted else []


def materials_for(desk: Desk, product_id: str, quantity: Decimal) -> dict[str, Decimal]:
    """Return what a quantity of a product takes from stock; nothing without a bill of materials."""
    graph = graph_below(desk, [product_id])
    needed = graph.exploded(product_id, quantity)
    taken = {each: amount for each, (amount, level) in needed.items() if level and each not in graph.components}
    if any(amount > _MOST for amount in taken.values()):
        raise refused(PRODUCTION_TOO_MUCH, "it takes more of a material than can be counted", product_id=product_id)
    return {each: amount.quantize(PART, ROUND_UP) for each, amount in taken.items()}


def upsert(desk: Desk, given: Mapping[str, Any]) -> Record:
    """Set what a product is made of. One at a time: two that are fine alone could be a cycle together."""
    product_id, makes = given["product_id"], parts(given.get("makes", _ONE))
    components = levels.summed(given["components"])
    sold.stocked(desk, [product_id, *components])
    stand_in_line(desk, _LINE)
    graph = graph_below(desk, components)
    graph.components[product_id] = {each: quantity / makes for each, quantity in components.items()}
    graph.order(product_id)
    bom = records.one(desk, BOMS, lock=True, product_id=product_id)
    before = {each["component_id"]: each["quantity"] for each in _parts_of(desk, [product_id])}
    whose = {"company": desk.company, "product_id": product_id}
    if bom is None:
        change, bom = "created", records.stamped(desk, {"product_id": product_id, "makes": makes})
        records.add(desk, BOMS, bom)
    else:
        change = "none" if (before, bom["makes"]) == (components, makes) else "updated"
        if change == "updated":
            bom = records.change(desk, BOMS, bom, makes=makes, revision=bom["revision"] + 1)
    if before != components:
        desk.connection.execute(delete(BOM_PARTS).where(*(BOM_PARTS.c[name] == whose[name] for name in whose)))
        records.add(
            desk, BOM_PARTS, *({**whose, "component_id": each, "quantity": q} for each, q in components.items())
        )
    shown = {"product_id": product_id, "components": shown_goods(components), "makes": number(makes)}
    return {**shown, "revision": bom["revision"], "change": change}


def requirements(desk: Desk, product_id: str, quantity: Decimal) -> Record:
    """Return what a quantity of a product takes.

    Raises:
        Permanent: BOM_UNKNOWN.

    """
    products_of(desk, [product_id])
    graph = graph_below(desk, [product_id])
    if product_id not in graph.components:
        raise refused(BOM_UNKNOWN, "the product has no bill of materials", product_id=product_id)
    needed = graph.exploded(product_id, quantity)
    components = [
        {
            "product_id": each,
            "quantity": number(amount.quantize(PART, ROUND_UP)),
            "level": level,
            "made": each in graph.components,
        }
        for each, (amount, level) in sorted(needed.items(), key=lambda item: (item[1][1], item[0]))
        if level
    ]
    materials = shown_goods(materials_for(desk, product_id, quantity))
    return {"product_id": product_id, "quantity": number(quantity), "materials": materials, "components": components}
