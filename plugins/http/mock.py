"""A small API: things that can be read, page by page, and written."""

from __future__ import annotations

import json
from typing import Any

from server.sdk import HttpMock, Received, Reply

_TOKEN = "mock-token-4f9d2c"  # noqa: S105 - the mock's own
_PAGES = 3


class HttpApiMock(HttpMock):
    """`GET /things?page=N` in three pages, `POST /things`, and an echo for the rest."""

    secrets = (_TOKEN,)

    @property
    def config(self) -> dict[str, Any]:
        """An integration with a bearer token."""
        return {"base_url": self.url, "auth": {"scheme": "bearer", "token": _TOKEN}}

    def answer(self, request: Received) -> Reply:
        """Answer as the API does when all is well."""
        if request.headers.get("authorization") != f"Bearer {_TOKEN}":
            return Reply(401, {"error": "unauthorized"})
        if (request.method, request.path) == ("GET", "/things"):
            page = int(request.query.get("page", "1"))
            following = {"Link": f'<{self.url}/things?page={page + 1}>; rel="next"'} if page < _PAGES else {}
            return Reply(200, {"items": [{"id": page}], "page": page}, following)
        if (request.method, request.path) == ("POST", "/things"):
            return Reply(201, {"id": 7, "received": json.loads(request.body or b"null")})
        if request.method == "DELETE":
            return Reply(204, raw=b"")
        return Reply(200, {"path": request.path, "query": dict(request.query), "headers": dict(request.headers)})
