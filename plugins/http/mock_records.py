"""The records of the mock: every way of paging over the same list, and every way of writing to it."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from server.sdk import Reply

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from server.sdk import Received

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
_POLLS = 2


class Records:
    """`GET /records/KIND` in pages, `/records/ID`, `POST /records`, `PUT`, `PATCH`, `DELETE`, `/exports`."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self.keys: list[str] = []
        self.url = ""
        self._polled = 0
        self.stubborn = False
        """Answers every page with the first."""
        self.elsewhere = ""
        """Where the next page is said to be, in place of here."""

    def fill(self, ticks: Sequence[int]) -> None:
        """Hold just these rows: row N was changed `ticks[N]` seconds after the start of 2026."""
        self.rows = [
            {"id": number, "name": f"Thing {number}", "updated_at": _moment(tick)} for number, tick in enumerate(ticks)
        ]

    def answer(self, request: Received) -> Reply | None:
        """Answer a request of `/records` or `/exports`; None for every other."""
        root, _, rest = request.path.strip("/").partition("/")
        if root == "exports":
            return self._export(request, rest)
        if root != "records":
            return None
        if request.method == "POST" and rest in ("", "bulk"):
            return self._bulk(json.loads(request.body)) if rest else self._create(request)
        if rest.isdecimal():
            return self._one(request, int(rest))
        page: Callable[[Received], Reply] | None = getattr(self, f"_by_{rest or 'none'}", None)
        return page(request) if page else Reply(404, {"error": "not found"})

    def _selected(self, request: Received) -> list[dict[str, Any]]:
        since, until = request.query.get("since", ""), request.query.get("until", "~")
        rows = [row for row in self.rows if since <= str(row.get("updated_at", "")) < until]
        return sorted(rows, key=lambda row: (str(row.get("updated_at", "")), row["id"]))

    def _by_found(self, request: Received) -> Reply:
        return Reply(200, {"items": [row for row in self.rows if str(row["id"]) == request.query.get("id")]})

    def _by_none(self, request: Received) -> Reply:
        return Reply(200, self._selected(request))

    def _by_offset(self, request: Received) -> Reply:
        begin, size = int(request.query.get("offset", "0")), int(request.query.get("limit", "3"))
        rows = self._selected(request)
        begin = 0 if self.stubborn else begin
        return Reply(200, {"data": {"items": rows[begin : begin + size]}, "total": len(rows)})

    def _by_page(self, request: Received) -> Reply:
        number, size = int(request.query.get("page", "1")), int(request.query.get("per_page", "3"))
        rows = self._selected(request)
        items = rows[(number - 1) * size : number * size]
        return Reply(200, {"items": items, "pages": -(-len(rows) // size), "more": number * size < len(rows)})

    def _by_cursor(self, request: Received) -> Reply:
        given: Any = request.query.get("cursor") or request.headers.get("x-cursor")
        if request.body:
            given = json.loads(request.body).get("page", {}).get("after", given)
        begin, rows = int(str(given or "c0")[1:]), self._selected(request)
        begin = 0 if self.stubborn else begin
        following = f"c{begin + 3}" if begin + 3 < len(rows) else None
        headers = {"X-Next": following} if following else {}
        items = rows[begin : begin + 3]
        return Reply(200, {"items": items, "meta": {"next": following}, "delta": f"d{len(rows)}"}, headers)

    def _by_next(self, request: Received) -> Reply:
        begin, rows = int(request.query.get("at", "0")), self._selected(request)
        following = f"{self.elsewhere or self.url}/records/next?at={begin + 3}" if begin + 3 < len(rows) else None
        return Reply(200, {"items": rows[begin : begin + 3], "links": {"next": following}})

    def _by_link(self, request: Received) -> Reply:
        begin, rows = int(request.query.get("at", "0")), self._selected(request)
        target = f"{self.elsewhere}/records/link?at={begin + 3}"
        head = {"Link": f'</records/link>; rel="first", <{target}>; title="a, b"; rel="last next"'}
        return Reply(200, rows[begin : begin + 3], head if begin + 3 < len(rows) else {})

    def _by_keyset(self, request: Received) -> Reply:
        after, size = int(request.query.get("after_id", "-1")), int(request.query.get("limit", "3"))
        rows = sorted((row for row in self.rows if row["id"] > after), key=lambda row: int(row["id"]))
        return Reply(200, {"items": rows[:size]})

    def _by_delta(self, request: Received) -> Reply:
        begin = int(request.query.get("from", "0"))
        return Reply(200, {"items": self.rows[begin:], "delta": str(len(self.rows))})

    def _export(self, request: Received, rest: str) -> Reply:
        if request.method == "POST":
            self._polled = 0
            return Reply(202, {"id": "job-1", **json.loads(request.body or b"{}")})
        form = rest.partition("/file.")[2]
        if form:
            return self._part(request, self._file(form))
        self._polled += 1
        done = self._polled >= _POLLS
        state = "broken" if self.stubborn else "done" if done else "busy"
        return Reply(200, {"state": state, "file": f"{self.elsewhere}/exports/job-1/file.json" if done else None})

    def _file(self, form: str) -> bytes:
        if form == "csv":
            text = io.StringIO()
            writer = csv.DictWriter(text, ["id", "name", "updated_at"])
            writer.writeheader()
            writer.writerows(self.rows)
            return text.getvalue().encode()
        if form == "jsonl":
            return b"".join(json.dumps(row).encode() + b"\n" for row in self.rows)
        return json.dumps({"items": self.rows}).encode()

    @staticmethod
    def _part(request: Received, content: bytes) -> Reply:
        begin, _, end = request.headers.get("range", "bytes=0-").removeprefix("bytes=").partition("-")
        if int(begin) >= len(content) > 0:
            return Reply(416, {"error": "range"})
        part = content[int(begin) : int(end) + 1] if end else content[int(begin) :]
        kind = {"Content-Type": "application/octet-stream"}
        return Reply(206, None, kind, part) if "range" in request.headers else Reply(200, None, kind, content)

    def _place(self, number: int) -> int | None:
        return next((place for place, row in enumerate(self.rows) if row["id"] == number), None)

    def _create(self, request: Received) -> Reply:
        record = json.loads(request.body)
        key = request.headers.get("idempotency-key", "")
        known = next((row for row in self.rows if key and row.get("_key") == key), None)
        if known is not None:
            return Reply(200, known)
        if record.get("name") == "bad":
            return Reply(422, {"error": "a bad name"})
        if self._place(record.get("id", -1)) is not None:
            return Reply(409, {"error": "there already"})
        record.setdefault("id", len(self.rows))
        self.rows.append({**record, "_key": key})
        return Reply(201, record)

    def _one(self, request: Received, number: int) -> Reply:
        place = self._place(number)
        if request.method == "PUT":
            record = {**json.loads(request.body), "id": number}
            if record.get("name") == "bad":
                return Reply(422, {"error": "a bad name"})
            self.rows[len(self.rows) if place is None else place : None if place is None else place + 1] = [record]
            return Reply(200, record)
        if place is None:
            return Reply(404, {"error": "not found"})
        if request.method == "PATCH":
            self.rows[place] |= json.loads(request.body)
        if request.method == "DELETE":
            self.rows.pop(place)
            return Reply(204, raw=b"")
        return Reply(200, self.rows[place])

    def _bulk(self, body: Any) -> Reply:
        records = body["items"]
        if any(record.get("name") == "bad" for record in records):
            return Reply(422, {"error": "a bad name"})
        errors = [
            {"index": place, "message": "it is odd"} for place, record in enumerate(records) if record["name"] == "odd"
        ]
        for record in records:
            place = self._place(record["id"])
            if record["name"] == "odd":
                continue
            if place is None:
                self.rows.append(record)
            else:
                self.rows[place] = record
        return Reply(200, {"ids": [record["id"] for record in records], "errors": errors})


def _moment(tick: int) -> str:
    return (EPOCH + timedelta(seconds=tick)).isoformat().replace("+00:00", "Z")
