"""A small API: things that can be read, page by page, and written; records that can be paged in every way there is."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from plugins.http.mock_records import Records
from server.sdk import HttpMock, Received, Reply, SourceStage, TargetStage

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_TOKEN = "mock-token-4f9d2c"  # noqa: S105 - the mock's own
_PAGES = 3


class HttpApiMock(HttpMock):
    """`GET /things?page=N` in three pages, `POST /things`, `/records` and `/exports`, and an echo for the rest."""

    secrets = (_TOKEN,)

    def __init__(self) -> None:
        super().__init__()
        self.records = Records()
        self.records.url = self.url

    @property
    def config(self) -> dict[str, Any]:
        """An integration with a bearer token."""
        return {"base_url": self.url, "auth": {"scheme": "bearer", "token": _TOKEN}}

    def source(self, operation: str, ticks: Sequence[int]) -> SourceStage:  # noqa: ARG002 - there is one source
        """Read the records three by three."""
        self.records.fill(ticks)
        options = {
            "path": "/records/offset",
            "query": {"since": "{{ cursor.updated_at }}", "until": "{{ until.updated_at }}"},
            "records": "data.items",
            "pagination": {"kind": "offset", "param": "offset", "size_param": "limit", "size": 3},
            "one": {"path": "/records/{{ key.id }}"},
        }
        return SourceStage(options=options, primary_key=("id",), cursor=("updated_at",))

    def target(self, operation: str) -> TargetStage:  # noqa: ARG002 - there is one target
        """Write the records one by one."""
        self.records.fill([])
        options = {
            "path": "/records",
            "find": {"path": "/records/found", "query": {"id": "{{ record.id }}"}, "records": "items"},
            "update": {"path": "/records/{{ record.id }}", "method": "PUT"},
            "remove": {"path": "/records/{{ record.id }}"},
            "archive": {"path": "/records/{{ record.id }}", "method": "DELETE"},
        }
        return TargetStage(options=options, match_on=("id",), record=lambda number, text: {"id": number, "name": text})

    def stored(self, operation: str) -> Sequence[Mapping[str, Any]]:  # noqa: ARG002 - there is one target
        """Return the records."""
        return [{name: value for name, value in row.items() if name != "_key"} for row in self.records.rows]

    def answer(self, request: Received) -> Reply:
        """Answer as the API does when all is well."""
        if request.headers.get("authorization") != f"Bearer {_TOKEN}":
            return Reply(401, {"error": "unauthorized"})
        if found := self.records.answer(request):
            return found
        if (request.method, request.path) == ("GET", "/things"):
            page = int(request.query.get("page", "1"))
            following = {"Link": f'<{self.url}/things?page={page + 1}>; rel="next"'} if page < _PAGES else {}
            return Reply(200, {"items": [{"id": page}], "page": page}, following)
        if (request.method, request.path) == ("POST", "/things"):
            return Reply(201, {"id": 7, "received": json.loads(request.body or b"null")})
        if request.method == "DELETE":
            return Reply(204, raw=b"")
        return Reply(200, {"path": request.path, "query": dict(request.query), "headers": dict(request.headers)})
