"""The limit that receiving is measured against: a Flask view that only answers 202, under the same server."""

from __future__ import annotations

from flask import Flask, Response

app = Flask("bare")


@app.post("/<path:_path>")
def accept(_path: str) -> Response:
    """Answer."""
    return Response(b'{"id":"req_00000000000000000000000000"}', 202, content_type="application/json")
