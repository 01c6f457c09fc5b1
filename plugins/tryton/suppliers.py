"""The port `procurement`, suppliers: parties, and the products that they supply. Their external id is the party's code."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from plugins.tryton import customers, finding
from plugins.tryton.customers import PARTY
from plugins.tryton.rest import MOST
from plugins.tryton.values import STAMPS, stamps
from server.sdk.ports.procurement import SUPPLIER_UNKNOWN
from server.sdk.ports.products import PRODUCT_UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from plugins.tryton.customers import Work
    from plugins.tryton.rest import Record, Tryton

SUPPLIED = "purchase.product_supplier"
_FIELDS = (
    *("name", "code", "active", "supplier_lead_time", *STAMPS),
    *("contact_mechanisms.type", "contact_mechanisms.value"),
)
_SUPPLIED_FIELDS = ("party", "product", "template.products")
_OF_PARTY = ("external_id", "name", "email", "phone")


def supplier_of(erp: Tryton, supplier_id: str) -> Record:
    """Return the party of a supplier: Tryton buys from any.

    Raises:
        Permanent: SUPPLIER_UNKNOWN.

    """
    return finding.one(erp, PARTY, supplier_id, _FIELDS, SUPPLIER_UNKNOWN)


def seller_of(erp: Tryton, product_ids: Iterable[str]) -> Record:
    """Return the first supplier of all of some products, in the order in which the first product names its own.

    Raises:
        Permanent: SUPPLIER_UNKNOWN.

    """
    wanted = list(dict.fromkeys(product_ids))
    sellers = [_sellers(erp, each) for each in wanted]
    for party in sellers[0]:
        if all(party in each for each in sellers[1:]):
            return supplier_of(erp, str(party))
    raise finding.refused(SUPPLIER_UNKNOWN, "no supplier sells all of this", product_ids=wanted)


def _sellers(erp: Tryton, product_id: str) -> list[int]:
    """Return the parties that supply a product, as its form lists them."""
    order = (("sequence", "ASC NULLS FIRST"), ("id", "ASC"))
    rows = erp.search(SUPPLIED, _sold(product_id), ("party",), order=order)
    return list(dict.fromkeys(int(each["party"]) for each in rows))


def _sold(product_id: str) -> list[Any]:
    """Return the domain of who supplies a product, or all variants of its template."""
    number = finding.number(product_id)
    return ["OR", ["product", "=", number], [["product", "=", None], ["template.products", "=", number]]]


def _supplied(erp: Tryton, parties: list[int]) -> dict[int, list[Record]]:
    rows = erp.search(SUPPLIED, [["party", "in", parties]], _SUPPLIED_FIELDS) if parties else []
    return {party: [each for each in rows if each["party"] == party] for party in parties}


def _products(row: Record) -> list[int]:
    """Return the products that one entry stands for: a variant, or all variants of the template."""
    return [row["product"]] if row["product"] else list(row["template"]["products"])


def _shown(party: Record, supplied: list[Record]) -> dict[str, Any]:
    lead = party["supplier_lead_time"]
    return {
        "supplier_id": str(party["id"]),
        "external_id": party["code"],
        "name": party["name"] or "",
        "email": customers.contact(party, "email"),
        "phone": customers.contact(party, "phone"),
        **({} if lead is None else {"lead_time_days": lead.days}),
        "product_ids": [str(each) for each in sorted({each for row in supplied for each in _products(row)})],
        **stamps(party),
    }


def _get(erp: Tryton, given: Mapping[str, Any]) -> dict[str, Any]:
    clause = ["code", "=", given["external_id"]] if "external_id" in given else None
    party = erp.first(PARTY, [clause], _FIELDS) if clause else supplier_of(erp, given["supplier_id"])
    if party is None:
        raise finding.refused(SUPPLIER_UNKNOWN, "there is no party with this code", **dict(given))
    return _shown(party, _supplied(erp, [party["id"]])[party["id"]])


def _upsert(erp: Tryton, given: Mapping[str, Any]) -> dict[str, Any]:
    wanted = finding.products(erp, given.get("product_ids", ()), PRODUCT_UNKNOWN, ("template.id",))
    found, change = customers.upsert(erp, {name: given[name] for name in _OF_PARTY if name in given})
    party = supplier_of(erp, str(found["id"]))
    lead = timedelta(days=given["lead_time_days"]) if "lead_time_days" in given else party["supplier_lead_time"]
    changed = lead != party["supplier_lead_time"]
    if changed:
        erp.write(PARTY, party["id"], {"name": given["name"], "supplier_lead_time": lead})
    if "product_ids" in given:
        changed |= _sells(erp, party["id"], wanted)
    if changed and change == "none":
        change = "updated"
    return {**_get(erp, {"supplier_id": str(party["id"])}), "change": change}


def _sells(erp: Tryton, party: int, wanted: Mapping[str, Record]) -> bool:
    """Let a party supply just these products, say whether that is a change. Prices are said over there."""
    there = _supplied(erp, [party])[party]
    numbers = {each["id"] for each in wanted.values()}
    gone = [each for each in there if not numbers & set(_products(each))]
    known = {each for row in there for each in _products(row)}
    for each in gone:
        erp.delete(SUPPLIED, each["id"])
    missing = [each for each in wanted.values() if each["id"] not in known]
    for each in missing:
        erp.create(SUPPLIED, {"party": party, "product": each["id"], "template": each["template"]["id"]})
    return bool(gone or missing)


def _search(erp: Tryton, given: Mapping[str, Any]) -> dict[str, Any]:
    """List who supplies something, and of whom it is said how long they take."""
    limit, after = int(given.get("limit", 50)), finding.page(dict(given))[1]
    named = [f"%{finding.literal(given['text'])}%"] if "text" in given else []
    sold = _sold(given["product_id"]) if "product_id" in given else []
    domain = [*([sold] if sold else []), *(["party.name", "ilike", each] for each in named)]
    found = set(_selling(erp, domain, after, limit + 1))
    if not sold:
        timed = [["id", ">", after], ["supplier_lead_times.supplier_lead_time", "!=", None]]
        rows = erp.search(PARTY, timed + [["name", "ilike", each] for each in named], ("id",), limit=limit + 1)
        found |= {int(each["id"]) for each in rows}
    ids = sorted(found)[:limit]
    parties = erp.search(PARTY, [["id", "in", ids]], _FIELDS) if ids else []
    supplied = _supplied(erp, ids)
    more = str(ids[-1]) if len(found) > limit else None
    return {"suppliers": [_shown(each, supplied[each["id"]]) for each in parties], "next": more}


def _selling(erp: Tryton, domain: list[Any], after: int, number: int) -> list[int]:
    """Return so many parties that supply something, in the order of their ids."""
    found: dict[int, None] = {}
    order = (("party.id", "ASC"), ("id", "ASC"))
    while True:  # each round begins after the last party of the one before
        rows = erp.search(SUPPLIED, [["party", ">", after], *domain], ("party",), order=order)
        found |= dict.fromkeys(int(each["party"]) for each in rows)
        if len(rows) < MOST or len(found) >= number:
            return list(found)[:number]
        after = rows[-1]["party"]


OPERATIONS: dict[str, Work] = {
    "suppliers.get": _get,
    "suppliers.upsert": _upsert,
    "suppliers.search": _search,
}
