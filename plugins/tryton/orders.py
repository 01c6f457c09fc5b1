"""The port `orders` on sales.

Sales are made with both methods `manual`: a confirmed one gets its shipment when stock is reserved and its invoice when one is
asked for, not before. `pending` is a quotation; whatever is invoiced or reserved is confirmed first.
"""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from plugins.tryton import finding
from plugins.tryton.coverage import not_supported
from plugins.tryton.customers import party_of
from plugins.tryton.products import percent
from plugins.tryton.values import STAMPS, amount, day, exact, goods, quantity, stamps
from server.sdk.ports.orders import ORDER_CONFLICT, ORDER_STATUS, ORDER_UNKNOWN
from server.sdk.ports.products import PRODUCT_UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from plugins.tryton.customers import Work
    from plugins.tryton.rest import Record, Tryton

SALE = "sale.sale"
FIELDS = (
    *("number", "state", "reference", "description", "party", "origin", "comment", "shipping_date", "sale_date"),
    *("quotation_date", "untaxed_amount", "tax_amount", "total_amount", "invoice_state", *STAMPS),
    *("lines.product.name", "lines.quantity", "lines.unit_price", "lines.amount", "lines.taxes.rate"),
    *("lines.moves.state", "lines.moves_ignored", "shipments.state", "invoices_ignored", "invoices_recreated"),
    *("invoices.state", "invoices.amount_to_pay", "invoices.total_amount"),
)
_OPEN = ("request", "draft", "waiting", "assigned", "running")
_GONE = {"shipped": "shipped", "done": "delivered"}
_HELD = ("assigned", "picked", "packed")
_OWED = {"posted": "amount_to_pay"}
"""Which amount of an invoice is open; of one that is not posted all is."""
_PRICE = Decimal("0.0001")
_AT_ONCE = 50
MADE_FOR = "sales for which something is being made"
_METHODS = {"invoice_method": "manual", "shipment_method": "manual"}


def order_of(erp: Tryton, order_id: str) -> Record:
    """Return the sale of an order.

    Raises:
        Permanent: ORDER_UNKNOWN.

    """
    return finding.one(erp, SALE, order_id, FIELDS, ORDER_UNKNOWN)


def is_cancelled(sale: Record) -> bool:
    """Say whether a sale counts as cancelled: one under way ends as done, with nothing of it left, or only what was paid."""
    left = [each for each in (*sale["shipments"], *sale["invoices"]) if each["state"] != "cancelled"]
    return bool(sale["state"] == "cancelled" or (sale["state"] == "done" and not left) or is_given_up(sale))


def is_given_up(sale: Record) -> bool:
    """Say whether somebody has cancelled all that was to be shipped of a sale and told Tryton to leave it at that."""
    moving = [line for line in sale["lines"] if line["moves"]]
    return bool(moving) and all(
        line["moves_ignored"] and all(move["state"] == "cancelled" for move in line["moves"]) for line in moving
    )


def leave(erp: Tryton, sale: Record, how: str = "ignored") -> None:
    """Tell Tryton what to do of the cancelled moves and invoices of a sale: they are `ignored`, or `recreated`."""
    lines: list[Any] = []
    for line in sale["lines"]:
        gone = [move["id"] for move in line["moves"] if move["state"] == "cancelled"]
        if gone:
            lines.append(["write", [line["id"]], {f"moves_{how}": [["add", gone]]}])
    values: dict[str, Any] = {"lines": lines} if lines else {}
    if how == "ignored":
        gone = [each["id"] for each in sale["invoices"] if each["state"] == "cancelled"]
        values |= {"invoices_ignored": [["add", gone]]} if gone else {}
    if values:
        erp.write(SALE, sale["id"], values)


