"""Suppliers: read, written, searched, and found for what they sell."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, exists, func, select

from plugins.erp_sandbox import records
from plugins.erp_sandbox.procurement.tables import SUPPLIED, SUPPLIERS
from plugins.erp_sandbox.records import Record, refused
from plugins.erp_sandbox.sales.pricing import products_of
from server.sdk.ports.procurement import SUPPLIER_UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from plugins.erp_sandbox.desk import Desk

_FIELDS = ("name", "email", "phone", "lead_time_days")
_EMPTY = {"email": None, "phone": None, "lead_time_days": 7}
_PAGE = 50


def shown(desk: Desk, *found: Record) -> list[Record]:
    """Return suppliers as the port has them."""
    ids = [each["supplier_id"] for each in found]
    sold = records.many(desk, SUPPLIED, SUPPLIED.c.supplier_id.in_(ids)) if ids else []
    products: dict[str, list[str]] = {each: [] for each in ids}
    for each in sold:
        products[each["supplier_id"]].append(each["product_id"])
    return [{**records.shown(SUPPLIERS, each), "product_ids": products[each["supplier_id"]]} for each in found]


def get(desk: Desk, given: Mapping[str, Any]) -> Record:
    """Read one."""
    found = records.one(desk, SUPPLIERS, **given)
    if found is None:
        raise refused(SUPPLIER_UNKNOWN, "there is no such supplier", **given)
    return shown(desk, found)[0]


def upsert(desk: Desk, given: Mapping[str, Any]) -> Record:
    """Create the supplier of an external id, or change it."""
    values = {name: given[name] for name in _FIELDS if name in given}
    wanted = sorted(set(given.get("product_ids", [])))
    products_of(desk, wanted)
    there = records.one(desk, SUPPLIERS, lock=True, external_id=given["external_id"])
    if there is None:
        now = records.stamped(
            desk, {"supplier_id": desk.new_id("sup"), "external_id": given["external_id"], **_EMPTY, **values}
        )
        records.add(desk, SUPPLIERS, now)
        change = "created"
    else:
        now = records.change(desk, SUPPLIERS, there, **values)
        change = "none" if now is there else "updated"
    if "product_ids" in given and shown(desk, now)[0]["product_ids"] != wanted:
        _sells(desk, now["supplier_id"], wanted)
        change = "updated" if change == "none" else change
    return {**shown(desk, now)[0], "change": change}


def _sells(desk: Desk, supplier_id: str, product_ids: Collection[str]) -> None:
    this = (SUPPLIED.c.company == desk.company, SUPPLIED.c.supplier_id == supplier_id)
    desk.connection.execute(delete(SUPPLIED).where(*this))
    whose = {"company": desk.company, "supplier_id": supplier_id}
    records.add(desk, SUPPLIED, *({**whose, "product_id": each} for each in product_ids))


def search(desk: Desk, given: Mapping[str, Any]) -> Record:
    """Return a page of suppliers."""
    column, limit = SUPPLIERS.c, int(given.get("limit", _PAGE))
    where = []
    if "text" in given:
        where.append(column.name.icontains(given["text"], autoescape=True))
    if "cursor" in given:
        where.append(column.supplier_id > given["cursor"])
    if "product_id" in given:
        mine = (SUPPLIED.c.company == desk.company, SUPPLIED.c.supplier_id == column.supplier_id)
        where.append(exists(select(SUPPLIED).where(*mine, SUPPLIED.c.product_id == given["product_id"])))
    found = records.many(desk, SUPPLIERS, *where, most=limit + 1)
    following = found[limit - 1]["supplier_id"] if len(found) > limit else None
    return {"suppliers": shown(desk, *found[:limit]), "next": following}


def seller_of(desk: Desk, product_ids: Collection[str]) -> str:
    """Return the first supplier that sells all of these; one that names what it sells goes before one that sells anything.

    Raises:
        Permanent: SUPPLIER_UNKNOWN.

    """
    mine = (SUPPLIED.c.company == desk.company,)
    naming = select(SUPPLIED.c.supplier_id).where(*mine, SUPPLIED.c.product_id.in_(sorted(product_ids)))
    naming = naming.group_by(SUPPLIED.c.supplier_id).having(func.count() == len(product_ids))
    names = exists(select(SUPPLIED).where(*mine, SUPPLIED.c.supplier_id == SUPPLIERS.c.supplier_id))
    anything = select(SUPPLIERS.c.supplier_id).where(SUPPLIERS.c.company == desk.company, ~names)
    for query in (naming.order_by(SUPPLIED.c.supplier_id), anything.order_by(SUPPLIERS.c.supplier_id)):
        found = desk.connection.scalars(query.limit(1)).first()
        if found is not None:
            return str(found)
    raise refused(SUPPLIER_UNKNOWN, "no supplier sells all of this", product_ids=sorted(product_ids))
