"""What calls look up again and again: records by the ids of the ports, by idempotency key, and what the company has by default."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any

from plugins.tryton.rest import SOURCE
from server.sdk import Permanent

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from plugins.tryton.rest import Record, Tryton

_LONGEST_ID = 18
UNIT_FIELDS = ("default_uom", "list_price_used", "lead_time", "type", "code", "name")


def number(text: str) -> int:
    """Return the record number of an id; -1, which no record has, where it is none of Tryton's."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _LONGEST_ID else -1


def refused(code: str, message: str, **details: Any) -> Permanent:
    """Return a refusal of a port."""
    return Permanent(message, code=code, source=SOURCE, **details)


def one(erp: Tryton, model: str, text: str, fields: Iterable[str], unknown: str, **context: Any) -> Record:
    """Return the record of an id.

    Raises:
        Permanent: with the code `unknown`.

    """
    found = erp.get(model, number(text), fields, **context)
    if found is None:
        raise refused(unknown, f"there is no {model} with this id", id=text)
    return found


def keyed(
    erp: Tryton, model: str, fields: Iterable[str], field: str = "reference", more: Sequence[Any] = ()
) -> Record | None:
    """Return the oldest record that the call's idempotency key made, None where it made none yet or has no key."""
    return erp.first(model, [[field, "=", erp.key], *more], fields) if erp.key else None


def settled(erp: Tryton, model: str, made: Record, field: str = "reference", more: Sequence[Any] = ()) -> Record:
    """Return what stays of a record just made under the call's key: an older one of the same key, where there is one.

    Tryton keeps no key unique. Two calls of one key at once find each other here, and the younger draft is taken back.
    """
    oldest = keyed(erp, model, ("id",), field, more)
    if oldest is None or oldest["id"] == made["id"]:
        return made
    erp.delete(model, made["id"])
    return oldest


def today(erp: Tryton) -> date:
    """Return the day of the call, in UTC."""
    return erp.now.date()


def warehouse(erp: Tryton) -> Record:
    """Return the warehouse of the integration: the one of its config, or the oldest."""
    if "warehouse" not in erp.memory:
        named = erp.settings.get("warehouse")
        domain: list[Any] = [["type", "=", "warehouse"]]
        if named is not None:
            domain.append(["id", "=", named])
        fields = ("storage_location", "output_location", "production_location")
        found = erp.first("stock.location", domain, fields)
        if found is None:
            raise Permanent("there is no such warehouse", source=SOURCE, warehouse=named)
        erp.memory["warehouse"] = found
    kept: Record = erp.memory["warehouse"]
    return kept


def currency(erp: Tryton) -> int:
    """Return the number of the company's currency."""
    if "currency" not in erp.memory:
        company = erp.get("company.company", erp.settings["company"], ("currency",))
        if company is None:
            raise Permanent("there is no such company", source=SOURCE, company=erp.settings["company"])
        erp.memory["currency"] = company["currency"]
    kept: int = erp.memory["currency"]
    return kept


def products(erp: Tryton, ids: Iterable[str], unknown: str, fields: Iterable[str] = UNIT_FIELDS) -> dict[str, Record]:
    """Return the products of some ids, by id.

    Raises:
        Permanent: with the code `unknown`, naming the first that there is not.

    """
    wanted = list(dict.fromkeys(ids))
    numbers = [number(each) for each in wanted]
    rows = erp.search("product.product", [["id", "in", numbers]], fields) if wanted else []
    found = {str(row["id"]): row for row in rows}
    for each in wanted:
        if each not in found:
            raise refused(unknown, "there is no product with this id", product_id=each)
    return found


def page(given: dict[str, Any], default: int = 50) -> tuple[int, int]:
    """Return limit and offset of a list's page."""
    cursor = given.get("cursor")
    if cursor is not None and number(cursor) < 0:
        raise Permanent("the cursor is none that a page gave", source=SOURCE)
    return int(given.get("limit", default)), number(cursor) if cursor else 0


def literal(text: str) -> str:
    """Return a text so that `like` takes it as it stands."""
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def date_of(text: str) -> date:
    """Return the day that a text of an input names."""
    return date.fromisoformat(text)


def day_of(value: date | None) -> str | None:
    """Return a day as text."""
    return None if value is None else value.isoformat()
