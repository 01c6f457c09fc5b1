"""Customers and products as targets of sync jobs: record by record, as the calls of the port write them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from plugins.tryton import customers, finding, products
from plugins.tryton.changes import numbered
from plugins.tryton.rest import SOURCE, Tryton
from server.sdk import (
    Dataset,
    Permanent,
    Schema,
    Skipped,
    Target,
    WriteResult,
    code,
    one_by_one,
)
from server.sdk.ports import PRODUCTS, SALES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from plugins.tryton.customers import Work
    from plugins.tryton.rest import Record
    from server.sdk import Action, Batch, Context, Destination, Key, Operation, Row

TRYTON_RECORD = code(
    "TRYTON_RECORD",
    "A record for Tryton breaks the schema of the call that writes it; `details.errors` names each place.",
)
TRYTON_MATCH = code("TRYTON_MATCH", "Records of Tryton are matched on `external_id`, which is their code over there.")


class UpsertEach(Target):
    """Records that the port can upsert by their external id, which is their code over there."""

    modes = frozenset({"upsert", "insert_only", "update_only"})
    actions = frozenset({"archive"})
    looks_up = True
    snapshots = True
    largest_batch = 200

    def __init__(
        self,
        operation: Operation,
        work: Work,
        find: Callable[[Tryton, Mapping[str, Any]], Record | None],
        shown: Callable[[Record], Row],
        key: str,
        model: str,
    ) -> None:
        self.operation = operation  # type: ignore[misc] # one class serves both
        self._work, self._find, self._shown = work, find, shown
        self._key, self._model = key, model
        self._schema = Schema(dict(operation.input_schema))

    def write(self, to: Destination, batch: Batch, context: Context) -> WriteResult:
        """Write record by record; after one that may pass the rest is given back as not tried."""
        _match(to)
        ids: list[str | None] = [None] * len(batch.records)

        def write(index: int) -> None:
            ids[index], change = self._one(to, batch.records[index], context)
            if change == "none":
                raise Skipped("nothing to change", source=SOURCE)

        result = one_by_one(len(batch.records), write)
        return WriteResult(result.unchanged, result.failed, ids)

    def _one(self, to: Destination, record: Row, context: Context) -> tuple[str | None, str]:
        problems = self._schema.errors(record)
        if problems:
            said = [{"pointer": each.pointer, "message": each.message} for each in problems]
            message = f"{problems[0].pointer or '/'}: {problems[0].message}"
            raise Permanent(message, code=TRYTON_RECORD, source=SOURCE, errors=said)
        erp = Tryton(context, self.operation.name)
        if to.mode != "upsert":
            there = self._find(erp, record)
            if (there is None) == (to.mode == "update_only"):
                return None if there is None else str(there["id"]), "none"
        answer = self._work(erp, record)
        return answer[self._key], answer["change"]

    def remove(self, to: Destination, keys: Sequence[Key], action: Action, context: Context) -> WriteResult:
        """Archive the records with these codes: over there they are inactive then."""
        if action != "archive":
            raise self._cannot(action)
        _match(to)
        erp = Tryton(context, self.operation.name)

        def archive(index: int) -> None:
            there = self._find(erp, {"external_id": keys[index][0]})
            if there is None or not there["active"]:
                raise Skipped("it is archived, or was never there", source=SOURCE)
            _archive(erp, self._model, there)

        return one_by_one(len(keys), archive)

    def lookup(self, to: Destination, keys: Sequence[Key], context: Context) -> Sequence[Row | None]:
        """Return what can be written of each active record."""
        _match(to)
        erp = Tryton(context, self.operation.name)
        found = [self._find(erp, {"external_id": key[0]}) for key in keys]
        return [None if each is None or not each["active"] else self._written(each) for each in found]

    def _written(self, record: Record) -> Row:
        shown = self._shown(record)
        return {name: shown[name] for name in self.operation.input_schema["properties"] if name in shown}

    def keys(self, to: Destination, size: int, context: Context) -> Iterator[Sequence[Key]]:
        """Yield the codes of all active records that have one."""
        _match(to)
        erp = Tryton(context, self.operation.name)
        page: list[Key] = []
        for each in numbered(erp, self._model, [["active", "=", True], ["code", "!=", None]], -1, ("code",)):
            page.append((each["code"],))
            if len(page) >= size:
                yield page
                page = []
        if page:
            yield page

    def discover(self, options: Mapping[str, Any], context: Context) -> Sequence[Dataset]:  # noqa: ARG002 - there is one
        """Return the one dataset that there is."""
        name, schema = self.operation.name.partition(".")[0], self.operation.input_schema
        return [Dataset(name=name, options=options, schema=schema, primary_key=("external_id",))]


def _match(to: Destination) -> None:
    if to.match_on != ("external_id",):
        message = f"records are matched on external_id, not on {', '.join(to.match_on)}"
        raise Permanent(message, code=TRYTON_MATCH, source=SOURCE)


def _archive(erp: Tryton, model: str, record: Record) -> None:
    if model == products.PRODUCT:
        erp.write("product.template", record["template"]["id"], {"active": False}, **finding.WHOLE)
    erp.write(model, record["id"], {"active": False}, **finding.WHOLE)


_CUSTOMER, _PRODUCT = SALES["customers.upsert"], PRODUCTS["products.upsert"]
WRITTEN = (
    UpsertEach(
        _CUSTOMER,
        customers.OPERATIONS[_CUSTOMER.name],
        customers.find,
        customers.shown,
        "customer_id",
        customers.PARTY,
    ),
    UpsertEach(
        _PRODUCT, products.OPERATIONS[_PRODUCT.name], products.find, products.shown, "product_id", products.PRODUCT
    ),
)
"""What sync jobs can write."""
