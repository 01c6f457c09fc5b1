"""A REST API to look at: customers, in memory, with the standard library alone.

    python docs/tour/api.py [PORT]

POST /customers makes one, PUT /customers/ID changes it, GET /customers?number=… finds those of a number, GET /customers all.
"""

from __future__ import annotations

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

CUSTOMERS: dict[str, dict[str, Any]] = {}


class Handler(BaseHTTPRequestHandler):
    """Keeps customers."""

    def do_GET(self) -> None:
        """Answer the customers of a number, or all, by their ids."""
        asked = parse_qs(urlsplit(self.path).query).get("number")
        found = [each for _, each in sorted(CUSTOMERS.items()) if not asked or each.get("number") in asked]
        self._answer(200, {"items": found})

    def do_POST(self) -> None:
        """Make a customer."""
        body = self._body()
        identity = f"c-{body.get('number')}"
        CUSTOMERS[identity] = {"id": identity, **body}
        self._answer(201, CUSTOMERS[identity])

    def do_PUT(self) -> None:
        """Change a customer."""
        identity = self.path.rpartition("/")[2]
        CUSTOMERS[identity] = {"id": identity, **self._body()}
        self._answer(200, CUSTOMERS[identity])

    def _body(self) -> dict[str, Any]:
        body: dict[str, Any] = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))))
        return body

    def _answer(self, status: int, value: Any) -> None:
        body = json.dumps(value).encode() + b"\n"
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Print nothing."""


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1]) if len(sys.argv) > 1 else 9098), Handler).serve_forever()
