"""Sources: read operations that hand out pages of rows in a total order, and can go on after any of them.

A plugin writes a subclass of `Source` for each and names it in its adapter:

    class QueryRead(Source):
        options_schema = {"type": "object", …}
        operation = reading("query.read", "Rows of a query.", options_schema)
        def read(self, request, context): yield Page(rows, position)

    class SqlAdapter(Adapter):
        operations = (QueryRead.operation, …)
        sources = (QueryRead(),)
        def execute(self, request, context): return first_rows(self.source(request.operation), request, context)

The run engine does the rest: cursors, checkpoints, mapping, retries, deletes. It may stop after any page and come back,
in another process, with that page's `position`; what follows then must be what would have followed.
"""

# ruff: noqa: ARG002 - what a base takes is for its subclasses
from __future__ import annotations

import abc
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from server.kernel.errors import Permanent, code
from server.sdk.adapter import Operation
from server.sdk.positions import as_json

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping, Sequence

    from server.sdk.adapter import CallRequest
    from server.sdk.context import Context
    from server.sdk.schemas import FieldError

SOURCE_CANNOT = code("SOURCE_CANNOT", "The source cannot do what the job asks of it; `details.what` names it.")
CURSOR_MISSING = code("CURSOR_MISSING", "A row has no value in a cursor field, and the job says to fail on such rows.")

Row = dict[str, Any]
"""Field → value: JSON, and Decimal, datetime with a zone, date, time, UUID and bytes as well."""
BROKEN_ROW = "_error"
"""A row with this field could not be read: its text says why and where, `_raw` holds what was there. It is a dead letter."""
Key = tuple[Any, ...]
"""The values of the primary key's fields, in their order."""
Cursor = Literal["fields", "token", "none"]
"""What a source can begin at: values of fields, a token that only it can read, or always all rows."""
Missing = Literal["skip", "read", "fail"]

MOST_ROWS = 10_000
"""The largest page that is asked for."""
FEW_ROWS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """The rows that a run wants, by the values of cursor fields; each bound is a tuple that may name only the first fields.

    `after` excludes rows up to and with these values, `since` begins with them, `until` ends before them: a run goes
    on `after` the last one's values, or `since` a little earlier (look-back), `until` now less the settling time.
    `missing` says what becomes of rows without a value: they are left out, read before all others, or CURSOR_MISSING.
    """

    fields: tuple[str, ...]
    after: tuple[Any, ...] | None = None
    since: tuple[Any, ...] | None = None
    until: tuple[Any, ...] | None = None
    missing: Missing = "skip"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadRequest:
    """What to read. `options` fit the source's `options_schema`.

    `window` is set for a job with cursor fields, `token` (the last run's `Page.token`) for one with an opaque token.
    `position` is that of the page after which to go on, None at the start. `size` is how many rows a page has at most;
    `partition` is one of those that `partitions` returned, None for all rows.
    """

    options: Mapping[str, Any]
    primary_key: tuple[str, ...]
    window: Window | None = None
    token: Any = None
    position: Any = None
    size: int = 500
    partition: Any = None

    @property
    def order(self) -> tuple[str, ...]:
        """The fields by which rows are put in a total order: the cursor's, and the key's that are not among them."""
        cursor = self.window.fields if self.window else ()
        return (*cursor, *(each for each in self.primary_key if each not in cursor))


@dataclass(frozen=True, slots=True)
class Page:
    """Some rows, none where the source skipped ahead. `position` is JSON: going on from it gives the rows after these.

    `token` is JSON too: where the next run begins, if this one ends after this page. `deleted` are keys that the source
    itself says are gone (tombstones). `followed` says that the next page is at hand: it comes without another question to the
    system, so it is taken together with this one.
    """

    rows: Sequence[Row]
    position: Any
    token: Any = None
    deleted: Sequence[Key] = ()
    followed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """Something that can be read or written: what stands in a definition for it, and the JSON Schema of its rows.

    `cursor` are the fields that look as if they said when a row last changed, the best first.
    """

    name: str
    options: Mapping[str, Any]
    schema: Mapping[str, Any]
    primary_key: tuple[str, ...] = ()
    cursor: tuple[str, ...] = ()
    about: str = ""


