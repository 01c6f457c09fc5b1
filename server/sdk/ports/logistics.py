"""The port `logistics`: what is packed leaves the house, and where it is.

A shipment is `shipped`, then `in_transit` and `delivered`; it may also be `failed`, from which it goes on or comes back
(`returned`: the goods lie in stock again). One that is only `shipped` can be cancelled: the goods are reserved and packed again.
"""

from __future__ import annotations

from server.kernel.errors import code
from server.sdk.ports.orders import ORDER_STATUS, ORDER_UNKNOWN
from server.sdk.ports.port import Port, read, write
from server.sdk.ports.shapes import CHANGE, ID, MOMENT, answer, given, listed, one_of, or_null, text, words
from server.sdk.ports.warehouse import PACKING_STATUS, PACKING_UNKNOWN

SHIPMENT_UNKNOWN = code("SHIPMENT_UNKNOWN", "The ERP has no such shipment.")
SHIPMENT_STATUS = code("SHIPMENT_STATUS", "The shipment's status, in `details.status`, does not allow this.")
PACKING_OF_ANOTHER = code("PACKING_OF_ANOTHER", "The packing is of another order.")

SHIPMENT_STATUSES = ("shipped", "in_transit", "delivered", "failed", "returned", "cancelled")
_SHIPMENT = answer(
    {
        "shipment_id": ID,
        "order_id": ID,
        "status": {"enum": list(SHIPMENT_STATUSES)},
        "tracking_number": words(100),
    },
    {
        "packing_id": or_null(ID),
        "carrier": words(100),
        "shipped_at": MOMENT,
        "delivered_at": or_null(MOMENT),
        "change": CHANGE,
    },
)
_SEEN = answer(
    {"at": MOMENT, "status": {"enum": list(SHIPMENT_STATUSES)}}, {"location": words(200), "note": words(500)}
)
_TOLD = ("stock.updated", "order.updated", "shipment.updated")

LOGISTICS = Port(
    "logistics",
    (
        write(
            "logistics.create_shipment",
            "Hand what is packed to a carrier: it leaves the stock, and the order is shipped.",
            given({"order_id": ID, "packing_id": ID, "carrier": text(100)}, ["order_id", "packing_id"]),
            _SHIPMENT,
            (ORDER_UNKNOWN, ORDER_STATUS, PACKING_UNKNOWN, PACKING_STATUS, PACKING_OF_ANOTHER),
            undo="logistics.cancel_shipment",
            events=("stock.updated", "order.updated", "shipment.created"),
        ),
        write(
            "logistics.cancel_shipment",
            "Take back what has not begun to move. For a shipment that never was, nothing is done.",
            given({"shipment_id": ID}, ["shipment_id"]),
            answer({"shipment_id": ID, "status": words(40), "change": CHANGE}, {"order_id": or_null(ID)}),
            (SHIPMENT_STATUS,),
            events=_TOLD,
        ),
        read(
            "logistics.track",
            "Say where a shipment is and was.",
            one_of({"shipment_id": ID, "tracking_number": text(100)}),
            {**_SHIPMENT, "properties": {**_SHIPMENT["properties"], "history": listed(_SEEN)}},
            (SHIPMENT_UNKNOWN,),
        ),
        write(
            "logistics.delivery_update",
            "Note what the carrier says of a shipment.",
            given(
                {
                    "shipment_id": ID,
                    "status": {"enum": ["in_transit", "delivered", "failed", "returned"]},
                    "location": text(200),
                    "note": text(500),
                },
                ["shipment_id", "status"],
            ),
            _SHIPMENT,
            (SHIPMENT_UNKNOWN, SHIPMENT_STATUS),
            events=_TOLD,
        ),
    ),
)
