"""Customers as a target of sync jobs."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from plugins.erp_sandbox.desk import SOURCE
from plugins.erp_sandbox.opening import working
from plugins.erp_sandbox.reading import ERP_FIELD
from plugins.erp_sandbox.sales import customers
from plugins.erp_sandbox.tables import CUSTOMERS
from server.sdk import (
    Batch,
    Dataset,
    Destination,
    Key,
    Permanent,
    Row,
    Schema,
    Target,
    WriteResult,
    code,
)
from server.sdk.ports import SALES
from server.sdk.ports.sales import FIELDS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sqlalchemy import Select

    from plugins.erp_sandbox.desk import Desk
    from server.sdk import Action, Context, CrossdockError

CUSTOMER_INVALID = code("CUSTOMER_INVALID", "A customer's record breaks a rule; `details.errors` names each place.")


class CustomersWrite(Target):
    """Customers written in batches: each batch is one transaction, with its events."""

    operation = SALES["customers.upsert"]
    modes = frozenset({"upsert", "insert_only", "update_only"})
    actions = frozenset({"archive"})
    looks_up = looks_up_at_once = True
    snapshots = True
    largest_batch = 2_000

    def write(self, to: Destination, batch: Batch, context: Context) -> WriteResult:
        """Write what fits; what does not is named, and nothing else waits for it."""
        match_on = _match(to)
        failed: dict[int, CrossdockError] = {}
        good: list[int] = []
        for index, record in enumerate(batch.records):
            problems = _record().errors(record)
            if problems:
                said = [{"pointer": each.pointer, "message": each.message} for each in problems]
                message = f"{problems[0].pointer or '/'}: {problems[0].message}"
                failed[index] = Permanent(message, code=CUSTOMER_INVALID, source=SOURCE, errors=said)
            else:
                good.append(index)
        with working(context, writes=True) as desk:
            written = customers.write(desk, [batch.records[index] for index in good], match_on, to.mode)
        failed.update((good[number], error) for number, error in written.failed.items())
        unchanged = [
            index
            for number, index in enumerate(good)
            if written.changes[number] == "none" and number not in written.failed
        ]
        ids: list[str | None] = [None] * len(batch.records)
        for number, index in enumerate(good):
            ids[index] = written.ids[number]
        return WriteResult(unchanged, failed, ids)

    def remove(self, to: Destination, keys: Sequence[Key], action: Action, context: Context) -> WriteResult:
        """Archive the customers with these keys."""
        if action != "archive":
            raise self._cannot(action)
        with working(context, writes=True) as desk:
            found = customers.find(desk, _match(to), (key[0] for key in keys), lock=True)
            rows = [found.get(key[0]) for key in keys]
            done = iter(customers.archive(desk, [row for row in rows if row is not None]))
            changed = [row is not None and next(done)["change"] == "updated" for row in rows]
        return WriteResult(unchanged=[index for index, did in enumerate(changed) if not did])

    def lookup(self, to: Destination, keys: Sequence[Key], context: Context) -> Sequence[Row | None]:
        """Return what can be written of each active customer, money as text."""
        with working(context) as desk:
            found = customers.find(desk, _match(to), (key[0] for key in keys))
        return [_written(found.get(key[0])) for key in keys]

    def keys(self, to: Destination, size: int, context: Context) -> Iterator[Sequence[Key]]:
        """Yield the keys of all active customers that have one, in their order."""
        column = CUSTOMERS.c[_match(to)]
        last = ""
        while True:
            query = select(column).where(CUSTOMERS.c.state == "active", column > last).distinct()
            with working(context) as desk:
                rows = desk.connection.execute(_own(query.order_by(column).limit(size), desk)).all()
            if not rows:
                return
            last = rows[-1][0]
            yield [(row[0],) for row in rows]

    def discover(self, options: Mapping[str, Any], context: Context) -> Sequence[Dataset]:  # noqa: ARG002 - there is one
        """Return the one dataset that there is."""
        schema = self.operation.input_schema
        return [Dataset(name="customers", options=options, schema=schema, primary_key=("external_id",))]


@cache
def _record() -> Schema:
    return Schema(dict(SALES["customers.upsert"].input_schema))


def _match(to: Destination) -> str:
    if len(to.match_on) != 1 or to.match_on[0] not in customers.MATCHES:
        message = f"customers are matched on one of {', '.join(customers.MATCHES)}"
        raise Permanent(message, code=ERP_FIELD, source=SOURCE)
    return to.match_on[0]


def _own(query: Select[Any], desk: Desk) -> Select[Any]:
    return query.where(CUSTOMERS.c.company == desk.company)


def _written(found: Any) -> Row | None:
    if found is None or found.state != "active":
        return None
    shown = customers.shown(found)
    return {key: shown[key] for key in FIELDS}