class Source(abc.ABC):
    """A read operation. It keeps no state between calls: one instance serves many threads.

    Every method may raise Retryable (the engine comes back later, with the position of the last page) or Permanent
    (the run fails). No row is lost or changed on the way: what is no valid row is still handed out, as it is.
    """

    operation: ClassVar[Operation]
    """What it is as a call: made by `reading`, it answers the first rows."""
    options_schema: ClassVar[Mapping[str, Any]]
    """The JSON Schema of what stands beside `call` in a definition: an object."""
    cursors: ClassVar[frozenset[Cursor]] = frozenset({"none"})
    partitioned: ClassVar[bool] = False
    """`partitions` can be asked."""
    snapshots: ClassVar[bool] = False
    """`keys` can be asked: deletes can be found by a key snapshot."""
    fetches: ClassVar[bool] = False
    """`fetch` can be asked: an event can sync one record."""

    def problems(self, options: Mapping[str, Any]) -> Sequence[FieldError]:
        """Return what is wrong with options that fit the schema; with no connection: it is asked by `check`."""
        return ()

    @abc.abstractmethod
    def read(self, request: ReadRequest, context: Context) -> Generator[Page, None, None]:
        """Yield pages of at most `request.size` rows in the order of `request.order`, where the source has an order.

        Write it as a generator: it is closed when the engine stops early, so free what it holds in a `finally`.
        """

    def partitions(self, request: ReadRequest, number: int, context: Context) -> Sequence[Any]:
        """Return at most `number` partitions, JSON, that together hold every row of the request once."""
        raise self._cannot("partitions")

    def count(self, request: ReadRequest, context: Context) -> int | None:
        """Return how many rows the request has, about; None where that costs too much to know."""
        return None

    def keys(self, request: ReadRequest, context: Context) -> Iterator[Sequence[Key]]:
        """Yield the primary keys of all rows, whatever the window, in pages of at most `request.size`, in their order."""
        raise self._cannot("key_snapshot")

    def fetch(self, request: ReadRequest, keys: Sequence[Key], context: Context) -> Sequence[Row]:
        """Return the rows with these primary keys that there are, in any order."""
        raise self._cannot("one")

    def discover(self, options: Mapping[str, Any], context: Context) -> Sequence[Dataset]:
        """Return what can be read here (at most 1,000); with options that name something, that alone."""
        raise self._cannot("discover")

    def _cannot(self, what: str) -> Permanent:
        message = f"{self.operation.name} cannot do this: {what}"
        return Permanent(message, code=SOURCE_CANNOT, source=self.operation.name, what=what)


def reading(name: str, about: str, options_schema: Mapping[str, Any]) -> Operation:
    """Return a source's operation: as a call it takes the options and a `limit`, and answers that many rows at most."""
    limit = {"type": "integer", "minimum": 1, "maximum": MOST_ROWS, "default": FEW_ROWS}
    schema = {**options_schema, "properties": {**options_schema.get("properties", {}), "limit": limit}}
    rows = {"type": "array", "items": {"type": "object"}}
    output = {"type": "object", "additionalProperties": False, "required": ["rows"], "properties": {"rows": rows}}
    return Operation(name=name, about=about, input_schema=schema, output_schema=output)


def first_rows(source: Source, request: CallRequest, context: Context) -> dict[str, Any]:
    """Make a call of a source's operation: `{"rows": […]}`, the first ones, as JSON."""
    options = dict(request.input)
    limit = options.pop("limit", FEW_ROWS)
    pages = source.read(ReadRequest(options=options, primary_key=(), size=limit), context)
    found: list[Row] = []
    for page in pages:
        found.extend(page.rows)
        if len(found) >= limit:
            break
    pages.close()
    return {"rows": [{name: as_json(value) for name, value in row.items()} for row in found[:limit]]}
