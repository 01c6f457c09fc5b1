"""Asynchronous exports: start a job over there, ask until it is done, within a bound, and read the file it made.

Each step is a page without rows, so that a run that stops between them goes on with the same job.
"""

from __future__ import annotations

import csv
import io
import time
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import ijson
import orjson

from plugins.http.asking import Ask, Path, filled, filled_path, followed
from plugins.http.options import seconds
from server.sdk import BlockReader, Page, Permanent, Retryable, code

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from plugins.http.sending import Wire
    from server.sdk import ReadRequest, Row

EXPORT_FAILED = code("EXPORT_FAILED", "The other system says that its export failed, or it was not done in time.")
EXPORT_BROKEN = code("EXPORT_BROKEN", "The file of an export cannot be read in its format; the message has the record.")

_PARTIAL = 206
_LONGEST_WAIT = 30.0


def read_export(
    request: ReadRequest, wire: Wire, names: Mapping[str, Any], keep: Callable[[Row], bool] | None
) -> Iterator[Page]:
    """Yield the pages of an export.

    Raises:
        Permanent: EXPORT_FAILED, EXPORT_BROKEN.

    """
    declared = request.options["pagination"]
    place = dict(request.position or {})
    if place.get("at", 0) is None:
        return
    if "job" not in place:
        place = {"job": _start(declared["start"], wire, names), "since": wire.context.clock.now().isoformat()}
        yield Page([], dict(place))
    while "url" not in place:
        found = _poll(declared, wire, {**names, "job": place["job"]}, place)
        if found is not None:
            place["url"] = found
        yield Page([], dict(place))
    yield from _rows(request, wire, place, keep)


def _start(start: Mapping[str, Any], wire: Wire, names: Mapping[str, Any]) -> Any:
    ask = Ask(
        filled_path(start["path"], names),
        start.get("method", "POST"),
        filled(start.get("query", {}), names),
        {},
        filled(start.get("json"), names),
    )
    return wire.body(ask)


def _poll(declared: Mapping[str, Any], wire: Wire, names: Mapping[str, Any], place: dict[str, Any]) -> str | None:
    """Wait for the next turn, ask once, and return the address of the file when it is there."""
    poll, clock = declared["poll"], wire.context.clock
    every = min(seconds(poll.get("every", "5s")), _LONGEST_WAIT)
    if "polled" in place:
        waited = (clock.now() - datetime.fromisoformat(place["polled"])).total_seconds()
        time.sleep(min(max(every - waited, 0.0), every))
    late = datetime.fromisoformat(place["since"]) + timedelta(seconds=seconds(poll.get("within", "30m")))
    if clock.now() > late:
        raise Permanent("the export was not done in time", code=EXPORT_FAILED, source="http")
    body = wire.body(Ask(filled_path(poll["path"], names)))
    place["polled"] = clock.now().isoformat()
    status = Path(poll["status"]).of(body)
    if status in poll.get("failed", []):
        raise Permanent("the other system says that the export failed", code=EXPORT_FAILED, source="http")
    if status not in poll["done"]:
        return None
    download = declared["download"]
    if "path" in download:
        return wire.endpoint.base_url + filled_path(download["path"], {**names, "status": body})
    base = wire.endpoint.base_url
    return wire.unsigned(followed(base, Path(download["url"]).of(body) or "", wire.origins))


def _rows(
    request: ReadRequest, wire: Wire, place: dict[str, Any], keep: Callable[[Row], bool] | None
) -> Iterator[Page]:
    declared, number, done = request.options["pagination"], 0, place.get("row", 0)
    reader = io.BufferedReader(BlockReader(_blocks(wire, place["url"])), 256 * 1024)
    rows: list[Row] = []
    for number, row in enumerate(_read(reader, declared.get("format", "json"), request.options.get("records")), 1):
        if number <= done:
            continue
        if keep is None or keep(row):
            rows.append(row)
        if number - done >= request.size:
            yield Page(rows, {**place, "row": number})
            rows, done = [], number
    if rows or number > done:
        yield Page(rows, {**place, "at": None})


def _blocks(wire: Wire, url: str) -> Callable[[int, int], bytes]:
    """Return what reads a file block by block; a server that knows no ranges gives it whole, within the limit."""
    whole: list[bytes] = []

    def block(offset: int, size: int) -> bytes:
        if whole:
            return whole[0][offset : offset + size]
        ask = Ask(url, headers={"Range": f"bytes={offset}-{offset + size - 1}", "Accept": "*/*"})
        try:
            answer = wire.send(ask)
        except Permanent as error:
            if error.details.get("status") == 416:  # noqa: PLR2004 - nothing there: the file ended with the last block
                return b""
            raise
        if answer.status_code == _PARTIAL:
            return answer.content
        whole.append(answer.content)
        return answer.content[offset : offset + size]

    return block


def _read(reader: io.BufferedReader[Any], form: str, records: str | None) -> Iterator[Row]:
    """Yield the rows of a file.

    Raises:
        Retryable: ANSWER_BROKEN: it is cut short. Permanent: EXPORT_BROKEN.

    """
    if form == "csv":
        text = io.TextIOWrapper(reader, "utf-8-sig", newline="")
        try:
            yield from csv.DictReader(text, restkey="_more", strict=True)
        except (csv.Error, UnicodeError) as error:
            raise _broken(0) from error
        return
    if form == "jsonl":
        for number, line in enumerate(reader, 1):
            if line.strip():
                yield _object(line, number)
        return
    prefix = f"{records}.item" if records else "item"
    try:
        for each in ijson.items(reader, prefix):
            yield each if isinstance(each, dict) else {"value": each}
    except ijson.IncompleteJSONError as error:
        raise Retryable("the export is cut short", code="ANSWER_BROKEN", source="http") from error
    except ijson.JSONError as error:
        raise _broken(0) from error


def _object(line: bytes, number: int) -> Row:
    try:
        found = orjson.loads(line)
    except ValueError as error:
        raise _broken(number) from error
    return found if isinstance(found, dict) else {"value": found}


def _broken(number: int) -> Permanent:
    where = f" in line {number}" if number else ""
    return Permanent(f"the file of the export cannot be read{where}", code=EXPORT_BROKEN, source="http")
