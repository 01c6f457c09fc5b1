"""S3-compatible stores on the guarded transport: listing, reading in blocks, writing whole or in parts, removing.

An object appears when its upload ends, so a file is whole by nature. Names are keys below the place's prefix.
"""

from __future__ import annotations

import base64
import hashlib
import io
import tempfile
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, BinaryIO, Self, cast
from urllib.parse import urlsplit

import defusedxml.ElementTree
from defusedxml.common import DefusedXmlException

from server.kernel.errors import CrossdockError, Permanent, Retryable
from server.sdk.answers import ANSWER_BROKEN, UPSTREAM_NOT_FOUND, expect_success
from server.sdk.files import MOST_FILES, FileInfo, matches, start_of
from server.sdk.ranges import BlockReader
from server.transport.aws import EMPTY, encoded, query_of, signed
from server.transport.paths import file_missing, too_many, vet_path

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from xml.etree.ElementTree import Element

    import requests

PART = 8 * 1024 * 1024
_IN_MEMORY = PART
_RANGE_EMPTY = 416
_PAGES = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Place:
    """Where and as whom. Without an `endpoint` it is AWS, with one the bucket stands in the path."""

    bucket: str
    prefix: str = ""
    region: str = "us-east-1"
    endpoint: str | None = None
    access_key: str = field(repr=False)
    secret_key: str = field(repr=False)


class S3Files:
    """The objects below the place's prefix. `http` is a session on the guarded transport."""

    def __init__(self, place: S3Place, http: requests.Session) -> None:
        self._place = place
        self._http = http
        self._prefix = place.prefix.strip("/") + "/" if place.prefix.strip("/") else ""
        base = place.endpoint or f"https://{place.bucket}.s3.{place.region}.amazonaws.com"
        parts = urlsplit(base)
        default = {"http": 80, "https": 443}.get(parts.scheme)
        self._host = (parts.hostname or "") + (f":{parts.port}" if parts.port not in (None, default) else "")
        self._origin = f"{parts.scheme}://{self._host}"
        self._root = f"/{encoded(place.bucket)}" if place.endpoint else ""

    def find(self, pattern: str) -> list[FileInfo]:
        vet_path(pattern)
        found: list[FileInfo] = []
        params = {"list-type": "2", "prefix": self._prefix + start_of(pattern)}
        for _ in range(_PAGES):
            listing = _read(self._ask("GET", "", params))
            for each in _all(listing, "Contents"):
                path = (_text(each, "Key") or "").removeprefix(self._prefix)
                if matches(pattern, path) and _is_plain(path):
                    if len(found) == MOST_FILES:
                        raise too_many(MOST_FILES)
                    found.append(FileInfo(_moment(_text(each, "LastModified")), path, int(_text(each, "Size") or 0)))
            following = _text(listing, "NextContinuationToken")
            if not following or following == params.get("continuation-token"):
                return sorted(found)
            params = {**params, "continuation-token": following}
        raise too_many(MOST_FILES)

    def open(self, path: str, offset: int = 0) -> BinaryIO:
        key = self._key(path)

        def block(at: int, size: int) -> bytes:
            try:
                answer = self._ask("GET", key, {}, headers={"range": f"bytes={at}-{at + size - 1}"})
            except Permanent as error:
                if error.details.get("status") == _RANGE_EMPTY:
                    return b""
                raise file_missing(path) if error.code == UPSTREAM_NOT_FOUND else error from error
            return answer.content

        held = [block(offset, PART)]  # asked for now, so that a file that is not there is told now

        def after_first(at: int, size: int) -> bytes:
            return held.pop() if held else block(at, size)

        return cast("BinaryIO", io.BufferedReader(BlockReader(after_first, size=PART, offset=offset), 256 * 1024))

    @contextmanager
    def write(self, path: str) -> Iterator[BinaryIO]:
        key = self._key(path)
        with tempfile.SpooledTemporaryFile(_IN_MEMORY) as file:
            yield cast("BinaryIO", file)
            size = file.tell()
            file.seek(0)
            if size <= PART:
                self._ask("PUT", key, {}, body=file.read())
            else:
                self._upload(key, file)

    def remove(self, path: str) -> None:
        key = self._key(path)
        try:
            self._ask("DELETE", key, {})
        except Permanent as error:
            if error.code != UPSTREAM_NOT_FOUND:
                raise

    def _upload(self, key: str, file: Any) -> None:
        """Send a file in parts; a try that fails leaves none of them behind."""
        upload = _text(_read(self._ask("POST", key, {"uploads": ""})), "UploadId") or ""
        try:
            marks: list[str] = []
            while part := file.read(PART):
                params = {"partNumber": str(len(marks) + 1), "uploadId": upload}
                marks.append(self._ask("PUT", key, params, body=part).headers.get("ETag", ""))
            parts = "".join(
                f"<Part><PartNumber>{number}</PartNumber><ETag>{mark}</ETag></Part>"
                for number, mark in enumerate(marks, 1)
            )
            body = f"<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>".encode()
            answer = _read(self._ask("POST", key, {"uploadId": upload}, body=body))
        except CrossdockError:
            with suppress(CrossdockError):
                self._ask("DELETE", key, {"uploadId": upload})
            raise
        if _name(answer) == "Error":  # it answers 200 before it knows
            raise Retryable("the store did not put the parts together", code=ANSWER_BROKEN, source="files")

    def _ask(
        self,
        method: str,
        key: str,
        params: Mapping[str, str],
        *,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
    ) -> requests.Response:
        path = f"{self._root}/{encoded(key, slash=True)}"
        place, sent = self._place, dict(headers or {})
        if body:
            sent["content-md5"] = base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()
        shown = signed(
            method,
            self._host,
            path,
            params,
            sent,
            hashlib.sha256(body).hexdigest() if body else EMPTY,
            key=(place.access_key, place.secret_key),
            region=place.region,
            now=datetime.now(UTC),
        )
        url = f"{self._origin}{path}" + (f"?{query_of(params)}" if params else "")
        answer = self._http.request(method, url, headers=shown, data=body or None)
        return expect_success(answer, datetime.now(UTC), source="files")

    def _key(self, path: str) -> str:
        vet_path(path)
        return self._prefix + path

    def close(self) -> None:
        """Hold nothing open: the session is the call's."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()


def _read(answer: requests.Response) -> Element:
    try:
        return defusedxml.ElementTree.fromstring(answer.content)
    except (defusedxml.ElementTree.ParseError, DefusedXmlException, ValueError) as error:
        raise Retryable("the store's answer is no XML", code=ANSWER_BROKEN, source="files") from error


def _name(element: Element) -> str:
    return element.tag.rpartition("}")[2]


def _all(element: Element, name: str) -> list[Element]:
    return [each for each in element if _name(each) == name]


def _text(element: Element, name: str) -> str | None:
    return next((each.text for each in _all(element, name)), None)


def _moment(text: str | None) -> datetime:
    try:
        return datetime.fromisoformat(text or "")
    except ValueError as error:
        raise Retryable("the store's answer has no time", code=ANSWER_BROKEN, source="files") from error


def _is_plain(path: str) -> bool:
    """Say whether a key can be read as a path of ours: there are keys that end in a slash or have empty parts."""
    try:
        vet_path(path)
    except Permanent:
        return False
    return True
