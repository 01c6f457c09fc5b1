"""Targets: write operations that take batches of records, and say what became of each.

A plugin writes a subclass of `Target` (or of `EachRecord`, where the other system takes one record a call) and names
it in its adapter's `targets`, as `sources` says. The run engine does the rest: batches, retries, bisecting a batch that
fails as one, dead letters, the ledger, guards, and finding what to delete.

A record may be written twice: after a crash, or when nobody knows whether a write was done. Every mode but `append` must
therefore have the same effect twice as once; `append` has it where the other system honours the idempotency key, or where the
target keeps beside its records which of them a page has brought (`Batch.lane` and `Batch.page`, `Destination.epoch`).
"""

# ruff: noqa: ARG002 - what a base takes is for its subclasses
from __future__ import annotations

import abc
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from server.kernel.errors import Permanent, Retryable, Skipped, code
from server.sdk.adapter import Operation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from server.kernel.errors import CrossdockError
    from server.sdk.adapter import CallRequest
    from server.sdk.context import Context
    from server.sdk.schemas import FieldError
    from server.sdk.sources import Dataset, Key, Row

TARGET_CANNOT = code("TARGET_CANNOT", "The target cannot do what the job asks of it; `details.what` names it.")
OUTCOME_UNKNOWN = code(
    "OUTCOME_UNKNOWN", "Nobody knows whether the write was done; it is repeated under the same idempotency key."
)
NOT_TRIED = code("NOT_TRIED", "The record was not sent, because one before it failed; it is tried again with it.")

Mode = Literal["append", "insert_only", "update_only", "upsert", "replace"]
"""How a batch is written. A job's `mirror` is `upsert`, then `delete` of what the source has no more.

append       every record is a new one
insert_only  a record whose `match_on` is there already is unchanged
update_only  a record whose `match_on` is not there is unchanged
upsert       inserted or updated
replace      written beside what is there; `finish` puts it in its place, all at once
"""
Action = Literal["delete", "archive"]
NO_OPTIONS: Mapping[str, Any] = MappingProxyType({"type": "object", "additionalProperties": False})
MOST_RECORDS = 1_000

# Before these nothing was written: the connection was never there, or the other system said that it did not take it.
_NOT_DONE = frozenset({"DNS_FAILED", "CONNECT_FAILED", "TLS_FAILED", "PROXY_FAILED", "UPSTREAM_LIMITED", "NOT_TRIED"})
_BEFORE_SENT = frozenset({"dns", "connect", "tls"})


def outcome_unknown(error: CrossdockError) -> bool:
    """Say whether a write that failed so may have been done: only these are repeated with care (the same key)."""
    if not isinstance(error, Retryable) or error.code in _NOT_DONE:
        return False
    return error.details.get("phase") not in _BEFORE_SENT


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """Where records go. `options` fit the target's `options_schema`; `match_on` are the fields that identify a record.

    `run` is the id of the run; `replace` keeps what it has written so far under it. `epoch` grows with each slice of a run: who
    writes with a lower one than was seen has lost the run, and must not write any more.
    """

    options: Mapping[str, Any]
    match_on: tuple[str, ...] = ()
    mode: Mode = "upsert"
    run: str = ""
    epoch: int = 0


@dataclass(frozen=True, slots=True)
class Batch:
    """Records to write, no two with the same `match_on`, and as many idempotency keys, the same at every try.

    Pages of one `lane` of a run are written one after the other, each in one batch or, where some are refused, in several. One that
    comes again has the same `page`.
    """

    records: Sequence[Row]
    keys: Sequence[str]
    lane: str = ""
    page: str = ""


@dataclass(frozen=True, slots=True)
class WriteResult:
    """What became of a batch, by the index of each record: one that is named neither below was written.

    A failure is Permanent (this record is refused: a dead letter), or Retryable (try this record again; see
    `outcome_unknown`). `target_ids` has the other system's id of every record, or None where it tells none.
    """

    unchanged: Sequence[int] = ()
    failed: Mapping[int, CrossdockError] = field(default_factory=dict)
    target_ids: Sequence[Any] | None = None


