"""Quotes: offers with prices that stay as they are, until they are accepted or their day is over."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from plugins.erp_sandbox.records import add, change, one, refused, shown, stamped
from plugins.erp_sandbox.sales import customers, deals, pricing
from plugins.erp_sandbox.sales.tables import QUOTES
from server.sdk.ports.deals import QUOTE_EXPIRED, QUOTE_UNKNOWN
from server.sdk.ports.sales import CUSTOMER_UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Mapping

    from plugins.erp_sandbox.desk import Desk
    from plugins.erp_sandbox.records import Record


def show(desk: Desk, quote: Record) -> Record:
    """Return a quote as the port has it."""
    lines = pricing.kept(desk, [quote["quote_id"]])[quote["quote_id"]]
    return {**shown(QUOTES, quote, "revision"), "items": pricing.shown_lines(lines)}


def find(desk: Desk, quote_id: str, *, lock: bool = False) -> Record:
    """Return a quote.

    Raises:
        Permanent: QUOTE_UNKNOWN.

    """
    quote = one(desk, QUOTES, lock=lock, quote_id=quote_id)
    if quote is None:
        raise refused(QUOTE_UNKNOWN, "there is no such quote", quote_id=quote_id)
    return quote


def get(desk: Desk, given: Mapping[str, Any]) -> Record:
    """Answer `quotes.get`."""
    return show(desk, find(desk, given["quote_id"]))


def create(desk: Desk, given: Mapping[str, Any]) -> Record:
    """Answer `quotes.create`."""
    customer_id, lines = given.get("customer_id"), None
    if "deal_id" in given:
        deal = deals.find(desk, deal_id=given["deal_id"])
        customer_id = deal["customer_id"]
        lines = pricing.without_owner(pricing.kept(desk, [deal["deal_id"]])[deal["deal_id"]])
    if customer_id is None:
        raise refused(CUSTOMER_UNKNOWN, "a quote of items needs the id of a customer")
    customers.get(desk, {"customer_id": customer_id})
    lines = pricing.lines_of(desk, given["items"]) if lines is None else lines
    quote = stamped(
        desk,
        {
            "quote_id": desk.new_id("quo"),
            "customer_id": customer_id,
            "deal_id": given.get("deal_id"),
            "status": "open",
            "valid_until": given.get("valid_until"),
            **pricing.totals(lines),
        },
    )
    add(desk, QUOTES, quote)
    pricing.keep(desk, quote["quote_id"], lines)
    return {**show(desk, quote), "change": "created"}


def accept(desk: Desk, given: Mapping[str, Any]) -> Record:
    """Answer `quotes.accept`."""
    quote = find(desk, given["quote_id"], lock=True)
    if quote["status"] == "accepted":
        return {**show(desk, quote), "change": "none"}
    until = quote["valid_until"]
    if until is not None and until < desk.now.date().isoformat():
        raise refused(QUOTE_EXPIRED, f"the quote was valid until {until}", valid_until=until)
    return {**show(desk, change(desk, QUOTES, quote, status="accepted")), "change": "updated"}