def status_of(erp: Tryton, sale: Record) -> str:
    """Return the status of an order: Tryton's own, its shipments' and its productions'."""
    if is_cancelled(sale):
        return "cancelled"
    if sale["state"] in ("draft", "quotation"):
        return "draft" if sale["state"] == "draft" else "pending"
    shipments = {each["state"] for each in sale["shipments"]} - {"cancelled"}
    for state in ("done", "shipped"):
        if shipments and shipments <= {"done", state}:
            return _GONE[state]
    if _is_made_for(erp, sale["id"]):
        return "in_production"
    return "ready" if shipments & {*_HELD, "shipped"} else "confirmed"


def _is_made_for(erp: Tryton, number: int) -> bool:
    if (made_for := erp.memory.get(MADE_FOR)) is not None:
        return number in made_for
    domain = [["reference", "like", f"{production_mark(str(number))}%"], ["state", "in", list(_OPEN)]]
    return erp.first("production", domain, ("id",)) is not None


def look_what_is_made(erp: Tryton, sales: Sequence[Record]) -> None:
    """Ask at once for which of many sales something is being made, and keep it for `status_of`."""
    found: set[int] = set()
    numbers = [each["id"] for each in sales]
    for at in range(0, len(numbers), _AT_ONCE):
        marks = [["reference", "like", f"{production_mark(str(each))}%"] for each in numbers[at : at + _AT_ONCE]]
        rows = erp.search("production", [["OR", *marks], ["state", "in", list(_OPEN)]], ("reference",))
        found |= {int(each["reference"].partition(";")[0].removeprefix("order ")) for each in rows}
    erp.memory[MADE_FOR] = found


def production_mark(order_id: str | None) -> str:
    """Return what the reference of a production begins with: whose it is."""
    return f"order {order_id or '-'}; "


def priced(lines: Sequence[Record]) -> list[dict[str, Any]]:
    """Return the items of a sale's lines."""
    return [_item(index, line) for index, line in enumerate(lines) if line["product"]]


def _item(index: int, line: Record) -> dict[str, Any]:
    rate = percent(line["taxes"])
    return {
        "line": index,
        "product_id": str(line["product"]["id"]),
        "name": line["product"]["name"],
        "quantity": goods(line["quantity"]),
        "unit_price": amount(line["unit_price"]),
        "net": amount(line["amount"]),
        "tax_rate": rate,
        "tax": amount(exact(line["amount"]) * exact(rate) / 100),
    }


def totals(sale: Record) -> dict[str, Any]:
    """Return what a sale is worth."""
    return {
        "net": amount(sale["untaxed_amount"]),
        "tax": amount(sale["tax_amount"]),
        "total": amount(sale["total_amount"]),
    }


def shown(erp: Tryton, sale: Record) -> dict[str, Any]:
    """Return an order as the port has it."""
    origin = str(sale["origin"] or "")
    ordered = sale["sale_date"] or sale["quotation_date"]
    return {
        "order_id": str(sale["id"]),
        "customer_id": str(sale["party"]),
        "status": status_of(erp, sale),
        "items": priced(sale["lines"]),
        **totals(sale),
        "delivery_date": day(sale["shipping_date"]),
        "external_id": sale["description"] or None,
        "deal_id": origin.partition(",")[2] if origin.startswith("sale.opportunity,") else None,
        "payment_status": payment_status(sale),
        "note": sale["comment"] or None,
        **({} if ordered is None else {"ordered_on": day(ordered)}),
        **stamps(sale),
    }


def payment_status(sale: Record) -> str:
    """Return how far an order is paid: by what is open of its invoices, whether Tryton has reconciled that already or not."""
    live = [each for each in sale["invoices"] if each["state"] != "cancelled"]
    total = sum((exact(each["total_amount"]) for each in live), Decimal(0))
    left = sum(
        (exact(each[_OWED.get(each["state"], "total_amount")]) for each in live if each["state"] != "paid"), Decimal(0)
    )
    if live and not left:
        return "paid"
    return "partly_paid" if left < total else "unpaid"


def again(erp: Tryton, sale: Record) -> Record:
    """Return the sale as it is now."""
    return order_of(erp, str(sale["id"]))


