"""The port `deals` on opportunities, and quotes on quotations. A deal is won when its opportunity is converted: that makes a sale.

Tryton itself calls an opportunity won when its sale is confirmed, and lost when that is cancelled.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from plugins.tryton import finding, orders
from plugins.tryton.coverage import not_supported
from plugins.tryton.customers import party_of
from plugins.tryton.orders import FIELDS as SALE_FIELDS
from plugins.tryton.orders import SALE
from plugins.tryton.products import percent
from plugins.tryton.values import STAMPS, amount, day, exact, goods, moment, quantity, stamps
from server.sdk.ports.deals import DEAL_CLOSED, DEAL_UNKNOWN, QUOTE_EXPIRED, QUOTE_UNKNOWN
from server.sdk.ports.orders import DEAL_NOT_WON, ORDER_EXISTS, QUOTE_NOT_ACCEPTED
from server.sdk.ports.products import PRODUCT_UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Mapping

    from plugins.tryton.customers import Work
    from plugins.tryton.rest import Record, Tryton

DEAL = "sale.opportunity"
FIELDS = (
    *("reference", "state", "party", "description", "comment", "end_date", "conversion_probability", "lost_reason"),
    *("sales", "lines.quantity", "lines.product.name", "lines.product.list_price_used", *STAMPS),
    "lines.product.account_category.customer_taxes.rate",
)
_STATUS = {"converted": "won", "won": "won", "lost": "lost", "cancelled": "lost"}
_OPEN = ("lead", "opportunity")
_MOST_VERSIONS = 100
"""So many of a deal's versions are read, the newest ones: each is a request."""


def _status(deal: Record) -> str:
    # One whose order was cancelled is lost over there; the deal itself was won.
    return "won" if deal["sales"] else _STATUS.get(deal["state"], "open")


def shown(deal: Record) -> dict[str, Any]:
    """Return a deal as the port has it."""
    items = [_item(index, line) for index, line in enumerate(deal["lines"]) if line["product"]]
    worth = sum((exact(each["net"]) + exact(each["tax"]) for each in items), Decimal(0))
    return {
        "deal_id": str(deal["id"]),
        "customer_id": str(deal["party"]),
        "name": deal["description"] or str(deal["id"]),
        "status": _status(deal),
        "amount": amount(worth),
        "items": items,
        "external_id": deal["reference"] or None,
        "expected_close": day(deal["end_date"]),
        "probability": deal["conversion_probability"],
        "note": deal["comment"] or None,
        "lost_because": deal["lost_reason"] or None,
        **stamps(deal),
    }


def _item(index: int, line: Record) -> dict[str, Any]:
    taxes = (line["product"]["account_category"] or {}).get("customer_taxes", [])
    price, rate = exact(line["product"]["list_price_used"]), percent(taxes)
    net = price * exact(line["quantity"])
    return {
        "line": index,
        "product_id": str(line["product"]["id"]),
        "name": line["product"]["name"],
        "quantity": goods(line["quantity"]),
        "unit_price": amount(price),
        "net": amount(net),
        "tax_rate": rate,
        "tax": amount(net * exact(rate) / 100),
    }


def _of(erp: Tryton, given: Mapping[str, Any]) -> Record:
    if "deal_id" in given:
        return finding.one(erp, DEAL, given["deal_id"], FIELDS, DEAL_UNKNOWN)
    found = erp.first(DEAL, [["reference", "=", given["external_id"]]], FIELDS)
    if found is None:
        raise finding.refused(DEAL_UNKNOWN, "there is no such deal", external_id=given["external_id"])
    return found


def _create(erp: Tryton, given: Mapping[str, Any]) -> dict[str, Any]:
    mark = given.get("external_id", erp.key)
    found = None if mark is None else erp.first(DEAL, [["reference", "=", mark]], FIELDS)
    if found is None:
        found = _of(erp, {"deal_id": str(erp.create(DEAL, _values(erp, given) | {"reference": mark})["id"])})
    return {**shown(found), "change": "created"}


def _values(erp: Tryton, given: Mapping[str, Any]) -> dict[str, Any]:
    party = party_of(erp, {"customer_id": given["customer_id"]})
    known = finding.products(erp, (each["product_id"] for each in given["items"]), PRODUCT_UNKNOWN)
    if any({"unit_price", "discount_percent"} & each.keys() for each in given["items"]):
        raise not_supported("deals.create", "the lines of an opportunity have no prices", field="items")
    lines = [
        {
            "product": known[each["product_id"]]["id"],
            "quantity": quantity(each["quantity"]),
            "unit": known[each["product_id"]]["default_uom"],
        }
        for each in given["items"]
    ]
    values = {"party": party["id"], "description": given["name"], "lines": [["create", lines]]}
    if given.get("expected_close") is not None:
        values["end_date"] = finding.date_of(given["expected_close"])
    if "probability" in given:
        values["conversion_probability"] = float(given["probability"])
    if "note" in given:
        values["comment"] = given["note"]
    return values


