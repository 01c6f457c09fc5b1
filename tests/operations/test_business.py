"""The figures of the business: from the events of the last 30 days, of one's own workspace, whatever odd data is among them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from server.events.envelope import NewEvent, to_json
from server.kernel.clock import parse_rfc3339
from server.operations import business

if TYPE_CHECKING:
    from tests.support.product import Product

NOTHING = business.Business(0, None, None, None)


def told(product: Product, type_: str, subject: str, time: str, **data: Any) -> None:
    event = NewEvent(type=type_, subject=subject, time=parse_rfc3339(time), data=to_json(data))
    with product.tx() as tx:
        product.core.publisher.publish(tx, [event])


def test_orders_their_value_deals_and_fulfilment(product: Product) -> None:
    with product.tx() as tx:
        assert business.read(tx) == NOTHING
    told(product, "order.created", "order/1", "2026-01-01T00:00:00Z", order_id="1", total="10.00")
    told(product, "order.created", "order/2", "2026-01-01T00:00:00Z", order_id="2", total=20.01)
    told(product, "order.created", "order/3", "2026-01-01T00:00:00Z", order_id="3", total="many")
    told(product, "shipment.created", "shipment/1", "2026-01-01T01:00:00Z", order_id="1")
    told(product, "shipment.created", "shipment/2", "2026-01-01T03:00:00Z", order_id="2")
    told(product, "shipment.created", "shipment/3", "2026-01-01T03:00:00Z", order_id="gone")
    for number in range(3):
        told(product, "deal.won", f"deal/{number}", "2026-01-01T00:00:00Z", deal_id=str(number))
    told(product, "deal.lost", "deal/9", "2026-01-01T00:00:00Z", deal_id="9")
    with product.tx() as tx:
        assert business.read(tx) == business.Business(3, "15.01", 0.75, 7200.0)
    with product.tx(product.workspace("rival", "rival")) as tx:
        assert business.read(tx) == NOTHING
