"""`resource.list`: the records of an API, page after page, from wherever a run left off."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from plugins.http.asking import Ask, Path, filled, filled_path, followed
from plugins.http.bounds import filter_of, names_of, span_of
from plugins.http.checking import path_problems
from plugins.http.export import read_export
from plugins.http.options import SOURCE, seconds
from plugins.http.paging import Window as TimeWindow
from plugins.http.paging import pager_of
from plugins.http.stopping import LoopGuard, rules_of
from plugins.http.wiring import wire_of
from server.sdk import Dataset, Page, Permanent, ReadRequest, Source, dataset_of, reading

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping, Sequence

    from plugins.http.asking import Page as Answer
    from plugins.http.paging import Pager
    from plugins.http.sending import Wire
    from server.sdk import Context, FieldError, Key, Row

LIST = reading("resource.list", "Read the records of one resource, page after page, as its pagination says.", SOURCE)
_ABSENT = "UPSTREAM_NOT_FOUND"
_SAMPLE = 200


@dataclass(slots=True)
class _Place:
    """Where a reading is: the page's token, how many of its records were handed out, and what the rules count."""

    at: Any
    skip: int = 0
    page: str = ""
    mark: str = ""
    records: int = 0
    pages: int = 0
    token: Any = None

    def as_json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("at", "skip", "page", "mark", "records", "pages", "token")}


class ResourceList(Source):
    """Reads an API as its `pagination` says; rows are checked against the cursor's bounds whatever the API sends."""

    operation = LIST
    options_schema = SOURCE
    cursors = frozenset({"fields", "token", "none"})
    snapshots = True
    fetches = True

    def problems(self, options: Mapping[str, Any]) -> Sequence[FieldError]:
        """Refuse what is no path into an answer."""
        return list(path_problems(options))

    def read(self, request: ReadRequest, context: Context) -> Generator[Page, None, None]:
        """Yield pages; see `Source.read`.

        Raises:
            Retryable, Permanent: as the table in `server.sdk.answers` says; PAGINATION_LOOP, ORIGIN_REFUSED,
                RECORDS_MISSING, PAGE_INVALID.

        """
        options, wire = request.options, wire_of(context, request.options)
        names = names_of(request.window, options.get("time_format", "rfc3339"))
        if options.get("pagination", {}).get("kind") == "export":
            yield from read_export(request, wire, names, _keeping(request))
            return
        yield from _Reading(request, wire, _first(options, names)).pages()

    def count(self, request: ReadRequest, context: Context) -> int | None:
        """Ask for one page where `stop.total` says how many there are."""
        options = request.options
        if "total" not in options.get("stop", {}) or options.get("pagination", {}).get("kind") in ("window", "export"):
            return None
        wire = wire_of(context, options)
        reading = _Reading(
            request, wire, _first(options, names_of(request.window, options.get("time_format", "rfc3339")))
        )
        found = Path(options["stop"]["total"]).of(reading.ask(reading.pager.start()).body)
        return int(found) if isinstance(found, int | float) else None

    def keys(self, request: ReadRequest, context: Context) -> Iterator[Sequence[Key]]:
        """Read everything and keep the keys."""
        for page in self.read(replace(request, window=None, token=None, position=None), context):
            if page.rows:
                yield [tuple(row.get(name) for name in request.primary_key) for row in page.rows]

    def fetch(self, request: ReadRequest, keys: Sequence[Key], context: Context) -> Sequence[Row]:
        """Ask for each record by its own path, `one`."""
        one = request.options.get("one")
        if one is None:
            raise self._cannot("one")
        wire = wire_of(context, request.options)
        found: list[Row] = []
        path = Path(one["record"]) if "record" in one else None
        for key in keys:
            names = {"key": dict(zip(request.primary_key, key, strict=True))}
            ask = Ask(filled_path(one["path"], names), query=filled(one.get("query", {}), names))
            try:
                body = wire.body(ask)
            except Permanent as error:
                if error.code != _ABSENT:
                    raise
                continue
            record = body if path is None else path.of(body)
            found.extend(
                row_of(each) for each in (record if isinstance(record, list) else [record]) if each is not None
            )
        return found

    def discover(self, options: Mapping[str, Any], context: Context) -> Sequence[Dataset]:
        """Read one page and say what its records look like."""
        if "path" not in options:
            return []
        rows: list[Row] = []
        for page in self.read(ReadRequest(options=options, primary_key=(), size=_SAMPLE), context):
            rows.extend(page.rows)
            break
        name = str(options["path"]).split("?")[0].strip("/").split("/")[-1] or "records"
        return [dataset_of(name, options, rows)]


def row_of(record: Any) -> Row:
    """Return a record as a row; what is no object becomes its `value`."""
    return record if isinstance(record, dict) else {"value": record}


def _keeping(request: ReadRequest) -> Callable[[Row], bool] | None:
    window = request.window
    bounded = window is not None and (window.after or window.since or window.until or window.missing != "read")
    return filter_of(window) if window and bounded and request.options.get("client_filter", True) else None


