"""An OpenAPI document read as data sets: every GET that answers a list of objects, with guesses how its pages follow."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

from server.kernel.errors import Invalid, code
from server.sdk.sources import Dataset

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

NO_OPENAPI = code("NO_OPENAPI", "The document is no OpenAPI document, or none of its answers is a list of objects.")
_KEY = re.compile(r"^(id|uuid|key|code|sku|number|external_id|_id)$", re.IGNORECASE)
_CURSORS = (
    "updated_at",
    "modified_at",
    "last_modified",
    "updated",
    "modified",
    "changed_at",
    "updatedat",
    "created_at",
)
_LISTS = ("data", "items", "results", "records", "value", "content")
_SIZES = ("per_page", "page_size", "pagesize", "limit", "size", "count")
_CURSOR_PARAMS = ("cursor", "after", "starting_after", "page_token", "pagetoken", "continuation")
_NEXT_TOKENS = ("next_cursor", "next_page_token", "nextpagetoken", "nextcursor", "cursor", "next")
_PLACE = "https://api.example.com"
_DEPTH = 20


@dataclass(frozen=True, slots=True)
class Described:
    """What a document says: where the API is, how it knows us (a config of plugin `http`), and its lists."""

    title: str
    config: Mapping[str, Any]
    secrets: tuple[str, ...]
    datasets: tuple[Dataset, ...]
    is_placed: bool


def read_openapi(document: Any, url: str | None = None) -> Described:
    """Return what can be read by an API.

    Raises:
        Invalid: NO_OPENAPI.

    """
    if not isinstance(document, dict) or not isinstance(document.get("paths"), dict):
        raise Invalid("this is no OpenAPI document: it has no paths", code=NO_OPENAPI, source="openapi")
    title = str(document.get("info", {}).get("title") or "api")
    base = _base(document, url)
    prefix = re.sub(r"[^A-Z0-9]+", "_", title.upper()).strip("_") or "API"
    auth, secrets = _auth(document, prefix)
    config = {"base_url": base or _PLACE, **({"auth": auth} if auth else {})}
    return Described(title, config, secrets, tuple(_datasets(document)), base is not None)


def _base(document: Mapping[str, Any], url: str | None) -> str | None:
    servers = document.get("servers")
    given = str(servers[0].get("url", "")) if isinstance(servers, list) and servers else ""
    if not servers and "host" in document:  # version 2
        scheme = (document.get("schemes") or ["https"])[0]
        given = f"{scheme}://{document['host']}{document.get('basePath', '')}"
    for name, variable in (servers[0].get("variables") or {}).items() if given and servers else ():
        given = given.replace("{" + name + "}", str(variable.get("default", "")))
    whole = urljoin(url, given or "/") if url else given
    parts = urlsplit(whole)
    return whole.rstrip("/") if parts.scheme in ("http", "https") and parts.netloc and "{" not in whole else None


def _auth(document: Mapping[str, Any], prefix: str) -> tuple[dict[str, Any] | None, tuple[str, ...]]:
    known = document.get("components", {}).get("securitySchemes") or document.get("securityDefinitions") or {}
    for scheme in known.values():
        if not isinstance(scheme, dict):
            continue
        kind, how = scheme.get("type"), str(scheme.get("scheme", "")).lower()
        if kind == "apiKey" and scheme.get("in") in ("header", "query"):
            name = f"{prefix}_KEY"
            return {"scheme": "api_key", str(scheme["in"]): scheme.get("name", "key"), "key": {"secret": name}}, (name,)
        if kind == "basic" or (kind == "http" and how == "basic"):
            user, password = f"{prefix}_USER", f"{prefix}_PASSWORD"
            auth = {"scheme": "basic", "username": {"secret": user}, "password": {"secret": password}}
            return auth, (user, password)
        if (kind == "http" and how == "bearer") or kind in ("oauth2", "openIdConnect"):
            name = f"{prefix}_TOKEN"
            return {"scheme": "bearer", "token": {"secret": name}}, (name,)
    return None, ()


def _datasets(document: Mapping[str, Any]) -> Iterator[Dataset]:
    for path, item in document["paths"].items():
        operation = item.get("get") if isinstance(item, dict) else None
        if not isinstance(operation, dict) or "{" in path:
            continue
        answer = _answer(document, operation)
        found = _list_of(document, answer)
        if found is None:
            continue
        records, row = found
        names = list(row.get("properties", {}))
        params = [_resolved(document, each) for each in [*item.get("parameters", []), *operation.get("parameters", [])]]
        queries = [str(each.get("name")) for each in params if each.get("in") == "query"]
        pagination = _pagination(document, queries, answer)
        yield Dataset(
            name=path.strip("/").split("/")[-1] or "records",
            options={
                "path": path,
                **({"records": records} if records else {}),
                **({"pagination": pagination} if pagination else {}),
            },
            schema={**row, "properties": {name: _resolved(document, row["properties"][name]) for name in names}},
            primary_key=tuple([each for each in names if _KEY.match(each)][:1]),
            cursor=tuple(sorted((each for each in names if each.lower() in _CURSORS), key=_rank)),
            about=str(operation.get("summary") or ""),
        )


def _rank(name: str) -> int:
    return _CURSORS.index(name.lower())


def _answer(document: Mapping[str, Any], operation: Mapping[str, Any]) -> dict[str, Any]:
    answers = operation.get("responses", {})
    good = _resolved(document, next((answers[each] for each in ("200", 200, "default", "2XX") if each in answers), {}))
    content = good.get("content", {})
    media: dict[str, Any] = next((content[each] for each in content if "json" in each), {})
    return _resolved(document, media.get("schema") or good.get("schema") or {})


def _list_of(document: Mapping[str, Any], answer: Mapping[str, Any]) -> tuple[str, dict[str, Any]] | None:
    """Return where the list is in an answer, and the schema of its rows."""
    if answer.get("type") == "array" or "items" in answer:
        row = _resolved(document, answer.get("items", {}))
        return ("", row) if "properties" in row else None
    lists = {}
    for name, each in answer.get("properties", {}).items():
        schema = _resolved(document, each)
        row = _resolved(document, schema.get("items", {})) if schema.get("type") == "array" else {}
        if "properties" in row:
            lists[name] = row
    best = next((name for name in _LISTS if name in lists), next(iter(lists), None))
    return None if best is None else (best, lists[best])


def _pagination(document: Mapping[str, Any], queries: list[str], answer: Mapping[str, Any]) -> dict[str, Any] | None:
    by_name = {each.lower(): each for each in queries}
    size = next((by_name[each] for each in _SIZES if each in by_name), None)
    sized = {"size_param": size, "size": 100} if size else {}
    told = {name.lower(): name for name in answer.get("properties", {})}
    if "page" in by_name:
        return {"kind": "page", "param": by_name["page"], "first": 1, **sized}
    offset = next((by_name[each] for each in ("offset", "skip") if each in by_name), None)
    if offset:
        return {"kind": "offset", "param": offset, **sized}
    param = next((by_name[each] for each in _CURSOR_PARAMS if each in by_name), None)
    following = next((told[each] for each in _NEXT_TOKENS if each in told), None)
    if param and following:
        return {"kind": "cursor", "param": param, "next": following, **sized}
    if "next" in told and _resolved(document, answer["properties"][told["next"]]).get("format") in ("uri", "url"):
        return {"kind": "next_url", "next": told["next"]}
    return None


def _resolved(document: Mapping[str, Any], schema: Any, depth: int = 0) -> dict[str, Any]:
    """Return a schema with its reference followed, and the parts of `allOf` put together."""
    if not isinstance(schema, dict) or depth > _DEPTH:
        return {}
    reference = schema.get("$ref")
    if isinstance(reference, str):
        if not reference.startswith("#/"):
            return {}
        found: Any = document
        for step in reference[2:].split("/"):
            found = found.get(step.replace("~1", "/").replace("~0", "~"), {}) if isinstance(found, dict) else {}
        return _resolved(document, found, depth + 1)
    made = dict(schema)
    for part in schema.get("allOf", ()):
        other = _resolved(document, part, depth + 1)
        made = {**other, **made, "properties": {**other.get("properties", {}), **made.get("properties", {})}}
    return made
