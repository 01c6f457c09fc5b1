"""A receiver to look at: verifies Standard Webhooks signatures with the standard library alone, and prints what came.

    WEBHOOK_SECRET=whsec_… python docs/tour/receiver.py [PORT]

Answers 204; while a file named `broken` stands in the working folder it answers 503.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class Handler(BaseHTTPRequestHandler):
    """Takes webhooks."""

    def do_POST(self) -> None:
        """Verify, print, answer."""
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        identity, moment = self.headers.get("webhook-id", ""), self.headers.get("webhook-timestamp", "")
        secret = base64.b64decode(os.environ.get("WEBHOOK_SECRET", "").removeprefix("whsec_"))
        signed = hmac.new(secret, f"{identity}.{moment}.".encode() + body, hashlib.sha256).digest()
        expected = f"v1,{base64.b64encode(signed).decode()}".encode()
        given = self.headers.get("webhook-signature", "").encode().split()
        known = any(hmac.compare_digest(each, expected) for each in given)
        broken = Path("broken").exists()
        print("verified" if known else "NOT VERIFIED", "(answering 503)" if broken else "", body.decode(), flush=True)
        self.send_response(503 if broken else 204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Print nothing else."""


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1]) if len(sys.argv) > 1 else 9099), Handler).serve_forever()
