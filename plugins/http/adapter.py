"""Calls any HTTP API: one operation that sends one request, and the two that sync jobs read and write by."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from plugins.http.source import LIST, ResourceList
from plugins.http.target import WRITE, ResourceWrite, write_once
from plugins.http.wiring import endpoint_of
from server.sdk import (
    FRAMING,
    IDENTITY,
    Adapter,
    CallRequest,
    Context,
    Endpoint,
    FieldError,
    Health,
    Operation,
    Validation,
    expect_success,
    first_rows,
    measured,
    read_json,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    import requests

_SCALAR = {"type": ["string", "number", "boolean"]}
_TEXT = r"^[\t\x20-\x7e]*$"
_REACHED = 500

SEND = Operation(
    name="request.send",
    about="Send one HTTP request below the base URL and return its answer; other answers than 2xx are failures.",
    writes=True,
    input_schema={
        "type": "object",
        "additionalProperties": False,
        "required": ["path"],
        "properties": {
            "method": {"enum": ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"], "default": "GET"},
            "path": {"type": "string", "pattern": r"^/[^\s?#\\]*$", "maxLength": 1024},
            "query": {
                "type": "object",
                "maxProperties": 100,
                "additionalProperties": {"anyOf": [_SCALAR, {"type": "array", "items": _SCALAR, "maxItems": 100}]},
            },
            "headers": {
                "type": "object",
                "maxProperties": 50,
                "propertyNames": {"pattern": "^[A-Za-z0-9-]{1,64}$"},
                "additionalProperties": {"type": "string", "pattern": _TEXT, "maxLength": 4096},
            },
            "json": {"description": "Sent as application/json."},
            "text": {"type": "string", "description": "Sent as it is; name its content type in `headers`."},
        },
        "not": {"required": ["json", "text"]},
    },
    output_schema={
        "type": "object",
        "additionalProperties": False,
        "required": ["status", "headers", "body"],
        "properties": {
            "status": {"type": "integer", "minimum": 200, "maximum": 299},
            "headers": {"type": "object", "additionalProperties": {"type": "string"}},
            "body": {"description": "JSON where the answer says so, else text; null when it is empty."},
        },
    },
)


class HttpAdapter(Adapter):
    """One request per call; who we are and where comes from the integration's config."""

    id = "http"
    version = "1.1.0"
    operations = (SEND, LIST, WRITE)
    sources = (ResourceList(),)
    targets = (ResourceWrite(),)

    def validate(self, request: CallRequest) -> Validation:
        """Refuse also paths that leave the base URL and headers that are not the caller's to set."""
        result = super().validate(request)
        if not result.is_valid:
            return result
        errors = [
            FieldError(f"/headers/{name}", "this header is not set by a call")
            for name in request.input.get("headers", {})
            if name.lower() in FRAMING | IDENTITY
        ]
        if any(unquote(part) in {".", ".."} for part in request.input["path"].split("/")):
            errors.append(FieldError("/path", "a path may not leave the base URL"))
        return Validation(tuple(errors))

    def execute(self, request: CallRequest, context: Context) -> requests.Response | dict[str, Any]:
        """Do what is asked; anything but 2xx raises as the table in `server.sdk.answers` says."""
        if request.operation == LIST.name:
            return first_rows(self.sources[0], request, context)
        if request.operation == WRITE.name:
            return write_once(request.input, context)
        return self._send(request.input, context)

    def _send(self, given: Mapping[str, Any], context: Context) -> requests.Response:
        endpoint = self.endpoint(context.config)
        headers = {"X-Correlation-ID": context.correlation_id, **given.get("headers", {}), **endpoint.headers}
        if context.idempotency_key:
            headers["Idempotency-Key"] = context.idempotency_key
        response = context.http.request(
            given.get("method", "GET"),
            endpoint.base_url + given["path"],
            params={**_query(given.get("query", {})), **endpoint.query},
            headers=headers,
            json=given.get("json"),
            data=given["text"].encode() if "text" in given else None,
            timeout=context.config.get("timeout"),
        )
        return expect_success(response, context.clock.now())

    def transform(self, answer: requests.Response | dict[str, Any]) -> dict[str, Any]:
        """Return status, headers (names in lower case) and body; records as they are."""
        if isinstance(answer, dict):
            return answer
        body: Any = answer.text or None
        if answer.content and "json" in answer.headers.get("Content-Type", ""):
            body = read_json(answer)
        headers = {name.lower(): value for name, value in answer.headers.items()}
        return {"status": answer.status_code, "headers": headers, "body": body}

    def health_check(self, context: Context) -> Health:
        """Ask the health path; any answer below 500 shows that the system is there."""

        def ask() -> Mapping[str, Any]:
            endpoint = self.endpoint(context.config)
            url = endpoint.base_url + context.config.get("health_path", "/")
            response = context.http.get(url, headers=endpoint.headers, params=endpoint.query)
            if response.status_code >= _REACHED:
                expect_success(response, context.clock.now())
            return {"status": response.status_code}

        return measured(context, ask)

    def endpoint(self, config: Mapping[str, Any]) -> Endpoint:
        """Return the base URL with the headers and parameters that every request of this integration carries."""
        return endpoint_of(config)


def _query(given: Mapping[str, Any]) -> dict[str, Any]:
    """Write truth values as JSON does; lists become repeated parameters."""
    return {
        name: [_written(each) for each in value] if isinstance(value, list) else _written(value)
        for name, value in given.items()
    }


def _written(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
