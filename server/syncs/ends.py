"""The two ends of a run: the source and the target of a job, each behind the guard of its integration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from server.kernel.errors import Permanent, code

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from server.integrations.calls import Caller
    from server.integrations.guards import Call
    from server.sdk.context import Context
    from server.sdk.sources import Key, Page, ReadRequest, Row, Source
    from server.sdk.targets import Action, Batch, Destination, Target, WriteResult

END_MISSING = code("END_MISSING", "The integration's plugin has no such source or target any more.")
T = TypeVar("T")
_ROWS_AT_HAND = 1000
_KEPT_SECONDS = 120.0
"""How long what an end was given may be used before its last page is asked for: longer than any slice."""


@dataclass(frozen=True, slots=True)
class SourceEnd:
    """Asks a source; each page is a piece of work with its own end."""

    caller: Caller
    call: Call

    def pages(self, request: ReadRequest) -> Generator[Page, None, None]:
        """Yield the pages; closing it closes the source's."""
        pages = self._do(lambda source, context: source.read(request, context), _kept(self.call))
        taking = Taking(pages)
        try:
            while found := self.caller.piece(self.call, lambda _adapter, _context: taking.some()):
                yield from found
        finally:
            pages.close()

    def keys(self, request: ReadRequest) -> Generator[Sequence[Key], None, None]:
        """Yield all primary keys, page by page."""
        found = self._do(lambda source, context: source.keys(request, context), _kept(self.call))
        while True:
            page = self.caller.piece(self.call, lambda _adapter, _context: next(found, None))
            if page is None:
                return
            yield page

    def fetches(self) -> bool:
        """Say whether single rows can be asked for."""
        return self._do(lambda source, _context: source.fetches)

    def fetch(self, request: ReadRequest, keys: Sequence[Key]) -> Sequence[Row]:
        """Read single rows."""
        return self._do(lambda source, context: source.fetch(request, keys, context))

    def partitions(self, request: ReadRequest, number: int) -> Sequence[Any]:
        """Cut the rows into parts."""
        return self._do(lambda source, context: source.partitions(request, number, context))

    def count(self, request: ReadRequest) -> int | None:
        """Ask how many rows there are, about."""
        return self._do(lambda source, context: source.count(request, context))

    def _do(self, work: Callable[[Source, Context], T], seconds: float | None = None) -> T:
        def piece(adapter: Any, context: Context) -> T:
            source = adapter.source(self.call.operation)
            if source is None:
                raise _missing(self.call)
            return work(source, context)

        return self.caller.piece(self.call, piece, seconds)


class Taking:
    """Takes pages from a source, those together that it has at hand: each call has its price.

    What breaks after a page was taken is raised when the next ones are asked for.
    """

    def __init__(self, pages: Generator[Page, None, None]) -> None:
        self._pages = pages
        self._error: Exception | None = None

    def some(self) -> list[Page]:
        """Return the next pages, none after the last."""
        if self._error is not None:
            raise self._error
        found: list[Page] = []
        rows = 0
        while not found or (found[-1].followed and rows < _ROWS_AT_HAND):
            try:
                page = next(self._pages, None)
            except Exception as error:  # whatever it is, it is the caller's to name: first come the pages before it
                if not found:
                    raise
                self._error = error
                break
            if page is None:
                break
            found.append(page)
            rows += len(page.rows) + 1
        return found


@dataclass(frozen=True, slots=True)
class TargetEnd:
    """Asks a target."""

    caller: Caller
    call: Call

    def write(self, to: Destination, batch: Batch) -> WriteResult:
        """Write a batch."""
        return self.do(lambda target, context: target.write(to, batch, context))

    def remove(self, to: Destination, keys: Sequence[Key], action: Action) -> WriteResult:
        """Delete or archive."""
        return self.do(lambda target, context: target.remove(to, keys, action, context))

    def keys(self, to: Destination, size: int) -> Generator[Sequence[Key], None, None]:
        """Yield the keys of all records, page by page."""
        found = self.do(lambda target, context: target.keys(to, size, context), _kept(self.call))
        while (page := self.caller.piece(self.call, lambda _adapter, _context: next(found, None))) is not None:
            yield page

    def do(self, work: Callable[[Target, Context], T], seconds: float | None = None) -> T:
        """Do anything else with the target; `seconds` is how long what it was given may be used."""

        def piece(adapter: Any, context: Context) -> T:
            target = adapter.target(self.call.operation)
            if target is None:
                raise _missing(self.call)
            return work(target, context)

        return self.caller.piece(self.call, piece, seconds)


def _kept(call: Call) -> float:
    """Return how long what is kept from page to page may be used; the last page has the call's whole time, too."""
    return _KEPT_SECONDS + call.timeout


def _missing(call: Call) -> Permanent:
    message = f"{call.plugin.name} has no {call.operation} to sync with"
    return Permanent(message, code=END_MISSING, source=call.source)