def _upsert(erp: Tryton, given: Mapping[str, Any]) -> dict[str, Any]:
    found = erp.first(DEAL, [["reference", "=", given["external_id"]]], FIELDS)
    if found is None:
        return _create(erp, given)
    if _same(shown(found), given):
        return {**shown(found), "change": "none"}
    _still_open(found)
    values = _values(erp, given)
    gone = [["delete", [each["id"] for each in found["lines"]]]] if found["lines"] else []
    erp.write(DEAL, found["id"], values | {"lines": [*gone, *values["lines"]]})
    return {**shown(_of(erp, {"external_id": given["external_id"]})), "change": "updated"}


def _same(there: Mapping[str, Any], given: Mapping[str, Any]) -> bool:
    items = [(each["product_id"], goods(each["quantity"])) for each in given["items"]]
    rest = all(there[name] == value for name, value in given.items() if name != "items")
    return rest and items == [(each["product_id"], each["quantity"]) for each in there["items"]]


def _still_open(deal: Record) -> None:
    if (status := _status(deal)) != "open":
        raise finding.refused(DEAL_CLOSED, f"the deal is {status}", status=status)


def _win(erp: Tryton, given: Mapping[str, Any]) -> dict[str, Any]:
    deal = _of(erp, given)
    if _status(deal) == "won":
        return {**shown(deal), "change": "none"}
    _still_open(deal)
    if deal["state"] == "lead":
        erp.press(DEAL, deal["id"], "opportunity")
    erp.press(DEAL, deal["id"], "convert")
    return {**shown(_of(erp, given)), "change": "updated"}


def _lose(erp: Tryton, given: Mapping[str, Any]) -> dict[str, Any]:
    deal = _of(erp, given)
    if _status(deal) == "lost":
        return {**shown(deal), "change": "none"}
    _still_open(deal)
    if "reason" in given:
        erp.write(DEAL, deal["id"], {"lost_reason": given["reason"]})
    erp.press(DEAL, deal["id"], "lost")
    return {**shown(_of(erp, given)), "change": "updated"}


def _active(erp: Tryton, given: Mapping[str, Any]) -> dict[str, Any]:
    whose = ["=", finding.number(given["customer_id"])] if "customer_id" in given else ["!=", None]
    domain = [["state", "in", list(_OPEN)], ["party", *whose]]
    rows, following = finding.changed(erp, DEAL, domain, FIELDS, given)
    return {"deals": [shown(each) for each in rows], "next": following}


def rate(erp: Tryton, given: Mapping[str, Any]) -> dict[str, Any]:
    domain: list[Any] = []
    if "customer_id" in given:
        domain.append(["party", "=", finding.number(given["customer_id"])])
    for name, sign in (("from", ">="), ("to", "<=")):
        if name in given:
            domain.append(["OR", ["end_date", sign, finding.date_of(given[name])], ["state", "in", list(_OPEN)]])
    counts = {"won": 0, "lost": 0, "open": 0}
    for row in finding.every(erp, DEAL, domain, ("state", "sales")):
        counts[_status(row)] += 1
    closed = counts["won"] + counts["lost"]
    return {**counts, "rate": counts["won"] / closed if closed else None}


def _history(erp: Tryton, given: Mapping[str, Any]) -> dict[str, Any]:
    """Tryton keeps each version of an opportunity; what differs from the one before is what became of it."""
    deal = _of(erp, {"deal_id": given["deal_id"]})
    versions = erp.ask(DEAL, "history_revisions", ids=[deal["id"]])
    steps: list[dict[str, Any]] = []
    before: Record | None = None
    fields = ("state", "conversion_probability", "lost_reason", "write_date", "create_date")
    for at in sorted(each[0] for each in versions)[-_MOST_VERSIONS:]:
        version = erp.get(DEAL, deal["id"], fields, _datetime=at)
        if version is not None:
            was_won = before is not None and before["status"] == "won"
            version["status"] = "won" if was_won else _STATUS.get(version["state"], "open")
            steps.append(_step(at, before, version))
            before = version
    return {"deal_id": given["deal_id"], "history": steps}


def _step(at: Any, before: Record | None, now: Record) -> dict[str, Any]:
    then = None if before is None else before["status"]
    status, note, what = now["status"], None, "changed"
    if before is None:
        what = "created"
    elif then != status:
        what, note = status, now["lost_reason"] or None
    elif before["conversion_probability"] != now["conversion_probability"]:
        what, note = "predicted", f"{now['conversion_probability']:g}"
    elif before["state"] != now["state"]:
        note = now["state"]
    return {"at": moment(at), "what": what, "from": then, "to": status, "note": note}


def _record_prediction(erp: Tryton, given: Mapping[str, Any]) -> dict[str, Any]:
    deal = _of(erp, {"deal_id": given["deal_id"]})
    _still_open(deal)
    changed = deal["conversion_probability"] != given["probability"]
    if changed:
        erp.write(DEAL, deal["id"], {"conversion_probability": float(given["probability"])})
    return {
        "deal_id": given["deal_id"],
        "probability": given["probability"],
        "change": "updated" if changed else "none",
    }