def _create(erp: Tryton, given: Mapping[str, Any]) -> dict[str, Any]:
    sale = finding.keyed(erp, SALE, FIELDS) or _drafted(erp, given)
    return {**shown(erp, ready(erp, sale, given)), "change": "created"}


def _drafted(erp: Tryton, given: Mapping[str, Any]) -> Record:
    party_of(erp, {"customer_id": given["customer_id"]})
    if "external_id" in given:
        known = erp.first(SALE, [["description", "=", given["external_id"]]], ("id",))
        if known is not None:
            raise finding.refused(ORDER_CONFLICT, "another order has this external id", order_id=str(known["id"]))
    made = draft(erp, given, {"description": given.get("external_id")})
    return again(erp, finding.settled(erp, SALE, made))


def draft(erp: Tryton, given: Mapping[str, Any], more: Mapping[str, Any]) -> Record:
    """Make the sale of a customer and items, in one step; prices and addresses come with `ready`."""
    party = party_of(erp, {"customer_id": given["customer_id"]})
    known = finding.products(erp, (each["product_id"] for each in given["items"]), PRODUCT_UNKNOWN)
    lines = [line_values(known[each["product_id"]], each) for each in given["items"]]
    values = {
        "party": party["id"],
        "reference": erp.key,
        "currency": finding.currency(erp),
        "warehouse": finding.warehouse(erp)["id"],
        "lines": [["create", lines]],
        **_METHODS,
        **more,
    }
    return erp.create(SALE, values)


