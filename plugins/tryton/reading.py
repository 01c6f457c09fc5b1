"""Collections of Tryton as sources of sync jobs: a change moves a record to the end, so that a cursor meets it again."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

from plugins.tryton import finding
from plugins.tryton.changes import (
    MADE,
    TRYTON_ORDER,
    Changed,
    Place,
    Span,
    changed,
    changed_at,
    moment_of,
    numbered,
    paths,
    span_of,
)
from plugins.tryton.collections import Collection, options_of
from plugins.tryton.rest import SOURCE, Tryton
from server.sdk import Dataset, Page, Permanent, Source

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping, Sequence

    from plugins.tryton.changes import Stamp
    from plugins.tryton.rest import Record
    from server.sdk import Context, Key, ReadRequest, Row

MOST_AT_ONCE = 200
"""So many records are asked for by their numbers in one request: they stand in its address."""
_MOMENTS = ("updated_at", "created_at")


class CollectionRead(Source):
    """One collection, ordered by its last change, its making, or its key alone."""

    cursors = frozenset({"fields", "none"})
    snapshots = True
    fetches = True

    def __init__(self, collection: Collection) -> None:
        self.collection = collection
        self.operation = collection.operation  # type: ignore[misc] # one class serves several collections
        self.options_schema = options_of(*collection.options)  # type: ignore[misc]

    def read(self, request: ReadRequest, context: Context) -> Generator[Page, None, None]:
        """Yield the rows of the window."""
        erp = self._erp(context)
        moment = self._moment(request)
        found = self._from(erp, request, moment)
        size = min(request.size, MOST_AT_ONCE)
        while some := list(islice(found, size)):
            rows = self._rows(erp, some, None if moment is None else self._stamps(moment))
            last = some[-1].place
            yield Page(
                [row for row in rows if _fits(row, request.options)],
                [last.number] if moment is None else [last.moment.isoformat(), last.number],
            )

    def keys(self, request: ReadRequest, context: Context) -> Iterator[Sequence[Key]]:
        """Yield the keys of all rows that fit the options."""
        erp = self._erp(context)
        found = self._everything(erp, request, -1)
        while some := list(islice(found, MOST_AT_ONCE)):
            rows = [row for row in self._rows(erp, some, None) if _fits(row, request.options)]
            yield [tuple(row[each] for each in request.primary_key) for row in rows]

    def fetch(self, request: ReadRequest, keys: Sequence[Key], context: Context) -> Sequence[Row]:
        """Return the rows with these keys.

        Raises:
            Permanent: TRYTON_ORDER, they are keyed by something else.

        """
        if tuple(request.primary_key) != (self.collection.key,):
            raise self._unordered(request.primary_key)
        erp = self._erp(context)
        found: list[Row] = []
        for at in range(0, len(keys), MOST_AT_ONCE):
            numbers = [finding.number(str(key[0])) for key in keys[at : at + MOST_AT_ONCE]]
            found += self._numbered(erp, request, numbers)
        return found

    def _numbered(self, erp: Tryton, request: ReadRequest, numbers: Sequence[int]) -> list[Row]:
        """Return the rows of some records by their numbers."""
        domain = [*self.collection.of(request.options), ["id", "in", numbers]]
        stamps = self.collection.stamps
        records = erp.search(self.collection.model, domain, (*self.collection.fields, *paths(stamps)))
        return [row for row in self._shown(erp, records, stamps) if _fits(row, request.options)]

    def discover(self, options: Mapping[str, Any], context: Context) -> Sequence[Dataset]:  # noqa: ARG002 - there is one
        """Return the one dataset that there is."""
        name, key = self.operation.name.partition(".")[0], (self.collection.key,)
        schema = self.collection.schema
        return [Dataset(name=name, options=options, schema=schema, primary_key=key, cursor=self._moments())]

    def _erp(self, context: Context) -> Tryton:
        return Tryton(context, self.operation.name)

    def _moment(self, request: ReadRequest) -> str | None:
        """Return by which moment it is ordered, None for the key alone.

        Raises:
            Permanent: TRYTON_ORDER.

        """
        order = request.order
        named = order[0] if order and order[0] in self._moments() else None
        if order[named is not None :] not in ((), (self.collection.key,)):
            raise self._unordered(order)
        return named

    def _moments(self) -> tuple[str, ...]:
        return _MOMENTS

    def _unordered(self, order: Sequence[str]) -> Permanent:
        takes = ", ".join((*self._moments(), self.collection.key))
        message = f"{self.operation.name} is ordered and found by {takes} only, not by {', '.join(order)}"
        return Permanent(message, code=TRYTON_ORDER, source=SOURCE)

    def _stamps(self, moment: str | None) -> tuple[Stamp, ...]:
        return (MADE,) if moment == "created_at" else self.collection.stamps

    def _from(self, erp: Tryton, request: ReadRequest, moment: str | None) -> Iterator[Changed]:
        if moment is None:
            return self._everything(erp, request, -1 if request.position is None else request.position[-1])
        span = span_of(request.window)
        if request.position is not None:
            reached = Place(moment_of(request.position[0]), request.position[1])
            span = Span(after=max(span.after, reached), until=span.until)
        return self._changed(erp, request, self._stamps(moment), span)

    def _changed(self, erp: Tryton, request: ReadRequest, stamps: Sequence[Stamp], span: Span) -> Iterator[Changed]:
        domain = self.collection.of(request.options)
        return changed(erp, self.collection.model, domain, stamps, span)

    def _everything(self, erp: Tryton, request: ReadRequest, after: int) -> Iterator[Changed]:
        domain, stamps = self.collection.of(request.options), self.collection.stamps
        for record in numbered(erp, self.collection.model, domain, after, paths(stamps)):
            yield Changed(Place(changed_at(record, stamps), record["id"]), record)

    def _rows(self, erp: Tryton, some: Sequence[Changed], stamps: Sequence[Stamp] | None) -> list[Row]:
        """Return the rows of records, in their order, without those that are gone.

        Where it goes by `stamps`, what was changed since its place was read is left out as well: it comes at its new one.
        """
        numbers = [each.place.number for each in some]
        fields = (*self.collection.fields, *paths(self.collection.stamps))
        domain = [*self.collection.domain, ["id", "in", numbers]]
        found = {each["id"]: each for each in erp.search(self.collection.model, domain, fields)}
        still = [
            found[each.place.number]
            for each in some
            if each.place.number in found
            and (stamps is None or changed_at(found[each.place.number], stamps) == each.place.moment)
        ]
        return self._shown(erp, still, self.collection.stamps)

    def _shown(self, erp: Tryton, records: Sequence[Record], stamps: Sequence[Stamp]) -> list[Row]:
        rows = self.collection.show(erp, records)
        return [
            {**row, "created_at": record["create_date"], "updated_at": changed_at(record, stamps)}
            for row, record in zip(rows, records, strict=True)
        ]


def _fits(row: Row, options: Mapping[str, Any]) -> bool:
    return all(row.get(name) == value for name, value in options.items())