def _first(options: Mapping[str, Any], names: Mapping[str, Any]) -> Ask:
    return Ask(
        filled_path(options["path"], names),
        options.get("method", "GET"),
        filled(options.get("query", {}), names),
        filled(options.get("headers", {}), names),
        filled(options.get("json"), names),
    )


class _Reading:
    """One reading of a list, from its position to its end."""

    def __init__(self, request: ReadRequest, wire: Wire, first: Ask) -> None:
        options = request.options
        declared = dict(options.get("pagination", {}))
        if "step" in declared:
            declared["step_seconds"] = seconds(declared["step"])
        inner = declared.get("pages", {}) if declared.get("kind") == "window" else declared
        self._request = request
        self._wire = wire
        self._delta = options.get("delta")
        self._first = self._begin(first)
        self._rules = rules_of(options.get("stop", {}), inner.get("kind", "none"), inner.get("size"))
        self._records = Path(options["records"]) if "records" in options else None
        self._empty = options.get("no_records") == "empty"
        self._keep = _keeping(request)
        place = request.position or {}
        self._span = place.get("span") or self._new_span(declared)
        begin, end = map(datetime.fromisoformat, self._span) if self._span else (None, None)
        bounds = (begin, end) if begin and end else None
        self.pager: Pager = pager_of(declared, wire.origins, bounds)

    def pages(self) -> Iterator[Page]:
        place = self._start()
        guard = LoopGuard(place.mark)
        while place.at is not None:
            ask = self.pager.place(self._first, place.at)
            guard.ask(ask)
            answer = self.ask(place.at)
            guard.came(answer)
            following = self._after(place, answer, guard)
            yield from self._slices(place, answer, following)
            place = following

    def ask(self, token: Any) -> Answer:
        """Ask for the page of a token."""
        return self._wire.page(self.pager.place(self._first, token), self._records, empty=self._empty)

    def _slices(self, place: _Place, answer: Answer, following: _Place) -> Iterator[Page]:
        """Hand a page of the API out in pages of the asked size; after a change of it from its start again."""
        records, size = answer.records, self._request.size
        begin = place.skip if place.page == answer.digest.hex() else 0
        for at in range(begin, max(len(records), begin + 1), size):
            part = [row_of(each) for each in records[at : at + size]]
            rows = part if self._keep is None else list(filter(self._keep, part))
            last = at + size >= len(records)
            after = following if last else replace(place, skip=at + size, page=answer.digest.hex())
            if rows or not last or following.at is not None or following.token != self._request.token:
                yield Page(rows, self._position(after), following.token if last else place.token, followed=not last)

    def _after(self, place: _Place, answer: Answer, guard: LoopGuard) -> _Place:
        records, pages = place.records + len(answer.records), place.pages + 1
        token = self._next_token(answer) or place.token
        if self._rules.ends(answer, records, pages):
            following = self.pager.following(place.at) if isinstance(self.pager, TimeWindow) else None
        else:
            following = self.pager.after(place.at, answer)
        following = self._unsigned(following)
        moved = isinstance(self.pager, TimeWindow) and following and following["from"] != place.at["from"]
        return _Place(
            following, mark=guard.mark, records=0 if moved else records, pages=0 if moved else pages, token=token
        )

    def _unsigned(self, token: Any) -> Any:
        if isinstance(token, str):
            return self._wire.unsigned(token)
        if isinstance(token, dict) and isinstance(token.get("page"), str):
            return {**token, "page": self._wire.unsigned(token["page"])}
        return token

    def _start(self) -> _Place:
        place = self._request.position
        if not place:
            return _Place(self.pager.start(), token=self._request.token)
        return _Place(**{name: value for name, value in place.items() if name != "span"})

    def _position(self, place: _Place) -> dict[str, Any]:
        return place.as_json() | ({"span": self._span} if self._span else {})

    def _begin(self, first: Ask) -> Ask:
        """Begin where the API told the run before."""
        token, delta = self._request.token, self._delta
        if delta is None or token is None:
            return first
        if "param" in delta:
            return first.put(delta.get("in", "query"), {delta["param"]: token})
        return first.at(followed(self._wire.endpoint.base_url, token, self._wire.origins))

    def _next_token(self, answer: Answer) -> Any:
        if self._delta is None:
            return None
        if "next" in self._delta:
            found = Path(self._delta["next"]).of(answer.body)
        else:
            found = answer.headers.get(self._delta["next_header"].lower())
        return self._wire.unsigned(found) if isinstance(found, str) and "param" not in self._delta else found

    def _new_span(self, declared: Mapping[str, Any]) -> list[str] | None:
        if declared.get("kind") != "window":
            return None
        found = span_of(self._request.window, declared.get("begin"), self._wire.context.clock.now())
        return [each.isoformat() for each in found] if found else None