class Target(abc.ABC):
    """A write operation. It keeps no state between calls: one instance serves many threads."""

    operation: ClassVar[Operation]
    """What it is as a call: one record for most; by `writing` and `write_records`, a list of them."""
    options_schema: ClassVar[Mapping[str, Any]] = NO_OPTIONS
    """The JSON Schema of what stands beside `call` in a definition: an object."""
    modes: ClassVar[frozenset[Mode]]
    actions: ClassVar[frozenset[Action]] = frozenset()
    """What `remove` can do."""
    looks_up: ClassVar[bool] = False
    """`lookup` can be asked: preview shows a diff, and revert has a before-image."""
    looks_up_at_once: ClassVar[bool] = False
    """`lookup` asks for all keys in one go: what is there before each batch is kept unless the definition says otherwise."""
    snapshots: ClassVar[bool] = False
    """`keys` can be asked."""
    largest_batch: ClassVar[int] = 10_000
    """How many records one `write` takes."""

    def problems(self, options: Mapping[str, Any], match_on: Sequence[str], mode: Mode) -> Sequence[FieldError]:
        """Return what is wrong with options that fit the schema; with no connection: it is asked by `check`."""
        return ()

    def record_schema(self, options: Mapping[str, Any]) -> Mapping[str, Any] | bool:
        """Return the JSON Schema of a record as far as it is known with no connection; True for any."""
        return self.operation.input_schema

    @abc.abstractmethod
    def write(self, to: Destination, batch: Batch, context: Context) -> WriteResult:
        """Write the batch: all of it in one step where the other system can, else record by record.

        Raises:
            Permanent: nothing of the batch was written because of some record; the engine halves it to find which.
            Retryable: nothing was written, or nobody knows (`outcome_unknown`); the whole batch comes again.

        """

    def begin(self, to: Destination, context: Context) -> None:
        """Get ready for a run in mode `replace`; asked again after a crash, it keeps what was written."""
        raise self._cannot("replace")

    def finish(self, to: Destination, context: Context) -> None:
        """Put what the run wrote in the place of what was there, all at once; asked again, it changes nothing."""
        raise self._cannot("replace")

    def abandon(self, to: Destination, context: Context) -> None:
        """Throw away what a run in mode `replace` wrote; asked again, it changes nothing."""
        raise self._cannot("replace")

    def remove(self, to: Destination, keys: Sequence[Key], action: Action, context: Context) -> WriteResult:
        """Delete or archive the records with these `match_on` values; one that is not there is unchanged."""
        raise self._cannot(action)

    def lookup(self, to: Destination, keys: Sequence[Key], context: Context) -> Sequence[Row | None]:
        """Return the present record of each key, in the order of the keys; None where there is none."""
        raise self._cannot("lookup")

    def keys(self, to: Destination, size: int, context: Context) -> Iterator[Sequence[Key]]:
        """Yield the `match_on` values of all records, in pages of at most `size`."""
        raise self._cannot("key_snapshot")

    def discover(self, options: Mapping[str, Any], context: Context) -> Sequence[Dataset]:
        """Return what can be written here (at most 1,000); with options that name something, that alone."""
        raise self._cannot("discover")

    def _cannot(self, what: str) -> Permanent:
        message = f"{self.operation.name} cannot do this: {what}"
        return Permanent(message, code=TARGET_CANNOT, source=self.operation.name, what=what)


class EachRecord(Target):
    """A target of a system that takes one record a call."""

    @abc.abstractmethod
    def write_one(self, to: Destination, record: Row, key: str, context: Context) -> Any:
        """Write one record under its idempotency key and return its id over there, None where it tells none.

        Raises:
            Permanent: this record is refused. Skipped: there was nothing to change.
            Retryable: the other system is unwell: the rest of the batch is not tried now.

        """

    def write(self, to: Destination, batch: Batch, context: Context) -> WriteResult:
        """Write record by record; after a Retryable failure the rest is given back as not tried."""

        def write(index: int) -> Any:
            return self.write_one(to, batch.records[index], batch.keys[index], context)

        return one_by_one(len(batch.records), write)


def one_by_one(number: int, write: Callable[[int], Any]) -> WriteResult:
    """Call `write(index)`, which returns a target id, for each of `number` records and collect what became of them."""
    unchanged: list[int] = []
    failed: dict[int, CrossdockError] = {}
    ids: list[Any] = [None] * number
    for index in range(number):
        try:
            ids[index] = write(index)
        except Retryable as error:
            failed[index] = error
            failed.update((later, _not_tried(error)) for later in range(index + 1, number))
            break
        except Skipped:
            unchanged.append(index)
        except Permanent as error:
            failed[index] = error
    return WriteResult(unchanged, failed, ids)


def _not_tried(error: Retryable) -> Retryable:
    """Return the failure of a record that comes after one that failed: it was not sent."""
    message = f"not tried: {error.message}"
    return Retryable(message, code=NOT_TRIED, source=error.source, after=error.after)


def writing(name: str, about: str, target_options: Mapping[str, Any], modes: Sequence[Mode]) -> Operation:
    """Return the operation of a target that takes lists: as a call it takes the options, `records`, `match_on`, `mode`."""
    more = {
        "records": {"type": "array", "maxItems": MOST_RECORDS, "items": {"type": "object"}},
        "match_on": {"type": "array", "maxItems": 20, "uniqueItems": True, "items": {"type": "string", "minLength": 1}},
        "mode": {"enum": [each for each in modes if each != "replace"]},
    }
    schema = {
        **target_options,
        "required": [*target_options.get("required", ()), "records", "mode"],
        "properties": {**target_options.get("properties", {}), **more},
    }
    count = {"type": "integer", "minimum": 0}
    output = {
        "type": "object",
        "additionalProperties": False,
        "required": ["written", "unchanged"],
        "properties": {"written": count, "unchanged": count},
    }
    return Operation(name=name, about=about, input_schema=schema, output_schema=output, writes=True)


def write_records(target: Target, request: CallRequest, context: Context) -> dict[str, Any]:
    """Make a call of an operation that `writing` made: all records, or the failure of the first that is refused."""
    given = dict(request.input)
    records, match_on, mode = given.pop("records"), tuple(given.pop("match_on", ())), given.pop("mode")
    keys = [f"{context.idempotency_key or context.correlation_id}:{index}" for index in range(len(records))]
    to = Destination(options=given, match_on=match_on, mode=mode)
    result = target.write(to, Batch(records, keys), context)
    if result.failed:
        raise result.failed[min(result.failed)]
    return {"written": len(records) - len(result.unchanged), "unchanged": len(result.unchanged)}
