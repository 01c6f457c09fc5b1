"""Every error as RFC 9457 problem+json: the class of the error gives the status, its code the type."""

from __future__ import annotations

import math
from collections.abc import Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import orjson
import structlog
from flask import Response
from marshmallow import Schema, ValidationError, fields
from werkzeug.exceptions import HTTPException

from server.kernel import errors
from server.kernel.errors import CrossdockError, Failure, Invalid, code, declared_codes
from server.web import current

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flask import Flask

MEDIA_TYPE = "application/problem+json"
ROUTE_NOT_FOUND = code("ROUTE_NOT_FOUND", "The server has no such path; /openapi.json lists those that it has.")
URI_TOO_LONG = code("URI_TOO_LONG", "The path or the query is longer than is taken.")
HTTP_ERROR = code("HTTP_ERROR", "The request breaks a rule of HTTP; the status says which.")
REQUIRED = code("REQUIRED", "A field that must be there is missing.")
UNKNOWN_FIELD = code("UNKNOWN_FIELD", "There is no field of that name here.")
INVALID_VALUE = code("INVALID_VALUE", "The value is not of the type or in the range that the field has.")

STATUS: dict[type[CrossdockError], int] = {
    errors.Invalid: 422,
    errors.Malformed: 400,
    errors.Unauthenticated: 401,
    errors.Forbidden: 403,
    errors.NotFound: 404,
    errors.NotAllowed: 405,
    errors.BodyTimeout: 408,
    errors.Conflict: 409,
    errors.PreconditionFailed: 412,
    errors.TooLarge: 413,
    errors.Unsupported: 415,
    errors.PreconditionMissing: 428,
    errors.TooMany: 429,
    errors.Unavailable: 503,
    errors.Looping: 508,
    errors.Rejected: 422,
    errors.Skipped: 409,
    errors.Permanent: 502,
    errors.Retryable: 502,
    errors.Postponed: 503,
    CrossdockError: 500,
}
"""The status of each class; a subclass has that of its nearest listed parent."""

_HTTP_CODES = {
    400: errors.Malformed.default_code,
    401: errors.Unauthenticated.default_code,
    403: errors.Forbidden.default_code,
    404: ROUTE_NOT_FOUND,
    405: errors.NotAllowed.default_code,
    408: errors.BodyTimeout.default_code,
    409: errors.Conflict.default_code,
    412: errors.PreconditionFailed.default_code,
    413: errors.TooLarge.default_code,
    414: URI_TOO_LONG,
    415: errors.Unsupported.default_code,
    422: errors.Invalid.default_code,
    428: errors.PreconditionMissing.default_code,
    429: errors.TooMany.default_code,
    500: errors.INTERNAL,
    503: errors.Unavailable.default_code,
}
_FIELD_CODES = {"Missing data for required field.": REQUIRED, "Unknown field.": UNKNOWN_FIELD}
_LOCATIONS = {"json": "body", "query": "query", "headers": "header", "path": "path", "json_or_form": "body"}
_MOST_ERRORS = 100
_log = structlog.get_logger(__name__)


class ErrorPlace(Schema):
    """One place that is wrong: `pointer` is a JSON Pointer (RFC 6901) into what `in` names, the body if absent."""

    pointer = fields.String(required=True)
    message = fields.String(required=True)
    code = fields.String(required=True)
    in_ = fields.String(data_key="in")


class Problem(Schema):
    """The answer of every error (RFC 9457)."""

    type = fields.String(required=True, metadata={"description": "The page about the code.", "format": "uri-reference"})
    title = fields.String(required=True, metadata={"description": "What the code means."})
    status = fields.Integer(required=True, metadata={"description": "The HTTP status."})
    code = fields.String(required=True, metadata={"description": "Stable: programs compare this."})
    detail = fields.String(required=True, metadata={"description": "What happened this time."})
    source = fields.String(required=True, metadata={"description": "The part that failed."})
    instance = fields.String(required=True, metadata={"description": "This occurrence.", "format": "uri-reference"})
    request_id = fields.String(required=True, metadata={"description": "Also in the log and in X-Request-ID."})
    retryable = fields.Boolean(required=True, metadata={"description": "The same request may succeed later."})
    errors = fields.List(fields.Nested(ErrorPlace), metadata={"description": "Each place that is wrong."})
    details = fields.Dict(keys=fields.String(), metadata={"description": "More about it, by code."})


def status_of(error: CrossdockError) -> int:
    """Return the HTTP status of an error."""
    return next(STATUS[each] for each in type(error).__mro__ if each in STATUS)


