"""Customers: read, written in batches, searched, archived. All in the transaction of a desk."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, insert, select, update

from plugins.erp_sandbox.records import cents, moment, paged, values_of
from plugins.erp_sandbox.tables import CUSTOMERS
from server.sdk import CrossdockError, Permanent
from server.sdk.ports import CUSTOMER_CONFLICT, CUSTOMER_UNKNOWN
from server.sdk.ports.sales import FIELDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sqlalchemy.engine import Row as Found

    from plugins.erp_sandbox.desk import Desk

MATCHES = ("external_id", "email")
"""What a record finds its customer by."""
_NOTHING = Decimal("0.00")
_MOST_VALUES = 500


@dataclass
class Written:
    """What became of a batch, by the index of each record."""

    changes: list[str]
    ids: list[str | None]
    failed: dict[int, CrossdockError] = field(default_factory=dict)


def shown(row: Found[Any] | Mapping[str, Any]) -> dict[str, Any]:
    """Return a customer as the port has it."""
    values = dict(row) if isinstance(row, dict) else values_of(row)
    values.pop("company")
    for money in ("credit_limit", "balance"):
        values[money] = f"{values[money]:.2f}"
    for at in ("created_at", "updated_at"):
        values[at] = moment(values[at])
    return values


def find(desk: Desk, field_: str, values: Iterable[Any], *, lock: bool = False) -> dict[Any, Found[Any]]:
    """Return the customers with these values of one field, by value; with `lock` nobody else changes them meanwhile."""
    wanted = sorted({each for each in values if each is not None})
    found: dict[Any, Found[Any]] = {}
    for start in range(0, len(wanted), _MOST_VALUES):
        part = wanted[start : start + _MOST_VALUES]
        query = select(CUSTOMERS).where(CUSTOMERS.c.company == desk.company, CUSTOMERS.c[field_].in_(part))
        query = query.order_by(CUSTOMERS.c.customer_id)
        for row in desk.connection.execute(query.with_for_update() if lock and desk.locks else query):
            found.setdefault(getattr(row, field_), row)
    return found


def get(desk: Desk, given: Mapping[str, Any], *, lock: bool = False) -> Found[Any]:
    """Return the customer that an input names.

    Raises:
        Permanent: CUSTOMER_UNKNOWN.

    """
    ((field_, value),) = given.items()
    row = find(desk, field_, [value], lock=lock).get(value)
    if row is None:
        message = f"there is no customer with this {field_}"
        raise Permanent(message, code=CUSTOMER_UNKNOWN, source="erp_sandbox", **{field_: value})
    return row


def write(desk: Desk, records: Sequence[Mapping[str, Any]], match_on: str, mode: str = "upsert") -> Written:
    """Write records that differ in `match_on`, in one step; what is as it should be is not touched, and tells nothing."""
    known = find(desk, match_on, (each.get(match_on) for each in records), lock=True)
    owners = known if match_on == "external_id" else find(desk, "external_id", (r.get("external_id") for r in records))
    written = Written(["none"] * len(records), [None] * len(records))
    new: list[dict[str, Any]] = []
    changed: list[dict[str, Any]] = []
    taken: set[Any] = set()
    for index, record in enumerate(records):
        there = known.get(record.get(match_on))
        external = record.get("external_id")
        owner = owners.get(external)
        another = owner is not None and (there is None or owner.customer_id != there.customer_id)
        if another or external in taken:
            message = "the external id belongs to another customer"
            written.failed[index] = Permanent(message, code=CUSTOMER_CONFLICT, source="erp_sandbox")
        elif there is None and mode != "update_only":
            new.append(_new(desk, record))
            written.changes[index], written.ids[index] = "created", new[-1]["customer_id"]
        elif there is not None:
            written.ids[index] = there.customer_id
            after = _changed(desk, there, record) if mode != "insert_only" else None
            if after is not None:
                changed.append(after)
                written.changes[index] = "updated"
        if external is not None and written.changes[index] != "none":
            taken.add(external)  # another of this batch may want it too
    _store(desk, new, changed)
    return written


def _values(record: Mapping[str, Any]) -> dict[str, Any]:
    values = {key: record[key] for key in FIELDS if key in record}
    if "credit_limit" in values:
        values["credit_limit"] = cents(values["credit_limit"])
    return values


def _new(desk: Desk, record: Mapping[str, Any]) -> dict[str, Any]:
    empty = dict.fromkeys(FIELDS)
    return {
        "company": desk.company,
        "customer_id": desk.new_id("cus"),
        **empty,
        "credit_limit": _NOTHING,
        **_values(record),
        "balance": _NOTHING,
        "state": "active",
        "revision": 1,
        "created_at": desk.now,
        "updated_at": desk.now,
    }


def _changed(desk: Desk, row: Found[Any], record: Mapping[str, Any]) -> dict[str, Any] | None:
    before = values_of(row)
    after = before | _values(record) | {"state": "active"}
    if after == before:
        return None
    return after | {"revision": row.revision + 1, "updated_at": max(desk.now, row.updated_at)}


def _store(desk: Desk, new: Sequence[dict[str, Any]], changed: Sequence[dict[str, Any]]) -> None:
    if new:
        desk.connection.execute(insert(CUSTOMERS), list(new))
    if changed:
        keep = ("company", "customer_id", "created_at", "balance")
        names = [column.name for column in CUSTOMERS.c if column.name not in keep]
        statement = (
            update(CUSTOMERS)
            .where(CUSTOMERS.c.company == bindparam("b_company"), CUSTOMERS.c.customer_id == bindparam("b_id"))
            .values({name: bindparam(f"v_{name}", type_=CUSTOMERS.c[name].type) for name in names})
        )
        rows = [
            {"b_company": row["company"], "b_id": row["customer_id"], **{f"v_{name}": row[name] for name in names}}
            for row in changed
        ]
        desk.connection.execute(statement, rows)
    for type_, told in (("customer.created", new), ("customer.updated", changed)):
        for row in told:
            desk.emit(type_, f"customer/{row['customer_id']}", shown(row))


def archive(desk: Desk, rows: Sequence[Found[Any]]) -> list[dict[str, Any]]:
    """Archive customers that are locked; return each as it is now, with whether it was changed."""
    done = []
    for row in rows:
        values = values_of(row)
        if row.state == "archived":
            done.append({**shown(values), "change": "none"})
            continue
        after = values | {
            "state": "archived",
            "revision": row.revision + 1,
            "updated_at": max(desk.now, row.updated_at),
        }
        _store(desk, [], [after])
        done.append({**shown(after), "change": "updated"})
    return done


def search(desk: Desk, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return a page of customers in the order of their last change."""
    column = CUSTOMERS.c
    where = [column[name] == given[name] for name in ("email", "city", "state") if name in given]
    if "text" in given:
        where.append(column.name.icontains(given["text"], autoescape=True))
    found, following = paged(desk, CUSTOMERS, given, *where, by=("updated_at", "customer_id"))
    return {"customers": [shown(each) for each in found], "next": following}
