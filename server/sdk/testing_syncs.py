"""The contract of sources and targets: what the run engine relies on, asked of every plugin that has some.

A mock sets the stage (`Mock.source`, `Mock.target`, `Mock.stored`); each rule yields a sentence per breach.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from server.kernel.errors import CrossdockError
from server.sdk.positions import packed
from server.sdk.schemas import Schema, is_json
from server.sdk.sources import Page, ReadRequest, Window
from server.sdk.targets import Batch, Destination

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from server.sdk.context import Context
    from server.sdk.mocking import Mock, SourceStage, TargetStage
    from server.sdk.sources import Source
    from server.sdk.targets import Target

TICKS: Sequence[int] = (3, 3, 3, 1, 2, 3, 3, 9, 9, 4, 4, 4, 4)
"""Equal ticks in plenty, more of them than a page holds, and not in the order of the keys."""
SMALL = 2


def pages_of(source: Source, request: ReadRequest, context: Context) -> list[Page]:
    """Read to the end and return the pages."""
    pages = source.read(request, context)
    try:
        return list(pages)
    finally:
        pages.close()


def check_source(source: Source, mock: Mock, context: Context) -> Iterator[str]:
    """Yield what a source breaks."""
    name = source.operation.name
    yield from (f"{name}: {each}" for each in _options(source, mock.source(name, TICKS)))
    stage = mock.source(name, TICKS)
    request = _request(stage)
    pages = pages_of(source, request, context)
    yield from (f"{name}: {each}" for each in _pages(stage, request, pages))
    yield from (f"{name}: {each}" for each in _resume(source, stage, pages, context))
    if stage.cursor:
        yield from (f"{name}: {each}" for each in _window(source, stage, pages, context))
    yield from (f"{name}: {each}" for each in _offers(source, stage, context))
    empty = mock.source(name, ())
    if any(page.rows for page in pages_of(source, _request(empty), context)):
        yield f"{name}: an empty source has rows"


def _request(stage: SourceStage, **more: Any) -> ReadRequest:
    window = Window(fields=stage.cursor) if stage.cursor else None
    given = {"window": window, "size": SMALL, **more}
    return ReadRequest(options=stage.options, primary_key=stage.primary_key, **given)


def _options(source: Source, stage: SourceStage) -> Iterator[str]:
    schema = Schema(dict(source.options_schema))
    yield from (f"the stage's options break options_schema: {each}" for each in schema.errors(dict(stage.options)))
    if schema.accepts({**stage.options, "no_such_option": 1}):
        yield "options_schema accepts an unknown option"


def _keys(pages: Sequence[Page], fields: Sequence[str]) -> list[Any]:
    """Return the values of the fields as JSON, so that they compare whatever they are."""
    return [json.dumps(packed(row.get(each) for each in fields)) for page in pages for row in page.rows]


def _pages(stage: SourceStage, request: ReadRequest, pages: Sequence[Page]) -> Iterator[str]:
    # of equal ticks the order is the source's own (numbers that stand as text, a collation): `_resume` finds out that it is total
    keys = _keys(pages, stage.primary_key)
    if len(keys) != len(TICKS) or len(set(keys)) != len(TICKS):
        yield f"of {len(TICKS)} rows it read {len(keys)}, {len(set(keys))} different ones"
    if any(len(page.rows) > request.size for page in pages):
        yield f"a page has more than the {request.size} rows that were asked for"
    if not all(is_json(page.position) and is_json(page.token) for page in pages):
        yield "a position or token is no JSON"
    if stage.cursor:
        ticks = [tuple(row[each] for each in stage.cursor) for page in pages for row in page.rows]
        if ticks != sorted(ticks):
            yield f"the rows are not in the order of {', '.join(stage.cursor)}"


def _resume(source: Source, stage: SourceStage, pages: Sequence[Page], context: Context) -> Iterator[str]:
    for number, page in enumerate(pages):
        position = json.loads(json.dumps(page.position))
        rest = pages_of(source, _request(stage, position=position), context)
        if _keys(rest, stage.primary_key) != _keys(pages[number + 1 :], stage.primary_key):
            yield f"going on after page {number + 1} of {len(pages)} does not give the rows that followed"
            return


def _window(source: Source, stage: SourceStage, pages: Sequence[Page], context: Context) -> Iterator[str]:
    rows = [row for page in pages for row in page.rows]
    ticks = sorted({row[stage.cursor[0]] for row in rows})
    first = stage.cursor[:1]
    middle = ticks[len(ticks) // 2]
    cases: tuple[tuple[dict[str, Any], Callable[[Any], bool]], ...] = (
        ({"since": (middle,)}, lambda tick: tick >= middle),
        ({"after": (middle,)}, lambda tick: tick > middle),
        ({"until": (middle,)}, lambda tick: tick < middle),
        ({"since": (ticks[1],), "until": (middle,)}, lambda tick: ticks[1] <= tick < middle),
    )
    for bound, fits in cases:
        window = Window(fields=stage.cursor, **bound)
        found = pages_of(source, _request(stage, window=window), context)
        wanted = [json.dumps(packed(row[each] for each in stage.primary_key)) for row in rows if fits(row[first[0]])]
        if _keys(found, stage.primary_key) != wanted:
            yield f"the window {' and '.join(bound)} does not give the rows that lie in it"


def _offers(source: Source, stage: SourceStage, context: Context) -> Iterator[str]:
    request = _request(stage)
    every = sorted(_keys(pages_of(source, request, context), stage.primary_key))
    if source.partitioned:
        parts = source.partitions(request, 3, context)
        if not is_json(list(parts)):
            yield "a partition is no JSON"
        found = [pages_of(source, _request(stage, partition=each), context) for each in parts]
        if sorted(key for pages in found for key in _keys(pages, stage.primary_key)) != every:
            yield "the partitions together do not hold every row once"
    keys = [
        tuple(row[each] for each in stage.primary_key)
        for page in pages_of(source, request, context)
        for row in page.rows
    ]
    if source.snapshots:
        snapshot = [key for page in source.keys(request, context) for key in page]
        if sorted(json.dumps(packed(each)) for each in snapshot) != every:
            yield "the key snapshot does not hold every key once"
    if source.fetches:
        found_rows = source.fetch(request, keys[:SMALL], context)
        if sorted(json.dumps(packed(row[each] for each in stage.primary_key)) for row in found_rows) != sorted(
            json.dumps(packed(each)) for each in keys[:SMALL]
        ):
            yield "fetch does not give just the rows that were asked for"
    count = source.count(request, context)
    if count is not None and count < 0:
        yield "count is below nought"


def check_target(target: Target, mock: Mock, context: Context) -> Iterator[str]:
    """Yield what a target breaks."""
    name = target.operation.name
    schema = Schema(dict(target.options_schema))
    stage = mock.target(name)
    for error in schema.errors(dict(stage.options)):
        yield f"{name}: the stage's options break options_schema: {error}"
    if schema.accepts({**stage.options, "no_such_option": 1}):
        yield f"{name}: options_schema accepts an unknown option"
    for mode in sorted(target.modes):
        act = _Act(target, mock, mode, context)
        yield from (f"{name}: {mode}: {each}" for each in act.breaches())
    for action in sorted(target.actions):
        act = _Act(target, mock, "upsert" if "upsert" in target.modes else min(target.modes), context)
        yield from (f"{name}: {action}: {each}" for each in act.removal(action))


class _Act:
    """One mode, played on an empty stage."""

    def __init__(self, target: Target, mock: Mock, mode: Any, context: Context) -> None:
        self._target, self._mock, self._context = target, mock, context
        self._name = target.operation.name
        self._stage: TargetStage = mock.target(self._name)
        match_on = () if mode == "append" else self._stage.match_on
        self._to = Destination(options=self._stage.options, match_on=match_on, mode=mode, run="run_contract")

    def _records(self, numbers: Sequence[int], text: str) -> list[dict[str, Any]]:
        return [self._stage.record(number, text) for number in numbers]

    def _write(self, records: Sequence[dict[str, Any]], to: Destination | None = None) -> int:
        """Write the records and return how many were written."""
        keys = [json.dumps(packed(self._key(each))) for each in records]
        result = self._target.write(to or self._to, Batch(records, keys), self._context)
        if result.failed:
            raise result.failed[min(result.failed)]
        return len(records) - len(result.unchanged)

    def _key(self, record: Any) -> tuple[Any, ...]:
        return tuple(record[each] for each in self._stage.match_on)

    def _holds(self, *groups: Sequence[dict[str, Any]]) -> bool:
        wanted = {json.dumps(packed(self._key(each))): each for group in groups for each in group}
        held = {json.dumps(packed(self._key(each))): each for each in self._mock.stored(self._name)}
        return held.keys() == wanted.keys() and all(
            held[key].get(field) == value for key, record in wanted.items() for field, value in record.items()
        )

    def breaches(self) -> Iterator[str]:
        """Play the mode."""
        first, second = self._records(range(3), "a"), self._records(range(1, 5), "b")
        if self._to.mode == "replace":
            yield from self._replacing(first, second)
            return
        if self._to.mode == "update_only":
            yield from self._updating(first, second)
            return
        if self._write([]) or self._mock.stored(self._name):
            yield "an empty batch writes something"
        if self._write(first) != len(first) or not self._holds(first):
            yield "new records are not all written"
        if self._to.mode == "append":
            return
        self._write(first)
        if not self._holds(first):
            yield "the same batch twice has another effect than once"
        self._write(second)
        fresh = [each for each in second if each not in self._records(range(3), "b")]
        kept = [*second, *self._records(range(1), "a")] if self._to.mode == "upsert" else [*first, *fresh]
        if not self._holds(kept):
            yield "what it holds after a second batch is not what the mode asks for"
        if self._target.looks_up:
            yield from self._looking_up(kept)

    def _updating(self, first: list[dict[str, Any]], second: list[dict[str, Any]]) -> Iterator[str]:
        if self._write(first) or self._mock.stored(self._name):
            yield "records that are not there are written"
        self._write(first, Destination(options=self._to.options, match_on=self._to.match_on, mode="upsert"))
        self._write(second)
        if not self._holds([first[0], *self._records(range(1, 3), "b")]):
            yield "just the records that are there are to be changed"

    def _replacing(self, first: list[dict[str, Any]], second: list[dict[str, Any]]) -> Iterator[str]:
        for batch in (first, second):
            self._target.begin(self._to, self._context)
            self._write(batch)
            self._target.begin(self._to, self._context)
            self._write(batch)
            if self._holds(batch):
                yield "what is written shows before `finish`"
            self._target.finish(self._to, self._context)
            if not self._holds(batch):
                yield "after `finish` it does not hold just what the run wrote"
            self._target.finish(self._to, self._context)
            if not self._holds(batch):
                yield "`finish` asked again changes something"
        self._target.begin(self._to, self._context)
        self._write(first)
        self._target.abandon(self._to, self._context)
        self._target.abandon(self._to, self._context)
        if not self._holds(second):
            yield "`abandon` changes what was there"

    def _looking_up(self, kept: Sequence[dict[str, Any]]) -> Iterator[str]:
        missing = self._stage.record(99, "a")
        asked = [self._key(missing), *(self._key(each) for each in kept)]
        found = self._target.lookup(self._to, asked, self._context)
        if len(found) != len(asked) or found[0] is not None:
            yield "lookup does not answer key by key, None where there is none"
        elif any(row is None or self._key(row) != self._key(each) for row, each in zip(found[1:], kept, strict=True)):
            yield "lookup does not give the records of the keys, in their order"

    def removal(self, action: Any) -> Iterator[str]:
        """Write three, remove two of which one is not there, twice."""
        self._write(self._records(range(3), "a"))
        keys = [self._key(self._stage.record(number, "a")) for number in (1, 99)]
        for _ in range(2):
            try:
                result = self._target.remove(self._to, keys, action, self._context)
            except CrossdockError as error:
                yield f"{error.code}: {error.message}"
                return
            if result.failed:
                yield "a record that is not there is a failure"
        if action == "delete" and not self._holds(self._records((0, 2), "a")):
            yield "it does not remove just the records that were named"
        if self._target.snapshots:
            snapshot = [key for page in self._target.keys(self._to, SMALL, self._context) for key in page]
            if len(set(snapshot)) != len(snapshot):
                yield "the key snapshot names a record twice"
