"""Answers that a view makes by hand, because they must exist before its transaction ends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
from flask import Response
from flask.json.provider import JSONProvider

from server.store.values import write_json
from server.web.preconditions import etag

if TYPE_CHECKING:
    from collections.abc import Mapping

    from marshmallow import Schema


class OrjsonProvider(JSONProvider):
    """Flask's JSON by orjson: quick, and never NaN."""

    def dumps(self, obj: Any, **_: Any) -> str:
        """Write JSON."""
        return write_json(obj)

    def loads(self, s: str | bytes, **_: Any) -> Any:
        """Read JSON that we wrote; what comes from outside goes through `bodies`."""
        return orjson.loads(s)

    def response(self, *args: Any, **kwargs: Any) -> Response:
        """Make a response of one JSON value."""
        value = self._prepare_response_obj(args, kwargs)
        return Response(write_json(value), content_type="application/json")


def answer(
    schema: type[Schema] | None,
    value: Any,
    status: int = 200,
    *,
    version: int | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Dump a value by a schema (None: it is JSON already); `version` becomes the ETag. For `idempotency.remember`."""
    body = b"" if status == 204 else write_json(value if schema is None else schema().dump(value)).encode()  # noqa: PLR2004
    response = Response(body, status, content_type=None if status == 204 else "application/json")  # noqa: PLR2004
    if version is not None:
        response.headers["ETag"] = etag(version)
    response.headers.update(headers or {})
    return response
