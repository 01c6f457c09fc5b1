"""What calls look up again and again: records by the ids of the ports, by idempotency key, and what the company has by default."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any

from plugins.tryton.rest import MOST, SOURCE
from server.sdk import Permanent, code

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from plugins.tryton.rest import Record, Tryton

REPORT_TOO_LARGE = code(
    "REPORT_TOO_LARGE",
    "What is to be summed is more than a call looks at, `details.most`: a shorter span is less of it.",
)
MOST_COUNTED = 20 * MOST
_LONGEST_ID = 18
WHOLE: dict[str, Any] = {"active_test": False}
"""The context in which archived records are found and can be written."""
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


def changed(
    erp: Tryton, model: str, domain: Sequence[Any], fields: Iterable[str], given: Mapping[str, Any]
) -> tuple[list[Record], str | None]:
    """Return a page of records in the order of their last change, and the cursor of the next one."""
    limit, offset = page(dict(given))
    order = (("write_date", "ASC NULLS FIRST"), ("id", "ASC"))
    rows = erp.search(model, domain, fields, order=order, limit=limit + 1, offset=offset)
    return rows[:limit], str(offset + limit) if len(rows) > limit else None


def named(
    erp: Tryton, model: str, domain: Sequence[Any], fields: Iterable[str], given: Mapping[str, Any]
) -> tuple[list[Record], str | None]:
    """Return a page, as `changed` does, of what has a part of a name (`text`) and is active or archived (`state`)."""
    state = {"active": [True], "archived": [False]}.get(given.get("state", ""), [True, False])
    text = [["name", "ilike", f"%{literal(given['text'])}%"]] if "text" in given else []
    return changed(erp, model, [["active", "in", state], *text, *domain], fields, given)


def every(erp: Tryton, model: str, domain: Sequence[Any], fields: Iterable[str], **context: Any) -> Iterator[Record]:
    """Yield all records of a domain, a thousand at a time.

    Raises:
        Permanent: REPORT_TOO_LARGE, when there are more than a call can look at.

    """
    names = tuple(fields)
    for offset in range(0, MOST_COUNTED, MOST):
        rows = erp.search(model, domain, names, limit=MOST, offset=offset, **context)
        yield from rows
        if len(rows) < MOST:
            return
    raise refused(REPORT_TOO_LARGE, "there is more than a call looks at; ask for less of it", most=MOST_COUNTED)


def revived(erp: Tryton, model: str, record: Record) -> None:
    """Make an archived record active: until then nothing else of it can be changed over there."""
    if not record["active"]:
        erp.write(model, record["id"], {"active": True}, **WHOLE)


def literal(text: str) -> str:
    """Return a text so that `like` takes it as it stands."""
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def date_of(text: str) -> date:
    """Return the day that a text of an input names."""
    return date.fromisoformat(text)


def day_of(value: date | None) -> str | None:
    """Return a day as text."""
    return None if value is None else value.isoformat()
