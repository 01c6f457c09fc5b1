"""The OpenAPI 3.1 document: what flask-smorest made of the views, and what holds for all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flask_smorest import Api

from server.web.idempotency import WRITES
from server.web.permissions import KNOWN, PERMISSIONS, PUBLIC, declaration
from server.web.preconditions import takes_version
from server.web.problems import MEDIA_TYPE, Problem

if TYPE_CHECKING:
    from collections.abc import Callable

    from flask import Flask

_METHODS = ("get", "put", "post", "delete", "patch", "options", "head", "trace")
_PROBLEM = {"$ref": "#/components/responses/Problem"}
_ALWAYS = ("400", "404", "413", "414", "429", "500", "503")
_WRITING = ("409", "415", "502")
_VERSIONED = {"required": ("412", "428"), "optional": ("412",)}
_FIRST_ERROR = 400
_DESCRIPTION = """\
Everything is JSON in UTF-8 under `/api/v1`. Present a token: `Authorization: Bearer TOKEN`.

Errors are `application/problem+json` (RFC 9457) with a stable `code`; [the list of codes](/docs/errors).
Listings take `limit` and `cursor` and answer `{items, next}`. Writes take `Idempotency-Key`; those of versioned things take `If-Match`.
"""


class Rooms(Api):  # type: ignore[misc]  # flask-smorest is untyped
    """flask-smorest without its own error handlers and document routes: both are ours."""

    DEFAULT_ERROR_RESPONSE_NAME = None

    def __init__(self, app: Flask) -> None:
        self._later: list[Callable[[], None]] = []
        super().__init__(app)

    def later(self, describe: Callable[[], None]) -> None:
        """Describe views once somebody wants the document: that takes longer than all else that an application begins with."""
        self._later.append(describe)

    def described(self) -> dict[str, Any]:
        """Return what flask-smorest makes of all views. One thread at a time."""
        while self._later:
            self._later.pop(0)()
        made: dict[str, Any] = self.spec.to_dict()
        return made

    def _register_error_handlers(self) -> None:
        """Leave errors to `problems`."""

    def _register_responses(self) -> None:
        """Document one error for all: Problem."""
        self.spec.components.schema("Problem", schema=Problem)


def rooms(app: Flask, version: str) -> Rooms:
    """Make the registry of blueprints of an application."""
    app.config.update(
        API_TITLE="Crossdock",
        API_VERSION=version,
        OPENAPI_VERSION="3.1.0",
        API_SPEC_OPTIONS={
            "info": {"description": _DESCRIPTION, "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"}}
        },
    )
    return Rooms(app)


def document(app: Flask, api: Rooms) -> dict[str, Any]:
    """Return the whole document."""
    made = api.described()
    components = made.setdefault("components", {})
    components["responses"] = {
        "Problem": {
            "description": "An error.",
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
    }
    components["securitySchemes"] = {"bearer": {"type": "http", "scheme": "bearer", "description": "A token: `cdk_…`."}}
    made["security"] = [{"bearer": []}]
    made["servers"] = [{"url": "/"}]
    names: set[str] = set()
    for path, operations in made.get("paths", {}).items():
        for method in [each for each in _METHODS if each in operations]:
            _complete(app, path, method, operations[method], names)
    return made


def _complete(app: Flask, path: str, method: str, operation: dict[str, Any], names: set[str]) -> None:
    """Add to one operation what holds for all: its permission, the errors, the key of writes, a unique id."""
    endpoint, declared = _declared(app, path, method)
    statuses = set(_ALWAYS)
    parameters = operation.setdefault("parameters", [])
    if declared == PUBLIC:
        operation.setdefault("security", [])
    else:
        statuses.update(("401", "422"))
    if declared not in (PUBLIC, KNOWN):
        statuses.add("403")
        operation["x-permission"] = declared
        allowed = f"Needs `{declared}`: {PERMISSIONS[declared]}."
        operation["description"] = "\n\n".join(filter(None, [operation.get("description", "").strip(), allowed]))
    if method.upper() in WRITES and declared != PUBLIC:
        statuses.update(_WRITING)
        parameters.append(_KEY)
        version = takes_version(app.view_functions[endpoint])
        if version is not None:
            statuses.update(_VERSIONED[version])
            parameters.append({**_IF_MATCH, "required": version == "required"})
    if not parameters:
        del operation["parameters"]
    # An error that a view documents itself, with its content, is answered in that form: an unhealthy report is no Problem.
    own = {
        status: each
        for status, each in operation.get("responses", {}).items()
        if int(status) < _FIRST_ERROR or "content" in each
    }
    operation["responses"] = dict(sorted((dict.fromkeys(statuses, _PROBLEM) | own).items()))
    name = endpoint.rpartition(".")[2]
    operation["operationId"] = name if name not in names else endpoint.replace(".", "_")
    names.add(operation["operationId"])


def _declared(app: Flask, path: str, method: str) -> tuple[str, str]:
    for rule in app.url_map.iter_rules():
        if method.upper() in (rule.methods or ()) and _template(rule.rule) == path:
            return rule.endpoint, declaration(app, rule.endpoint, method.upper()) or ""
    raise LookupError(f"the document names {method} {path}, which is no route")


def _template(rule: str) -> str:
    """Turn `/a/<string:b>` into `/a/{b}`."""
    parts = rule.replace(">", "<").split("<")
    return "".join(f"{{{each.rpartition(':')[2]}}}" if index % 2 else each for index, each in enumerate(parts))


_KEY: dict[str, Any] = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "Makes the request safe to repeat: the same key and body get the first answer for 24 hours.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[\\x21-\\x7e]+$"},
}
_IF_MATCH: dict[str, Any] = {
    "name": "If-Match",
    "in": "header",
    "description": "The ETag that was read; `*` for whatever is there.",
    "schema": {"type": "string", "minLength": 1, "examples": ['"7"']},
}