def _order(erp: Tryton, given: Mapping[str, Any]) -> dict[str, Any]:
    deal = _of(erp, {"deal_id": given["deal_id"]})
    if _status(deal) != "won":
        raise finding.refused(DEAL_NOT_WON, "the deal is not won", status=_status(deal))
    domain = [["origin", "=", f"{DEAL},{deal['id']}"]]
    sales = erp.search(SALE, domain, SALE_FIELDS)
    mine = next((each for each in sales if erp.key and each["reference"] == erp.key), None)
    taken = [each for each in sales if not orders.is_cancelled(each) and each["reference"]]
    if mine is None and taken:
        message = "the deal has an order"
        raise finding.refused(ORDER_EXISTS, message, order_id=str(taken[0]["id"]))
    sale = mine or _free(erp, sales)
    if sale["reference"] != erp.key:
        erp.write(SALE, sale["id"], {"reference": erp.key})
    return {**orders.shown(erp, orders.ready(erp, sale, given)), "change": "created"}


def _free(erp: Tryton, sales: list[Record]) -> Record:
    """Return a draft for a deal: the one that converting made, or a copy of a sale that was cancelled."""
    drafted = next((each for each in sales if each["state"] == "draft" and not each["reference"]), None)
    if drafted is not None:
        return drafted
    copied = erp.press(SALE, sales[-1]["id"], "copy")
    erp.write(SALE, copied[0], {"reference": erp.key, "origin": sales[-1]["origin"]})
    return orders.order_of(erp, str(copied[0]))


def _quote(erp: Tryton, given: Mapping[str, Any]) -> dict[str, Any]:
    if "deal_id" in given:
        raise not_supported("quotes.create", "the quotation of a deal is made when it is converted", field="deal_id")
    if "customer_id" not in given:
        raise finding.refused("INPUT_INVALID", "items need a customer_id")
    sale = finding.keyed(erp, SALE, SALE_FIELDS)
    if sale is None:
        more: dict[str, Any] = {}
        if "valid_until" in given:
            until = finding.date_of(given["valid_until"]) - finding.today(erp)
            more = {"quotation_date": finding.today(erp), "quotation_validity": until}
        sale = orders.again(erp, finding.settled(erp, SALE, orders.draft(erp, given, more)))
    return {**_quoted(erp, orders.ready(erp, sale, given)), "change": "created"}


def _quoted(erp: Tryton, sale: Record) -> dict[str, Any]:
    expires = erp.get(SALE, sale["id"], ("quotation_expire",))
    origin = str(sale["origin"] or "")
    return {
        "quote_id": str(sale["id"]),
        "customer_id": str(sale["party"]),
        "status": "open" if sale["state"] in ("draft", "quotation") else "accepted",
        "items": orders.priced(sale["lines"]),
        **orders.totals(sale),
        "valid_until": day(expires["quotation_expire"]) if expires else None,
        "deal_id": origin.partition(",")[2] if origin.startswith(f"{DEAL},") else None,
        "created_at": stamps(sale)["created_at"],
        "updated_at": stamps(sale)["updated_at"],
    }


def _quote_of(erp: Tryton, given: Mapping[str, Any]) -> Record:
    return finding.one(erp, SALE, given["quote_id"], SALE_FIELDS, QUOTE_UNKNOWN)


def _accept(erp: Tryton, given: Mapping[str, Any]) -> dict[str, Any]:
    sale = _quote_of(erp, given)
    before = _quoted(erp, sale)
    if before["status"] == "accepted":
        return {**before, "change": "none"}
    if before["valid_until"] is not None and before["valid_until"] < finding.today(erp).isoformat():
        raise finding.refused(QUOTE_EXPIRED, "the quote is over", valid_until=before["valid_until"])
    return {**_quoted(erp, orders.confirm(erp, sale)), "change": "updated"}


def _order_of_quote(erp: Tryton, given: Mapping[str, Any]) -> dict[str, Any]:
    """The quotation is the order, once it is accepted."""
    sale = _quote_of(erp, given)
    if sale["state"] in ("draft", "quotation", "cancelled"):
        raise finding.refused(QUOTE_NOT_ACCEPTED, "the quote is not accepted", quote_id=given["quote_id"])
    return {**orders.shown(erp, sale), "quote_id": given["quote_id"], "change": "created"}


OPERATIONS: dict[str, Work] = {
    "deals.create": _create,
    "deals.get": lambda erp, given: shown(_of(erp, given)),
    "deals.upsert": _upsert,
    "deals.win": _win,
    "deals.lose": _lose,
    "deals.find_active": _active,
    "deals.conversion_rate": rate,
    "deals.history": _history,
    "deals.record_prediction": _record_prediction,
    "orders.create_from_deal": _order,
    "quotes.create": _quote,
    "quotes.get": lambda erp, given: _quoted(erp, _quote_of(erp, given)),
    "quotes.accept": _accept,
    "orders.create_from_quote": _order_of_quote,
}
