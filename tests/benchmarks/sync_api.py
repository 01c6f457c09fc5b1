"""A REST API with pages of ten-field records, made before it answers: `python -m tests.benchmarks.sync_api ROWS SIZE`."""

from __future__ import annotations

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit


def record(number: int) -> dict[str, Any]:
    """Make one record."""
    at = "2026-01-01T00:00:00Z"
    names = {"a": f"name {number}", "b": "X@y.z", "c": "city", "d": f"{number}.5", "e": "10.25"}
    return {"id": number, **names, "f": at, "g": at, "h": True, "i": number}


def main(rows: int, size: int) -> None:
    """Answer `GET /rows?page=N` until the process ends; the first line tells the port."""
    pages = [
        json.dumps({"items": [record(number) for number in range(first, min(first + size, rows + 1))]}).encode()
        for first in range(1, rows + 1, size)
    ]

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        wbufsize = -1

        def do_GET(self) -> None:
            number = int(parse_qs(urlsplit(self.path).query)["page"][0])
            body = pages[number - 1] if number <= len(pages) else b'{"items": []}'
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    sys.stdout.write(f"{server.server_address[1]}\n")
    sys.stdout.flush()
    server.serve_forever()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
