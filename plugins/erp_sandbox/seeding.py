"""A small company to try things with: products, customers and deals. Seeded again, nothing changes.

`sandbox.seed` makes it for a workspace, `seed(desk)` for tests.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from plugins.erp_sandbox.production import sample
from plugins.erp_sandbox.records import by_id, one
from plugins.erp_sandbox.sales import customers, deals, products
from plugins.erp_sandbox.sales.tables import DEALS
from server.sdk import Operation
from server.sdk.ports.shapes import ID, answer, given

if TYPE_CHECKING:
    from collections.abc import Mapping

    from plugins.erp_sandbox.desk import Desk

_IDS = {"type": "object", "additionalProperties": ID, "description": "Ids by external ids."}
SEED = Operation(
    name="sandbox.seed",
    about="Make a small company to try things with: products, customers, and deals to win. Again, it changes nothing.",
    input_schema=given({"size": {"type": "integer", "minimum": 1, "maximum": 1000, "description": "Deals to win."}}),
    output_schema=answer({"products": _IDS, "customers": _IDS, "deals": _IDS}),
    writes=True,
    idempotent=True,
)
_PRODUCTS: tuple[dict[str, Any], ...] = (
    {"external_id": "P-TABLE", "name": "Table", "category": "furniture", "price": "249.00", "lead_time_days": 10},
    {"external_id": "P-CHAIR", "name": "Chair", "category": "furniture", "price": "89.50", "lead_time_days": 5},
    {"external_id": "P-LEG", "name": "Table leg", "category": "material", "price": "12.00", "lead_time_days": 3},
    {"external_id": "P-TOP", "name": "Table top", "category": "material", "price": "80.00", "lead_time_days": 3},
    {"external_id": "P-SCREW", "name": "Screw", "category": "material", "price": "0.10", "lead_time_days": 1},
)
_CUSTOMERS: tuple[dict[str, Any], ...] = (
    {
        "external_id": "C-ACME",
        "name": "ACME Offices",
        "email": "buying@acme.example",
        "city": "Berlin",
        "country": "DE",
    },
    {"external_id": "C-NORD", "name": "Nord Schools", "email": "office@nord.example", "city": "Oslo", "country": "NO"},
)
_DETAILS = {"tax_rate": "19", "price_breaks": [{"quantity": 10, "percent": "5"}, {"quantity": 50, "percent": "10"}]}


@dataclass
class Seeded:
    """What was made, ids by external ids."""

    products: dict[str, str] = field(default_factory=dict)
    customers: dict[str, str] = field(default_factory=dict)
    deals: dict[str, str] = field(default_factory=dict)


def seed(desk: Desk, size: int = 1) -> Seeded:
    """Make the company, with `size` open deals `D-1` and on."""
    made = Seeded()
    for each in _PRODUCTS:
        made.products[each["external_id"]] = products.upsert(desk, {**_DETAILS, **each})["product_id"]
    people = [{**each, "credit_limit": "100000000.00"} for each in (*_CUSTOMERS, *_more_customers(size))]
    written = customers.write(desk, people, "external_id")
    ids = zip((each["external_id"] for each in people), written.ids, strict=True)
    made.customers = {name: str(customer_id) for name, customer_id in ids}
    names = [f"D-{number}" for number in range(1, size + 1)]
    sample.seed(desk, made.products, size - len(by_id(desk, DEALS, "external_id", names)))
    for number in range(1, size + 1):
        made.deals[f"D-{number}"] = _deal(desk, made, number)
    return made


def _more_customers(size: int) -> list[dict[str, Any]]:
    """Return a customer more for each 20 deals, so that many deals do not wait for two customers' rows."""
    return [{"external_id": f"C-{number}", "name": f"Customer {number}"} for number in range(1, size // 20 + 1)]


def _deal(desk: Desk, made: Seeded, number: int) -> str:
    there = one(desk, DEALS, external_id=f"D-{number}")
    if there is not None:  # whatever became of it
        return str(there["deal_id"])
    buyers = list(made.customers.values())
    buyer = buyers[(number - 1) % len(buyers)]
    items = [
        {"product_id": made.products["P-TABLE"], "quantity": 5},
        {"product_id": made.products["P-CHAIR"], "quantity": 20},
    ]
    values = {"external_id": f"D-{number}", "customer_id": buyer, "name": f"Meeting room {number}", "items": items}
    return str(deals.create(desk, values)["deal_id"])


def answered(desk: Desk, given_: Mapping[str, Any]) -> dict[str, Any]:
    """Answer `sandbox.seed`."""
    made = seed(desk, int(given_.get("size", 1)))
    return {"products": made.products, "customers": made.customers, "deals": made.deals}
