"""A small S3-compatible store at 127.0.0.1 that verifies every signature."""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, unquote
from xml.sax.saxutils import escape

from server.sdk import HttpMock, Received, Reply
from server.transport.aws import signed

_KEY = ("AKIDTEST", "store-s3cr3t")
_PAGE = 10
_XML = {"Content-Type": "application/xml"}


class S3Server(HttpMock):
    """`objects` by `BUCKET/KEY`; uploads in parts, listings in pages of 10, ranges."""

    def __init__(self) -> None:
        super().__init__()
        self.objects: dict[str, tuple[bytes, datetime]] = {}
        self.uploads: dict[str, dict[int, bytes]] = {}
        self.fail_parts_after: int | None = None

    @property
    def config(self) -> dict[str, Any]:
        return {"url": "s3://bucket", **self.options}

    @property
    def options(self) -> dict[str, Any]:
        return {"endpoint": self.url, "region": "eu-test-1", "access_key": _KEY[0], "secret_key": _KEY[1]}

    def answer(self, request: Received) -> Reply:
        if not self._genuine(request):
            return Reply(403, None, _XML, b"<Error><Code>SignatureDoesNotMatch</Code></Error>")
        bucket, _, key = unquote(request.path).strip("\n").removeprefix("/").partition("/")
        name = f"{bucket}/{key}"
        if request.method == "GET" and not key:
            return self._list(bucket, request)
        if "uploadId" in request.query or "uploads" in request.query:
            return self._in_parts(name, request)
        if request.method == "PUT":
            self.objects[name] = (request.body, datetime.now(UTC))
            return Reply(200, None, _XML, b"")
        if request.method == "DELETE":
            self.objects.pop(name, None)
            return Reply(204, None, _XML, b"")
        return self._get(name, request)

    def _get(self, name: str, request: Received) -> Reply:
        if name not in self.objects:
            return Reply(404, None, _XML, b"<Error/>")
        content = self.objects[name][0]
        begin, end = map(int, re.findall(r"\d+", request.headers["range"]))
        if begin >= len(content):
            return Reply(416, None, _XML, b"<Error/>")
        return Reply(206, None, {"Content-Type": "application/octet-stream"}, content[begin : end + 1])

    def _list(self, bucket: str, request: Received) -> Reply:
        prefix = f"{bucket}/{request.query.get('prefix', '')}"
        names = sorted(name for name in self.objects if name.startswith(prefix))
        begin = int(request.query.get("continuation-token", "0"))
        rows = "".join(
            f"<Contents><Key>{escape(name.partition('/')[2])}</Key><Size>{len(self.objects[name][0])}</Size>"
            f"<LastModified>{self.objects[name][1].isoformat().replace('+00:00', 'Z')}</LastModified></Contents>"
            for name in names[begin : begin + _PAGE]
        )
        more = f"<NextContinuationToken>{begin + _PAGE}</NextContinuationToken>" if begin + _PAGE < len(names) else ""
        body = f'<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">{rows}{more}</ListBucketResult>'
        return Reply(200, None, _XML, body.encode())

    def _in_parts(self, name: str, request: Received) -> Reply:
        upload = request.query.get("uploadId", "")
        if "uploads" in request.query:
            self.uploads["u1"] = {}
            return Reply(200, None, _XML, b"<R><UploadId>u1</UploadId></R>")
        if request.method == "DELETE":
            del self.uploads[upload]
            return Reply(204, None, _XML, b"")
        if request.method == "PUT":
            number = int(request.query["partNumber"])
            if self.fail_parts_after is not None and number > self.fail_parts_after:
                return Reply(503, None, _XML, b"<Error/>")
            self.uploads[upload][number] = request.body
            return Reply(200, None, {**_XML, "ETag": f'"{number}"'}, b"")
        parts = self.uploads.pop(upload)
        self.objects[name] = (b"".join(parts[number] for number in sorted(parts)), datetime.now(UTC))
        return Reply(200, None, _XML, b"<R/>")

    def _genuine(self, request: Received) -> bool:
        found = re.search(r"SignedHeaders=([^,]+),", request.headers.get("authorization", ""))
        if found is None or request.headers["x-amz-content-sha256"] != hashlib.sha256(request.body).hexdigest():
            return False
        added = {"host", "x-amz-date", "x-amz-content-sha256"}
        headers = {name: request.headers[name] for name in found[1].split(";") if name not in added}
        now = datetime.strptime(request.headers["x-amz-date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        path = quote(unquote(request.path), safe="-._~/")
        expected = signed(
            request.method,
            request.headers["host"],
            path,
            request.query,
            headers,
            request.headers["x-amz-content-sha256"],
            key=_KEY,
            region="eu-test-1",
            now=now,
        )
        return expected["Authorization"] == request.headers["authorization"]
