"""`resource.write`: records into an API, one by one or many a request, each under its idempotency key."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, ClassVar

from plugins.http.asking import Ask, Path, filled, filled_path
from plugins.http.checking import mode_problems, path_problems
from plugins.http.options import TARGET
from plugins.http.sending import read_exact
from plugins.http.source import row_of
from plugins.http.wiring import wire_of
from server.sdk import (
    Batch,
    Destination,
    Operation,
    Permanent,
    Retryable,
    Skipped,
    Target,
    WriteResult,
    code,
    one_by_one,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from plugins.http.sending import Wire
    from server.sdk import Action, Context, CrossdockError, FieldError, Key, Mode, Row

RECORD_REFUSED = code(
    "RECORD_REFUSED", "The other system refuses this record: a value does not fit, or a rule forbids it."
)

WRITE = Operation(
    name="resource.write",
    about="Write one record to a resource: created, or changed where `find` finds it.",
    writes=True,
    idempotent=True,
    input_schema={
        **TARGET,
        "required": ["path", "record"],
        "properties": {**TARGET["properties"], "record": {"type": "object"}},
    },
    output_schema={
        "type": "object",
        "additionalProperties": False,
        "required": ["id"],
        "properties": {"id": {"description": "The record's id over there; null where the answer has none."}},
    },
)
_ABSENT = "UPSTREAM_NOT_FOUND"
_THERE = 409


class ResourceWrite(Target):
    """Writes as its options say. Whether a write that timed out was done is known to nobody: it comes again, same key."""

    operation = WRITE
    options_schema = TARGET
    modes: ClassVar[frozenset[Mode]] = frozenset({"append", "insert_only", "update_only", "upsert"})
    actions: ClassVar[frozenset[Action]] = frozenset({"delete", "archive"})
    looks_up = True

    def problems(self, options: Mapping[str, Any], match_on: Sequence[str], mode: Mode) -> Sequence[FieldError]:  # noqa: ARG002
        """Refuse what is no path into an answer, and a mode for which a request is missing."""
        return [*path_problems(options), *mode_problems(options, mode)]

    def record_schema(self, options: Mapping[str, Any]) -> bool:  # noqa: ARG002 - the base's signature
        """Take any record: what the API wants is known to it alone."""
        return True

    def write(self, to: Destination, batch: Batch, context: Context) -> WriteResult:
        """Write a batch; a part of it that an API refuses as one is halved here, since the rest is written already."""
        wire = wire_of(context, to.options)
        if "bulk" in to.options:
            if to.mode not in ("append", "upsert"):
                raise self._cannot(f"{to.mode} with bulk")
            return _Bulk(wire, to).write(batch)

        def write(index: int) -> Any:
            return self._write_one(wire, to, batch.records[index], batch.keys[index])

        return one_by_one(len(batch.records), write)

    def remove(self, to: Destination, keys: Sequence[Key], action: Action, context: Context) -> WriteResult:
        """Send the `remove` or `archive` request of each; one that is not there is unchanged."""
        declared = to.options.get("remove" if action == "delete" else action)
        if declared is None:
            raise self._cannot(action)
        wire = wire_of(context, to.options)

        def remove(index: int) -> Any:
            record = dict(zip(to.match_on, keys[index], strict=True))
            found = self._find(wire, to, record) if "find" in to.options else None
            if "find" in to.options and found is None:
                raise Skipped("it is not there", source="http")
            try:
                wire.send(_asked(declared, record, found, "DELETE" if action == "delete" else "POST"))
            except Permanent as error:
                if error.code != _ABSENT:
                    raise
                raise Skipped("it is not there", source="http") from error

        return one_by_one(len(keys), remove)

    def lookup(self, to: Destination, keys: Sequence[Key], context: Context) -> Sequence[Row | None]:
        """Ask for each record by `find`."""
        if "find" not in to.options:
            raise self._cannot("lookup")
        wire = wire_of(context, to.options)
        return [self._find(wire, to, dict(zip(to.match_on, key, strict=True))) for key in keys]

    def _write_one(self, wire: Wire, to: Destination, record: Row, key: str) -> Any:
        options = to.options
        found = self._find(wire, to, record) if "find" in options and to.mode != "append" else None
        if found is not None and to.mode == "insert_only":
            raise Skipped("it is there already", source="http")
        if to.mode == "update_only" and found is None and ("find" in options or "update" not in options):
            if "find" not in options:
                raise self._cannot("update_only without update")
            raise Skipped("it is not there", source="http")
        if found is not None and "update" not in options:
            raise self._cannot(f"{to.mode} with find and without update")
        changes = found is not None or to.mode == "update_only"
        ask = _asked(options["update"] if changes else options, record, found, "PATCH" if changes else "POST")
        try:
            # what a try before may have created is found now, and changed: another request needs another key
            answer = _send(wire, options, ask, key if found is None else f"{key}:update")
        except Permanent as error:
            status = error.details.get("status")
            if (to.mode == "insert_only" and status == _THERE) or (to.mode == "update_only" and error.code == _ABSENT):
                raise Skipped("nothing was to be changed", source="http") from error
            raise
        given = Path(options.get("id", "id"))
        return given.of(answer) if given.of(answer) is not None else given.of(found)

    def _find(self, wire: Wire, to: Destination, record: Row) -> Row | None:
        find, names = to.options["find"], {"record": record}
        ask = Ask(filled_path(find["path"], names), query=filled(find.get("query", {}), names))
        try:
            body = wire.body(ask)
        except Permanent as error:
            if error.code == _ABSENT:
                return None
            raise
        found = Path(find["records"]).of(body) if "records" in find else body
        if isinstance(found, list):
            found = found[0] if found else None
        return None if found is None else row_of(found)


class _Bulk:
    """Many records a request."""

    def __init__(self, wire: Wire, to: Destination) -> None:
        self._wire = wire
        self._to = to
        self._options = to.options
        bulk = to.options["bulk"]
        self._field, self._size = bulk.get("field"), bulk.get("size", 100)
        self._ids = Path(bulk["ids"]) if "ids" in bulk else None
        self._errors = Path(bulk["errors"]) if "errors" in bulk else None

    def write(self, batch: Batch) -> WriteResult:
        self._batch = batch
        self._failed: dict[int, CrossdockError] = {}
        self._found: list[Any] = [None] * len(batch.records)
        stopped: Retryable | None = None
        for begin in range(0, len(batch.records), self._size):
            part = range(begin, min(begin + self._size, len(batch.records)))
            stopped = stopped or self._part(part)
            if stopped is not None:
                self._failed.update({index: self._left(stopped) for index in part if index not in self._failed})
        return WriteResult((), self._failed, self._found)

    def _left(self, stopped: Retryable) -> Retryable:
        message = f"not tried: {stopped.message}"
        return Retryable(message, code="NOT_TRIED", source="http", after=stopped.after)

    def _part(self, part: range) -> Retryable | None:
        """Write a part; return what makes the rest wait."""
        try:
            self._took(part, _send(self._wire, self._options, self._ask(part), self._key(part)))
        except Retryable as error:
            self._failed.update(dict.fromkeys(part, error))
            return error
        except Permanent as error:
            if len(part) == 1 or error.code in ("UPSTREAM_FORBIDDEN", _ABSENT):
                self._failed.update(dict.fromkeys(part, error))
                return None
            middle = len(part) // 2
            return self._part(part[:middle]) or self._part(part[middle:])
        return None

    def _ask(self, part: range) -> Ask:
        """Build the request for a part: its records in the list of the body."""
        options, records = self._options, [self._batch.records[index] for index in part]
        names = {"records": records}
        shaped = [filled(options["body"], {"record": each}) for each in records] if "body" in options else records
        return Ask(
            filled_path(options["path"], names),
            options.get("method", "POST"),
            filled(options.get("query", {}), names),
            filled(options.get("headers", {}), names),
            {self._field: shaped} if self._field else shaped,
        )

    def _key(self, part: range) -> str:
        """Return the key of a part: that of its only record, else made of all, the same at every try of the same."""
        keys = [self._batch.keys[index] for index in part]
        if len(keys) == 1:
            return keys[0]
        return "bulk_" + hashlib.sha256("\n".join(keys).encode()).hexdigest()[:40]

    def _took(self, part: range, answer: Any) -> None:
        for each in (self._errors.of(answer) if self._errors else None) or []:
            index = each.get("index") if isinstance(each, dict) else None
            if isinstance(index, int) and 0 <= index < len(part):
                message = str(each.get("message") or "refused")[:300]
                self._failed[part[index]] = Permanent(message, code=RECORD_REFUSED, source="http")
        ids = self._ids.of(answer) if self._ids else None
        if isinstance(ids, list) and len(ids) == len(part):
            for index, given in zip(part, ids, strict=True):
                self._found[index] = given


def _asked(declared: Mapping[str, Any], record: Row, found: Row | None, method: str) -> Ask:
    names = {"record": record, "found": found or {}}
    method = declared.get("method", method)
    body = filled(declared["body"], names) if "body" in declared else record
    return Ask(
        filled_path(declared["path"], names),
        method,
        filled(declared.get("query", {}), names),
        filled(declared.get("headers", {}), names),
        body if "body" in declared or method not in ("DELETE", "GET") else None,
    )


def _send(wire: Wire, options: Mapping[str, Any], ask: Ask, key: str) -> Any:
    """Send a write and return its answer's JSON; what claims to be none was done all the same.

    Raises:
        Retryable: ANSWER_BROKEN: nobody knows what was done.

    """
    response = wire.send(ask, key=key, key_header=options.get("idempotency_header", "Idempotency-Key"))
    return (
        read_exact(response.content)
        if "json" in response.headers.get("Content-Type", "") and response.content
        else None
    )


def write_once(given: Mapping[str, Any], context: Context) -> dict[str, Any]:
    """Answer a call of the operation: one record, under the call's own key."""
    options = {name: value for name, value in given.items() if name != "record"}
    batch = Batch([given["record"]], [context.idempotency_key or context.correlation_id])
    result = ResourceWrite().write(Destination(options=options), batch, context)
    if result.failed:
        raise result.failed[0]
    return {"id": result.target_ids[0] if result.target_ids else None}
