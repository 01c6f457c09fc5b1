"""One request of a source, as data: what is asked before it is sent, and the page that came."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urljoin, urlsplit

import jmespath
import jmespath.exceptions
import orjson

from server.sdk import Permanent, code

if TYPE_CHECKING:
    from collections.abc import Mapping

ORIGIN_REFUSED = code(
    "ORIGIN_REFUSED",
    "An answer sends us to another server than the integration's; name it under `origins` if it is meant.",
)
PATH_INVALID = code("PATH_INVALID", "A path into an answer is no JMESPath, or cannot be followed in what came.")

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*")
PLACEHOLDER = re.compile(r"\{\{\s*([^{}]+?)\s*\}\}")
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Ask:
    """A request: `url` is absolute, or a path below the base URL."""

    url: str
    method: str = "GET"
    query: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    json: Any = None

    def put(self, place: str, values: Mapping[str, Any]) -> Ask:
        """Return the request with values in its `query`, `header` or `body`; a dotted name leads into the body."""
        if place == "query":
            return replace(self, query={**self.query, **values})
        if place == "header":
            return replace(self, headers={**self.headers, **{name: str(value) for name, value in values.items()}})
        body = dict(self.json or {})
        for name, value in values.items():
            _set(body, name.split("."), value)
        return replace(self, json=body)

    def at(self, url: str) -> Ask:
        """Return the request at an address that an answer gave: its query is all there is."""
        return replace(self, url=url, query={})

    def digest(self) -> bytes:
        """Return what tells this request from others; one of the same digest gets the same answer."""
        said = [self.method, self.url, dict(self.query), dict(self.headers), self.json]
        return hashlib.blake2b(orjson.dumps(said, default=str, option=orjson.OPT_SORT_KEYS), digest_size=12).digest()


@dataclass(frozen=True, slots=True)
class Page:
    """An answer: its body as JSON, the records in it, its headers in lower case, and the URL it was asked at."""

    ask: Ask
    body: Any
    records: list[Any]
    headers: Mapping[str, str]
    url: str
    digest: bytes


def _set(body: dict[str, Any], path: list[str], value: Any) -> None:
    for part in path[:-1]:
        inner = body.get(part)
        body[part] = body = dict(inner) if isinstance(inner, dict) else {}
    body[path[-1]] = value


class Path:
    """A JMESPath into an answer; plain dotted names are walked, without the library.

    Raises:
        Permanent: PATH_INVALID.

    """

    def __init__(self, text: str) -> None:
        self._names = text.split(".") if _PLAIN.fullmatch(text) else None
        try:
            self._compiled = jmespath.compile(text)
        except jmespath.exceptions.JMESPathError as error:
            raise Permanent(f"no JMESPath: {text[:100]}", code=PATH_INVALID, source="http") from error
        self._text = text

    def of(self, value: Any) -> Any:
        """Return what the path leads to, None where it leads to nothing."""
        if self._names is not None:
            for name in self._names:
                value = value.get(name) if isinstance(value, dict) else None
            return value
        try:
            return self._compiled.search(value)
        except jmespath.exceptions.JMESPathError as error:
            message = f"{self._text[:100]} cannot be followed in the answer"
            raise Permanent(message, code=PATH_INVALID, source="http") from error


def filled(template: Any, names: Mapping[str, Any]) -> Any:
    """Fill `{{ NAME.PATH }}` in every text of a template; a text that is one placeholder keeps the value's type."""
    if isinstance(template, dict):
        made = {key: filled(each, names) for key, each in template.items()}
        return {key: each for key, each in made.items() if each is not None or template[key] is None}
    if isinstance(template, list):
        return [filled(each, names) for each in template]
    if not isinstance(template, str) or "{{" not in template:
        return template
    whole = PLACEHOLDER.fullmatch(template)
    if whole:
        return Path(whole[1]).of(names)
    found = [Path(each).of(names) for each in PLACEHOLDER.findall(template)]
    if any(each is None for each in found):
        return None
    values = iter(found)
    return PLACEHOLDER.sub(lambda _: written(next(values)), template)


def filled_path(template: str, names: Mapping[str, Any]) -> str:
    """Fill a path's placeholders, each written so that it stays within its segment.

    Raises:
        Permanent: PATH_INVALID: one is null or empty, so that the path would lead elsewhere.

    """

    def fill(found: re.Match[str]) -> str:
        value = Path(found[1]).of(names)
        if value is None or value == "" or isinstance(value, dict | list):
            raise Permanent(f"{found[1][:100]} gives nothing for the path", code=PATH_INVALID, source="http")
        return quote(written(value), safe="")

    return PLACEHOLDER.sub(fill, template)


def written(value: Any) -> str:
    """Write a value as it stands in a URL or header: truth values as JSON does."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def origin_of(url: str) -> str:
    """Return scheme, host and port of a URL."""
    parts = urlsplit(url)
    return (
        f"{parts.scheme.lower()}://{(parts.hostname or '').lower()}:{parts.port or _PORTS.get(parts.scheme.lower(), 0)}"
    )


def followed(base: str, url: Any, origins: frozenset[str]) -> str:
    """Return the absolute address that an answer at `base` sends us to.

    Raises:
        Permanent: ORIGIN_REFUSED: it is at none of the origins.

    """
    try:
        target = urljoin(base, str(url))
        found = origin_of(target)
    except ValueError:
        found = ""
    if found not in origins:
        raise Permanent("an answer sends us to another server", code=ORIGIN_REFUSED, source="http", origin=found[:200])
    return target
