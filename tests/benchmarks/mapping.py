"""CPU of one mapping: 21 fields and 10 lines, compiled with budgets on, beside the same written by hand in Python.

Run: `.venv/bin/python tests/benchmarks/mapping.py` · prints microseconds of CPU, the best of several rounds.
"""

from __future__ import annotations

import json
import sys
import time
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from server.mapping import compile_map

ROOTS = frozenset(("event", "data"))
MAP = {
    "type": "event.type",
    "number": "data.order_id",
    "created": "event.time",
    "source": "event.source",
    "channel": {"value": "erp"},
    "currency": "data.currency",
    "buyer": "data.customer.id",
    "name": "data.customer.name",
    "email": "lower(data.customer.email)",
    "phone": {"from": "data.customer.phone", "default": "-"},
    "vip": "contains(data.customer.tags, 'vip')",
    "city": "data.ship_to.city",
    "street": "data.ship_to.street",
    "country": "upper(data.ship_to.country)",
    "zip": {"from": "data.ship_to.zip", "type": "text", "required": True},
    "reference": "concat('SO-', text(data.serial))",
    "count": "length(data.lines)",
    "total": {"from": "data.total", "type": "decimal", "round": 2},
    "open": "data.status == 'open' && data.paid == `false`",
    "note": "data.note || data.customer.note || 'none'",
    "large": "to_decimal(data.total) > 1000",
    "lines": {
        "each": "data.lines",
        "map": {
            "item": "item.sku",
            "quantity": "item.quantity",
            "currency": "data.currency",
            "amount": {"from": "mul(item.quantity, to_decimal(item.unit_price))", "type": "decimal", "round": 2},
        },
    },
}
SCOPE = {
    "event": {"id": "evt_1", "type": "order.created", "time": "2026-12-01T08:30:00Z", "source": "shop"},
    "data": {
        "order_id": "SO-1",
        "serial": 42,
        "currency": "KZT",
        "status": "open",
        "paid": False,
        "total": "15000.00",
        "customer": {"id": "C-7", "name": "ACME", "email": "Sales@ACME.example", "phone": None, "tags": ["b2b", "vip"]},
        "ship_to": {"city": "Almaty", "street": "Abay 1", "country": "kz", "zip": 50000},
        "lines": [{"sku": f"A{n}", "quantity": n + 1, "unit_price": f"{n * 10}.50"} for n in range(10)],
    },
}
CENT = Decimal("0.01")


def by_hand(scope: dict) -> dict:
    """Return what MAP makes, the way a person would write it for this one mapping."""
    event, data = scope["event"], scope["data"]
    customer, ship_to, lines = data["customer"], data["ship_to"], data["lines"]
    return {
        "type": event["type"],
        "number": data["order_id"],
        "created": event["time"],
        "source": event["source"],
        "channel": "erp",
        "currency": data["currency"],
        "buyer": customer["id"],
        "name": customer["name"],
        "email": customer["email"].lower(),
        "phone": customer.get("phone") or "-",
        "vip": "vip" in customer["tags"],
        "city": ship_to["city"],
        "street": ship_to["street"],
        "country": ship_to["country"].upper(),
        "zip": str(ship_to["zip"]),
        "reference": "SO-" + str(data["serial"]),
        "count": len(lines),
        "total": str(Decimal(data["total"]).quantize(CENT, ROUND_HALF_UP)),
        "open": data["status"] == "open" and data["paid"] is False,
        "note": data.get("note") or customer.get("note") or "none",
        "large": Decimal(data["total"]) > 1000,
        "lines": [
            {
                "item": line["sku"],
                "quantity": line["quantity"],
                "currency": data["currency"],
                "amount": str((line["quantity"] * Decimal(line["unit_price"])).quantize(CENT, ROUND_HALF_UP)),
            }
            for line in lines
        ],
    }


def microseconds(function, scope: dict, rounds: int = 15, times: int = 400) -> float:
    """Return the CPU of one call: the best round's mean."""
    best = float("inf")
    for _ in range(rounds):
        start = time.process_time_ns()
        for _ in range(times):
            function(scope)
        best = min(best, time.process_time_ns() - start)
    return best / times / 1000


def measure() -> dict[str, float]:
    """Return the figures by name, in microseconds of CPU."""
    compiled = compile_map(MAP, ROOTS)
    if compiled.run(SCOPE) != by_hand(SCOPE):
        raise SystemExit("the two do not agree")
    return {
        "by hand": microseconds(by_hand, SCOPE),
        "compiled, budgets on": microseconds(compiled.run, SCOPE),
        "compiling": microseconds(lambda _: compile_map(MAP, ROOTS), SCOPE, rounds=3, times=5),
    }


if __name__ == "__main__":
    print(json.dumps({name: round(value, 1) for name, value in measure().items()}))
