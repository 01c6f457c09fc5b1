"""The readable API reference: one static page made from the OpenAPI document, and one of all error codes. Nothing is loaded."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from html import escape
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from flask import Response

from server.kernel.errors import declared_codes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_STYLE = """
:root{color-scheme:light dark;--line:#8884;--soft:#8881;--link:#0a58ca}
@media(prefers-color-scheme:dark){:root{--link:#7ab3ff}}
body{font:15px/1.5 system-ui,sans-serif;max-width:72rem;margin:0 auto;padding:1rem 1.5rem 4rem}
a{color:var(--link)}code{font:13px ui-monospace,monospace;background:var(--soft);padding:.1em .3em;border-radius:3px}
table{border-collapse:collapse;width:100%;margin:.5rem 0}th,td{text-align:left;vertical-align:top;padding:.3rem .6rem;
border-bottom:1px solid var(--line)}th{font-weight:600}section{border-top:2px solid var(--line);margin-top:2rem}
h3{margin:1.6rem 0 .2rem}h3 code{font-size:14px}h4{margin:.8rem 0 0}nav ul{columns:18rem;padding-left:1rem}
.soft{opacity:.75}:target{background:var(--soft)}
@media(max-width:46rem){body{padding:1rem .9rem 4rem}code,a,td{overflow-wrap:anywhere}td:first-child{min-width:7rem}}
@media(min-width:46.01rem){wbr{display:none}}
"""
_POLICY = (
    "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'; "
    f"style-src 'sha256-{b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()}'"
)


def reference(document: Mapping[str, Any]) -> Response:
    """Return the page of all operations and schemas."""
    return _page(f"{document['info']['title']} API", "".join(_reference(document)))


def error_codes() -> Response:
    """Return the page of all error codes; `type` of a problem points into it."""
    rows = "".join(
        f'<tr id="{escape(name)}"><td><code>{escape(name).replace("_", "_<wbr>")}</code></td><td>{_text(about)}</td></tr>'
        for name, about in declared_codes().items()
    )
    return _page(
        "Error codes", f'<p><a href="/docs">API</a></p><table><tr><th>code</th><th>meaning</th></tr>{rows}</table>'
    )


def _page(title: str, body: str) -> Response:
    html = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head>'
        f"<body><h1>{escape(title)}</h1>{body}</body></html>"
    )
    return Response(html, content_type="text/html; charset=utf-8", headers={"Content-Security-Policy": _POLICY})


def _reference(document: Mapping[str, Any]) -> Iterator[str]:
    info = document["info"]
    yield f'<p class="soft">Version {escape(info["version"])} · <a href="/openapi.json">openapi.json</a> · '
    yield '<a href="/docs/errors">error codes</a></p>'
    for paragraph in info.get("description", "").split("\n\n"):
        yield f"<p>{_text(paragraph)}</p>"
    operations = list(_operations(document))
    yield "<nav><ul>"
    for path, method, operation in operations:
        yield f'<li><a href="#{escape(operation["operationId"])}">{method.upper()} {escape(path)}</a></li>'
    yield "</ul></nav>"
    for path, method, operation in operations:
        yield from _operation(path, method, operation)
    yield '<section><h2 id="schemas">Schemas</h2>'
    for name, schema in sorted(document.get("components", {}).get("schemas", {}).items()):
        yield f'<h3 id="schema-{escape(name)}">{escape(name)}</h3>{_schema_table(schema)}'
    yield "</section>"


def _operations(document: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    for path, operations in document.get("paths", {}).items():
        shared = operations.get("parameters", [])
        for method, operation in operations.items():
            if method != "parameters":
                yield path, method, {**operation, "parameters": [*shared, *operation.get("parameters", [])]}


def _operation(path: str, method: str, operation: Mapping[str, Any]) -> Iterator[str]:
    yield f'<section id="{escape(operation["operationId"])}"><h3><code>{method.upper()} {escape(path)}</code></h3>'
    yield f"<p><strong>{_text(operation.get('summary', ''))}</strong></p>"
    for paragraph in operation.get("description", "").split("\n\n"):
        yield f"<p>{_text(paragraph)}</p>"
    if operation["parameters"]:
        yield "<h4>Parameters</h4><table><tr><th>name</th><th>in</th><th>type</th><th>about</th></tr>"
        for each in operation["parameters"]:
            must = " (required)" if each.get("required") and each["in"] != "path" else ""
            yield f"<tr><td><code>{escape(each['name'])}</code></td><td>{each['in']}</td>"
            yield f"<td>{_type(each.get('schema', {}))}</td><td>{_text(each.get('description', ''))}{must}</td></tr>"
        yield "</table>"
    for kind, content in operation.get("requestBody", {}).get("content", {}).items():
        yield f"<h4>Body</h4><p><code>{escape(kind)}</code>: {_type(content.get('schema', {}))}</p>"
    yield "<h4>Answers</h4><table>"
    for status, response in operation.get("responses", {}).items():
        yield f"<tr><td>{escape(status)}</td><td>{_answer(status, response)}</td></tr>"
    yield "</table></section>"


def _answer(status: str, response: Mapping[str, Any]) -> str:
    if "$ref" in response:
        phrase = HTTPStatus(int(status)).phrase
        return f'{escape(phrase)}: <a href="#schema-Problem">Problem</a>'
    types = "".join(f": {_type(content.get('schema', {}))}" for content in response.get("content", {}).values())
    return _text(response.get("description", "")) + types


def _schema_table(schema: Mapping[str, Any]) -> str:
    required = schema.get("required", ())
    rows = "".join(
        f"<tr><td><code>{escape(name)}</code>{'' if name in required else ' <span class=soft>optional</span>'}</td>"
        f"<td>{_type(field)}</td><td>{_text(field.get('description', ''))}</td></tr>"
        for name, field in schema.get("properties", {}).items()
    )
    return f"<table>{rows}</table>"


def _type(schema: Mapping[str, Any]) -> str:
    if "$ref" in schema:
        name = escape(schema["$ref"].rpartition("/")[2])
        return f'<a href="#schema-{name}">{name}</a>'
    kinds = schema.get("type", "any")
    shown = " or ".join(kinds) if isinstance(kinds, list) else str(kinds)
    if "items" in schema:
        return f"{escape(shown)} of {_type(schema['items'])}"
    if "enum" in schema:
        return " · ".join(f"<code>{escape(str(each))}</code>" for each in schema["enum"])
    bounds = [f"{word} {schema[key]}" for key, word in _BOUNDS.items() if key in schema]
    return escape(" ".join([shown, schema.get("format", ""), *bounds]))


_BOUNDS = {
    "minimum": "from",
    "maximum": "to",
    "minLength": "least length",
    "maxLength": "most length",
    "default": "default",
}


def _text(text: str) -> str:
    """Escape a text; `code` and [name](/path) are shown as such."""
    pieces = escape(text).split("`")
    return "".join(f"<code>{each}</code>" if index % 2 else _links(each) for index, each in enumerate(pieces))


def _links(text: str) -> str:
    """Turn [name](/path) of our own texts into links; anything but a path of ours stays text."""
    head, opened, rest = text.partition("[")
    name, middle, tail = rest.partition("](/")
    path, closed, after = tail.partition(")")
    if not (opened and middle and closed):
        return text
    return f'{head}<a href="/{path}">{name}</a>{_links(after)}'