def line_values(product: Record, item: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a new line, at the price that is said or else at that of the list."""
    price = exact(item.get("unit_price", product["list_price_used"])) * (1 - exact(item.get("discount_percent")) / 100)
    return {
        "product": product["id"],
        "quantity": quantity(item["quantity"]),
        "unit": product["default_uom"],
        "unit_price": price.quantize(_PRICE),
    }


def ready(erp: Tryton, sale: Record, given: Mapping[str, Any]) -> Record:
    """Bring a sale of ours to the state that was asked for: whatever a call before this one did of it stays."""
    wanted = given.get("status", "pending")
    if sale["state"] == "draft":
        erp.write(SALE, sale["id"], _completed(erp, sale, given))
        if wanted != "draft":
            erp.press(SALE, sale["id"], "quote")
    if wanted == "confirmed":
        confirm(erp, again(erp, sale))
    return again(erp, sale)


def _completed(erp: Tryton, sale: Record, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return what Tryton's own form would fill in: addresses, terms, prices and taxes."""
    filled = erp.press(SALE, sale["id"], "on_change", fieldnames=["party"])
    kept = ("invoice_address", "shipment_address", "payment_term")
    values = {name: filled[name] for name in kept if name in filled}
    values |= {**_METHODS, "shipping_date": _shipping(erp, sale, given)}
    if "note" in given:
        values["comment"] = given["note"]
    items = given.get("items", [])
    lines = []
    for index, line in enumerate(sale["lines"]):
        own = index >= len(items) or {"unit_price", "discount_percent"} & items[index].keys()
        if line["product"] and (filled := _line_filled(erp, line, repriced=not own)):
            lines.append(["write", [line["id"]], filled])
    return {**values, "lines": lines} if lines else values


def _line_filled(erp: Tryton, line: Record, *, repriced: bool) -> dict[str, Any]:
    filled = erp.press("sale.line", line["id"], "on_change", fieldnames=["product", "quantity"])
    values: dict[str, Any] = {}
    if repriced and "unit_price" in filled:
        values["unit_price"] = filled["unit_price"]
    taxes = [each["id"] for _, each in filled.get("taxes", {}).get("add", [])]
    if taxes:
        values["taxes"] = [["add", taxes]]
    return values


def _shipping(erp: Tryton, sale: Record, given: Mapping[str, Any]) -> Any:
    if "delivery_date" in given:
        return finding.date_of(given["delivery_date"])
    numbers = [line["product"]["id"] for line in sale["lines"] if line["product"]]
    rows = erp.search("product.product", [["id", "in", numbers]], ("lead_time",))
    longest = max((row["lead_time"] for row in rows if row["lead_time"]), default=timedelta())
    return finding.today(erp) + longest


def confirm(erp: Tryton, sale: Record) -> Record:
    """Confirm a sale that is not yet, and let Tryton process it.

    Raises:
        Permanent: ORDER_STATUS.

    """
    if is_cancelled(sale):
        raise finding.refused(ORDER_STATUS, "the order is cancelled", status="cancelled")
    if sale["state"] == "draft":
        sale = ready(erp, sale, {})
    if sale["state"] == "quotation":
        erp.press(SALE, sale["id"], "confirm")
        sale = again(erp, sale)
    if sale["state"] == "confirmed":  # where its queue has workers, processing comes later
        erp.press(SALE, sale["id"], "process")
        sale = again(erp, sale)
    return sale


def _get(erp: Tryton, given: Mapping[str, Any]) -> dict[str, Any]:
    return shown(erp, order_of(erp, given["order_id"]))


def _search(erp: Tryton, given: Mapping[str, Any]) -> dict[str, Any]:
    domain = [["party", "=", finding.number(given["customer_id"])]] if "customer_id" in given else []
    if "status" in given:
        states = {"draft": ["draft"], "pending": ["quotation"], "cancelled": ["cancelled", "processing", "done"]}
        domain.append(["state", "in", states.get(given["status"], ["confirmed", "processing", "done"])])
    rows, following = finding.changed(erp, SALE, domain, FIELDS, given)
    orders = [shown(erp, row) for row in rows]
    return {"orders": [each for each in orders if given.get("status") in (None, each["status"])], "next": following}


def _update(erp: Tryton, given: Mapping[str, Any]) -> dict[str, Any]:
    sale = order_of(erp, given["order_id"])
    before = shown(erp, sale)
    if before["status"] in ("cancelled", "delivered"):
        raise finding.refused(ORDER_STATUS, "the order is over", status=before["status"])
    values: dict[str, Any] = {}
    if "note" in given and given["note"] != before["note"]:
        values["comment"] = given["note"]
    if "delivery_date" in given and given["delivery_date"] != before["delivery_date"]:
        values["shipping_date"] = finding.date_of(given["delivery_date"])
    if values:
        erp.write(SALE, sale["id"], values)
    if "items" in given:
        _replace(erp, sale, given, before["status"])
    if given.get("status") == "confirmed" and before["status"] == "pending":
        confirm(erp, again(erp, sale))
    elif given.get("status", before["status"]) != before["status"]:
        raise not_supported("orders.update", "an order's further status follows its shipments", field="status")
    after = shown(erp, again(erp, sale))
    return {**after, "change": "none" if after == before else "updated"}


def _replace(erp: Tryton, sale: Record, given: Mapping[str, Any], status: str) -> None:
    if status not in ("draft", "pending"):
        raise finding.refused(ORDER_STATUS, "the items of an order under way stay", status=status)
    if sale["state"] == "quotation":
        erp.press(SALE, sale["id"], "draft")
    known = finding.products(erp, (each["product_id"] for each in given["items"]), PRODUCT_UNKNOWN)
    lines = [line_values(known[each["product_id"]], each) for each in given["items"]]
    erp.write(SALE, sale["id"], {"lines": [["delete", [each["id"] for each in sale["lines"]]], ["create", lines]]})
    kept = {} if sale["shipping_date"] is None else {"delivery_date": sale["shipping_date"].isoformat()}
    ready(erp, again(erp, sale), {**kept, "status": status})


def _update_payment_status(erp: Tryton, given: Mapping[str, Any]) -> dict[str, Any]:
    """It follows the invoices by itself over there."""
    sale = order_of(erp, given["order_id"])
    return {"order_id": given["order_id"], "payment_status": payment_status(sale), "change": "none"}


OPERATIONS: dict[str, Work] = {
    "orders.create": _create,
    "orders.get": _get,
    "orders.search": _search,
    "orders.update": _update,
    "orders.update_payment_status": _update_payment_status,
}
