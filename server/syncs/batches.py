"""One batch: rows become records, unchanged ones are left out, the rest is written; what is refused is found by halving."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, overload

import orjson

from server.kernel.errors import CrossdockError, Permanent, Retryable, Skipped, code
from server.sdk.positions import as_json
from server.sdk.targets import Batch, Destination
from server.syncs import ledger
from server.syncs.ledger import Entry
from server.syncs.readable import keys_of, readable
from server.syncs.refused import Refused

if TYPE_CHECKING:
    from collections.abc import Mapping

    from server.sdk.sources import Key, Row
    from server.syncs.ends import TargetEnd
    from server.syncs.job import Job
    from server.syncs.readable import Kinds
    from server.syncs.references import Parked

ROW_KEY_MISSING = code("ROW_KEY_MISSING", "A row has no value in a field of the primary key.")
NO_RECORD = code("NO_RECORD", "The map made of a row something that is no record: an object is needed.")
KEY_TWICE = code("KEY_TWICE", "Two rows of one batch made records with the same match_on; the first was written.")


@dataclass(slots=True)
class Made:
    """What is to be written of one row."""

    row: Row
    key: str | None
    hash: bytes
    record: Row
    target_key: Key
    place: int = 0


@dataclass(frozen=True, slots=True)
class Place:
    """Where in a run a page is: it comes again with the same. `lane` is the part of the source that it is of."""

    run: str
    lane: str = ""
    page: str = ""


class Keys(Sequence[str]):
    """The idempotency keys of a batch, made when they are asked for: most targets ask for none.

    They are the same at every try: of the row alone where it is appended, of run and row where a value may come back in a later run
    and has to be written then too, of the place in the run where rows have no key.
    """

    def __init__(self, place: Place, mode: str, made: Sequence[Made]) -> None:
        self._run = "" if mode == "append" else f"{place.run}:"
        self._keyless = f"{place.run}:{place.lane}:{place.page}"
        self._made = made

    def __len__(self) -> int:
        return len(self._made)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[str]: ...
    def __getitem__(self, index: int | slice) -> str | Sequence[str]:
        if isinstance(index, slice):
            return [self._of(each) for each in self._made[index]]
        return self._of(self._made[index])

    def _of(self, made: Made) -> str:
        found = (made.hash or ledger.hash_of(made.row)).hex()
        return f"{self._keyless}:{made.place}:{found}" if made.key is None else f"{self._run}{made.key}:{found}"


@dataclass(slots=True)
class Outcome:
    """What became of a batch. `gone` are rows that say that they are deleted; `keys`, where a job refers to others, are of all rows."""

    read: int = 0
    unchanged: int = 0
    written: int = 0
    entries: list[Entry] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    gone: list[tuple[str | None, Key]] = field(default_factory=list)
    parked: list[Parked] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Leaves:
    """What a page leaves in the ledger, once it is written: hash and mapping version by key, and the keys that go."""

    known: Mapping[str, tuple[bytes, int]]
    gone: frozenset[str]

    def over(self, known: Mapping[str, tuple[bytes, int]]) -> dict[str, tuple[bytes, int]]:
        """Return what will be known then, where this is known now."""
        found = {**known, **self.known}
        for each in self.gone & found.keys():
            del found[each]
        return found


@dataclass(frozen=True, slots=True)
class Look:
    """A page that was mapped: what is to be written of it, and what has become of the rest."""

    made: list[Made]
    done: Outcome

    def leaves(self, version: int) -> Leaves:
        """Return what the ledger has of this page when it is written."""
        known = {each.key: (each.hash, version) for each in self.made if each.key is not None}
        return Leaves(known, frozenset(key for key, _ in self.done.gone if key is not None))


def digest(value: Any) -> str:
    """Return what tells one page of a run from the others: short, and the same for the same JSON."""
    return blake2b(orjson.dumps(value, default=as_json), digest_size=10).hexdigest()


def prepare(
    job: Job,
    version: int,
    rows: Sequence[Row],
    run: Mapping[str, Any],
    known: Mapping[str, tuple[bytes, int]],
    done: Outcome,
    kinds: Kinds | None = None,
) -> list[Made]:
    """Map the rows that are new or have changed; what cannot be mapped is refused, what is deleted is noted.

    `kinds` are the shapes of the rows, where they are known.
    """
    keys, keeps = keys_of(job.source.primary_key, rows), keeps_ledger(job)
    hashes = [ledger.hash_of(row) for row in rows] if keeps else [b""] * len(rows)
    fresh: Sequence[int] = range(len(rows))
    if known and job.target.skip_unchanged:
        fresh = [no for no in fresh if keys[no] is None or known.get(keys[no] or "") != (hashes[no], version)]
        done.unchanged += len(rows) - len(fresh)
    seen = readable(rows if len(fresh) == len(rows) else [rows[no] for no in fresh], kinds)
    made: list[Made] = []
    taken: set[Key] = set()
    match_on, is_keyed = job.target.match_on, bool(job.source.primary_key)
    for no, fields in zip(fresh, seen, strict=True):
        row, key, record = rows[no], keys[no], None
        try:
            if key is None and is_keyed:
                raise _unkeyed(job, row)
            record, is_gone = _record(job, fields, row, run)
            target_key = tuple([record.get(each) for each in match_on])
            if is_gone:
                done.gone.append((key, target_key))
                continue
            if target_key and target_key in taken:
                raise Permanent("another row of this batch has the same match_on", code=KEY_TWICE, source="sync")
            taken.add(target_key)
            made.append(Made(row, key, hashes[no], record, target_key, no))
        except Skipped:
            done.unchanged += 1
        except CrossdockError as error:
            done.refused.append(Refused(key, row, record, error, "mapping"))
    return made


def keeps_ledger(job: Job) -> bool:
    """Say whether the job needs to know what it has written."""
    return bool(job.source.primary_key) and (job.target.skip_unchanged or job.target.delete is not None)


def write(job: Job, target: TargetEnd, to: Destination, made: Sequence[Made], place: Place, done: Outcome) -> None:
    """Write the records; a batch that is refused as one is halved until the records at fault are found.

    Raises:
        Retryable, Postponed: nothing is known of the batch, or of a part of it; `done` tells what was written before.

    """
    waiting = [list(made)] if made else []
    while waiting:
        part = waiting.pop()
        try:
            records = [each.record for each in part]
            result = target.write(to, Batch(records, Keys(place, to.mode, part), place.lane, place.page))
        except Permanent as error:
            if len(part) == 1 or not _is_of_a_record(error):
                if not _is_of_a_record(error):
                    raise
                done.refused.append(_refused(part[0], error))
                continue
            middle = len(part) // 2
            waiting += [part[middle:], part[:middle]]
            continue
        _count(job, part, result, done)
        passing = next((error for error in result.failed.values() if isinstance(error, Retryable)), None)
        if passing is not None:
            raise passing
        done.refused += [_refused(part[number], error) for number, error in sorted(result.failed.items())]


def _count(job: Job, part: Sequence[Made], result: Any, done: Outcome) -> None:
    ids = result.target_ids
    done.unchanged += len(result.unchanged)
    done.written += len(part) - len(result.failed) - len(result.unchanged)
    if not keeps_ledger(job):
        return
    for number, each in enumerate(part):
        if number not in result.failed and each.key is not None:
            done.entries.append(Entry(each.key, each.hash, each.target_key, ids[number] if ids else None))


def _is_of_a_record(error: Permanent) -> bool:
    """A refusal of who we are, or of the place, is none of a record: halving would ask in vain for each."""
    return error.code not in _OF_THE_PLACE


_OF_THE_PLACE = frozenset(
    (
        "UPSTREAM_FORBIDDEN", "UPSTREAM_NOT_FOUND", "ADDRESS_REFUSED", "URL_REFUSED", "DATABASE_URL_REFUSED", "FILE_REFUSED",
        "FILE_MISSING", "TABLE_MISSING", "FIELD_UNKNOWN", "KEY_MISSING", "TARGET_CANNOT", "END_MISSING", "NOT_HERE",
        "DATABASE_DRIVER_MISSING", "PLUGIN_BROKEN", "WEBHOOK_GONE",
    )
)  # fmt: skip


def _refused(made: Made, error: CrossdockError) -> Refused:
    return Refused(made.key, made.row, made.record, error, "refused")


def _unkeyed(job: Job, row: Row) -> CrossdockError:
    """Return why a row has no key: a value is missing, or is such as cannot be told from others."""
    try:
        ledger.key_of([row[each] for each in job.source.primary_key if row.get(each) is not None])
    except CrossdockError as error:
        return error
    return Permanent("a field of the primary key has no value", code=ROW_KEY_MISSING, source="sync")


def _record(job: Job, fields: Row, row: Row, run: Mapping[str, Any]) -> tuple[Row, bool]:
    """Return the record of a row, and whether the row says that it is deleted; `fields` is the row as expressions know it."""
    scope = {"row": fields, "run": run}
    is_gone = job.gone is not None and job.gone.run(scope) is True
    record = row if job.compiled is None else job.compiled.run(scope)
    if not isinstance(record, dict):
        raise Permanent("the map made no object of the row", code=NO_RECORD, source="mapping")
    return record, is_gone