def answer(failure: Failure, status: int, *, after: float | None = None, of: current.Current | None = None) -> Response:
    """Make the answer of a failure; `details["errors"]` becomes `errors`; `after` (seconds) `Retry-After`.

    `of` is the request, where it is not the one at hand.
    """
    now = of or current.known()
    request_id = now.request_id if now else ""
    details = dict(failure.details)
    places = details.pop("errors", None)
    body: dict[str, Any] = {
        "type": f"/docs/errors#{failure.code}",
        "title": declared_codes().get(failure.code, HTTPStatus(status).phrase),
        "status": status,
        "code": failure.code,
        "detail": failure.message,
        "source": failure.source,
        "instance": f"urn:crossdock:request:{request_id}",
        "request_id": request_id,
        "retryable": failure.retryable,
    }
    if places is not None:
        body["errors"] = places
    if details:
        body["details"] = details
    response = Response(orjson.dumps(body, default=str), status, content_type=MEDIA_TYPE)
    if after is not None:
        response.headers["Retry-After"] = str(max(1, math.ceil(after)))
    if status == HTTPStatus.UNAUTHORIZED:
        response.headers["WWW-Authenticate"] = 'Bearer realm="crossdock"'
    return response


def of_crossdock(error: CrossdockError) -> Response:
    """Answer an error of ours."""
    status = status_of(error)
    if status == HTTPStatus.INTERNAL_SERVER_ERROR:
        return of_unexpected(error)
    return answer(error.failure, status, after=error.after)


def of_http(error: HTTPException) -> Response:
    """Answer an error of the HTTP framework; its own headers (`Allow`) stay."""
    status = error.code or 500
    if status < HTTPStatus.BAD_REQUEST:
        return Response(error.get_body(), status, error.get_headers())
    name = _HTTP_CODES.get(status, HTTP_ERROR)
    retryable = status in (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.SERVICE_UNAVAILABLE)
    response = answer(Failure(name, declared_codes()[name], "web", {}, retryable), status)
    for header, value in error.get_headers():
        if header.lower() != "content-type":
            response.headers[header] = value
    return response


def of_validation(error: ValidationError) -> Response:
    """Answer a schema's error that was raised outside of the request parser."""
    return of_crossdock(invalid(error.messages, "body"))


def of_unexpected(error: Exception) -> Response:
    """Answer what nobody foresaw: the log has it, the caller gets the request id and nothing of the inside."""
    now = current.known()
    _log.error("request broke", request_id=now.request_id if now else None, exc_info=error)
    request_id = now.request_id if now else "unknown"
    return answer(Failure(errors.INTERNAL, f"the log has it under {request_id}", "web"), 500)


def invalid(messages: Any, location: str = "body") -> Invalid:
    """Turn marshmallow's nested messages into an Invalid with one pointer per place."""
    places = list(_places(messages, "", location))[:_MOST_ERRORS]
    first = f"{places[0]['pointer'] or 'the whole'}: {places[0]['message']}" if places else "the content is wrong"
    more = f" (and {len(places) - 1} more)" if len(places) > 1 else ""
    return Invalid(first + more, source="web", errors=places)


def by_location(messages: Mapping[str, Any]) -> Invalid:
    """Turn the request parser's messages, `{location: messages}`, into an Invalid."""
    location, inner = next(iter(messages.items()))
    return invalid(inner, _LOCATIONS.get(location, location))


def place(pointer: str, message: str, code: str = INVALID_VALUE, location: str = "body") -> dict[str, str]:
    """Make one entry of `errors`."""
    found = {"pointer": pointer, "message": message, "code": code}
    return found if location == "body" else {**found, "in": location}


def _places(messages: Any, pointer: str, location: str) -> Iterator[dict[str, str]]:
    if isinstance(messages, Mapping):
        for key, inner in messages.items():
            step = "" if key == "_schema" else "/" + str(key).replace("~", "~0").replace("/", "~1")
            yield from _places(inner, pointer + step, location)
    elif isinstance(messages, list | tuple):
        for each in messages:
            yield from _places(each, pointer, location)
    else:
        text = str(messages)
        yield place(pointer, text, _FIELD_CODES.get(text, INVALID_VALUE), location)


def register(app: Flask) -> None:
    """Answer every error of an application in this form."""
    app.register_error_handler(CrossdockError, of_crossdock)
    app.register_error_handler(HTTPException, of_http)
    app.register_error_handler(ValidationError, of_validation)
    app.register_error_handler(Exception, of_unexpected)  # the border: whatever comes, the caller gets a problem
