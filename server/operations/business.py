"""The figures of the business, from the events in the store: orders, their value, deals won, and how long fulfilment takes.

They are of the last 30 days. Averages are of the newest thousand; an event whose data does not say what it should is left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from statistics import median
from typing import TYPE_CHECKING, Any

from server.events.envelope import from_json

if TYPE_CHECKING:
    from collections.abc import Iterator

    from server.store import Tx

ORDER, SHIPMENT, WON, LOST = "order.created", "shipment.created", "deal.won", "deal.lost"
DAYS = 30
SAMPLED = 1_000
_CENT = Decimal("0.01")
_SINCE = "crossdock_first_uuid(now() - make_interval(days => :days))"
_COUNTS = f"""
SELECT type, count(*) AS n FROM events
WHERE workspace_id = :workspace_id AND type = ANY (:types) AND uid >= {_SINCE} GROUP BY type
"""
_NEWEST = f"""
SELECT data, time FROM events WHERE workspace_id = :workspace_id AND type = :type AND uid >= {_SINCE} ORDER BY uid DESC LIMIT :sampled
"""
_BEGAN = """
SELECT subject, min(time) AS time FROM events
WHERE workspace_id = :workspace_id AND type = :type AND subject = ANY (:subjects) GROUP BY subject
"""


@dataclass(frozen=True, slots=True)
class Business:
    """The last 30 days. Each is None where no event tells it: a share is 0 to 1, a value has two places."""

    orders_processed: int
    average_order_value: str | None
    conversion_rate: float | None
    fulfilment_seconds: float | None


def read(tx: Tx) -> Business:
    """Return the figures of the transaction's workspace."""
    rows = tx.all(_COUNTS, types=[ORDER, WON, LOST], days=DAYS)
    counts = {row.type: row.n for row in rows}
    won, lost = counts.get(WON, 0), counts.get(LOST, 0)
    return Business(
        orders_processed=counts.get(ORDER, 0),
        average_order_value=_value(tx) if ORDER in counts else None,
        conversion_rate=round(won / (won + lost), 4) if won + lost else None,
        fulfilment_seconds=_fulfilment(tx),
    )


def _value(tx: Tx) -> str | None:
    totals = [total for data, _ in _newest(tx, ORDER) if (total := _amount(data.get("total"))) is not None]
    return str((sum(totals, Decimal(0)) / len(totals)).quantize(_CENT, ROUND_HALF_UP)) if totals else None


def _fulfilment(tx: Tx) -> float | None:
    """Return the median of the seconds from an order to its first shipment."""
    shipped: dict[str, Any] = {}
    for data, time in _newest(tx, SHIPMENT):
        if isinstance(data.get("order_id"), str):
            shipped[f"order/{data['order_id']}"] = time
    if not shipped:
        return None
    began = {row.subject: row.time for row in tx.all(_BEGAN, type=ORDER, subjects=sorted(shipped))}
    spans = [(shipped[subject] - time).total_seconds() for subject, time in began.items()]
    return round(median(spans), 1) if spans else None


def _newest(tx: Tx, type_: str) -> Iterator[tuple[dict[str, Any], Any]]:
    for row in tx.all(_NEWEST, type=type_, days=DAYS, sampled=SAMPLED):
        data = from_json(row.data)
        if isinstance(data, dict):
            yield data, row.time


def _amount(value: Any) -> Decimal | None:
    """Return an amount that stands as a number or as text; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | str | Decimal):
        return None
    try:
        amount = Decimal(value)
    except InvalidOperation:
        return None
    return amount if amount.is_finite() else None
