"""How the pages of an API follow each other. A pager keeps nothing: a token, plain JSON, says which page is next.

kind        the token is               the next page
none        —                          there is none
offset      how many records came      `param` = token, `size_param` = page size
page        the page's number          `param` = token
cursor      what the answer said       in the query, a header or the body
next_url    an address in the body     asked as it is, at an allowed origin
link        `Link: <…>; rel="next"`    as next_url (RFC 8288)
keyset      the last record's fields   `param` = the field's value, one param per field
window      from when, and a page      each window of time with pages of its own
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol

from plugins.http.asking import Path, followed
from server.sdk import Permanent, code

if TYPE_CHECKING:
    from collections.abc import Mapping

    from plugins.http.asking import Ask, Page

PAGE_INVALID = code("PAGE_INVALID", "A page lacks what leads to the next one, such as the field of a keyset.")

_LINK = re.compile(r"<([^<>]*)>((?:\s*;\s*[^,;\s=]+\s*(?:=\s*(?:\"(?:[^\"\\]|\\.)*\"|[^,;\"]*))?)*)")
_RELATION = re.compile(r";\s*rel\s*=\s*(?:\"([^\"]*)\"|([^,;\s]+))", re.IGNORECASE)
_DAY = 86_400


class Pager(Protocol):
    """One way of turning pages."""

    def start(self) -> Any:
        """Return the token of the first page."""
        ...

    def place(self, ask: Ask, token: Any) -> Ask:
        """Return the request for the page of that token."""
        ...

    def after(self, token: Any, page: Page) -> Any:
        """Return the token of the page after this one; None when the answer says that there is none."""
        ...


class Single:
    """All in one answer."""

    def start(self) -> Any:
        return 0

    def place(self, ask: Ask, token: Any) -> Ask:  # noqa: ARG002 - the protocol's signature
        return ask

    def after(self, token: Any, page: Page) -> Any:  # noqa: ARG002 - the protocol's signature
        return None


@dataclass(frozen=True, slots=True)
class Counted:
    """By offset or by number: the token is a whole number."""

    param: str
    size_param: str | None
    size: int | None
    where: str
    first: int
    by_records: bool

    def start(self) -> Any:
        return self.first

    def place(self, ask: Ask, token: Any) -> Ask:
        sized = {self.size_param: self.size} if self.size_param and self.size else {}
        return ask.put(self.where, {self.param: token, **sized})

    def after(self, token: Any, page: Page) -> Any:
        return token + (len(page.records) if self.by_records else 1)


@dataclass(frozen=True, slots=True)
class Cursor:
    """By an opaque token: `{"at": token}`, `{"at": None}` for the first page, so that no token is mistaken for an end."""

    param: str
    where: str
    next: Path | None
    next_header: str | None
    size_param: str | None
    size: int | None

    def start(self) -> Any:
        return {"at": None}

    def place(self, ask: Ask, token: Any) -> Ask:
        sized = {self.size_param: self.size} if self.size_param and self.size else {}
        shown = {} if token["at"] is None else {self.param: token["at"]}
        return ask.put(self.where, {**sized, **shown})

    def after(self, token: Any, page: Page) -> Any:  # noqa: ARG002 - the protocol's signature
        found = self.next.of(page.body) if self.next else page.headers.get(self.next_header or "")
        return None if found in (None, "", False) or isinstance(found, dict | list) else {"at": found}


@dataclass(frozen=True, slots=True)
class Address:
    """By an address that the answer gives, in its body or its Link header; it may not leave the allowed origins."""

    next: Path | None
    origins: frozenset[str]

    def start(self) -> Any:
        return ""

    def place(self, ask: Ask, token: Any) -> Ask:
        return ask.at(token) if token else ask

    def after(self, token: Any, page: Page) -> Any:  # noqa: ARG002 - the protocol's signature
        found = self.next.of(page.body) if self.next else next_link(page.headers.get("link", ""))
        return followed(page.url, found, self.origins) if found else None


@dataclass(frozen=True, slots=True)
class Keyset:
    """By the last record: its fields go into params of the next request."""

    fields: tuple[tuple[str, Path], ...]
    where: str
    size_param: str | None
    size: int | None

    def start(self) -> Any:
        return {}

    def place(self, ask: Ask, token: Any) -> Ask:
        sized = {self.size_param: self.size} if self.size_param and self.size else {}
        return ask.put(self.where, {**sized, **token})

    def after(self, token: Any, page: Page) -> Any:  # noqa: ARG002 - the protocol's signature
        if not page.records:
            return None
        found = {param: path.of(page.records[-1]) for param, path in self.fields}
        missing = [param for param, value in found.items() if value is None]
        if missing:
            message = f"the last record of a page has nothing for {missing[0]}"
            raise Permanent(message, code=PAGE_INVALID, source="http")
        return found


@dataclass(frozen=True, slots=True)
class Window:
    """By time: windows of `step` seconds from `begin` to `end`, each with pages of its own."""

    from_param: str
    to_param: str
    where: str
    begin: datetime
    end: datetime
    step: float
    form: str
    inner: Pager

    def start(self) -> Any:
        return {"from": self.begin.isoformat(), "page": self.inner.start()} if self.begin < self.end else None

    def place(self, ask: Ask, token: Any) -> Ask:
        begin = datetime.fromisoformat(token["from"])
        if not token["page"] or not isinstance(token["page"], str):
            ask = ask.put(
                self.where, {self.from_param: self._shown(begin), self.to_param: self._shown(self._until(begin))}
            )
        return self.inner.place(ask, token["page"])

    def after(self, token: Any, page: Page) -> Any:
        found = self.inner.after(token["page"], page)
        return self.following(token) if found is None else {**token, "page": found}

    def following(self, token: Any) -> Any:
        """Return the first page of the next window, None after the last."""
        begin = self._until(datetime.fromisoformat(token["from"]))
        return {"from": begin.isoformat(), "page": self.inner.start()} if begin < self.end else None

    def _until(self, begin: datetime) -> datetime:
        return min(begin + timedelta(seconds=self.step), self.end)

    def _shown(self, moment: datetime) -> Any:
        return shown_time(moment, self.form)


def shown_time(moment: datetime, form: str) -> Any:
    """Write a moment: `rfc3339`, `date`, `epoch`, `epoch_ms`, or a strftime pattern."""
    match form:
        case "rfc3339":
            return moment.isoformat().replace("+00:00", "Z")
        case "date":
            return moment.date().isoformat()
        case "epoch":
            return int(moment.timestamp())
        case "epoch_ms":
            return int(moment.timestamp() * 1000)
    return moment.strftime(form)


def next_link(header: str) -> str | None:
    """Return the target of the first link whose relations hold `next` (RFC 8288)."""
    for target, params in _LINK.findall(header):
        found = _RELATION.search(params)
        if found and "next" in (found[1] or found[2]).lower().split():
            return str(target)
    return None


def pager_of(
    declared: Mapping[str, Any], origins: frozenset[str], bounds: tuple[datetime, datetime] | None = None
) -> Pager:
    """Return the pager of a checked declaration; `bounds` are those of its windows of time."""
    kind = declared.get("kind", "none")
    if kind == "window":
        return _window(declared, origins, bounds)
    if kind in ("next_url", "link"):
        return Address(Path(declared["next"]) if kind == "next_url" else None, origins)
    return Single() if kind == "none" else _counted(kind, declared)


def _counted(kind: str, declared: Mapping[str, Any]) -> Pager:
    size, size_param = declared.get("size"), declared.get("size_param")
    where = declared.get("in", "query")
    if kind == "cursor":
        path = Path(declared["next"]) if "next" in declared else None
        header = declared["next_header"].lower() if "next_header" in declared else None
        return Cursor(declared["param"], where, path, header, size_param, size)
    if kind == "keyset":
        return Keyset(tuple((name, Path(path)) for name, path in declared["fields"].items()), where, size_param, size)
    first = declared.get("first", 0 if kind == "offset" else 1)
    return Counted(declared["param"], size_param, size, where, first, by_records=kind == "offset")


def _window(declared: Mapping[str, Any], origins: frozenset[str], bounds: tuple[datetime, datetime] | None) -> Window:
    if bounds is None:
        message = "windows of time need a beginning: a cursor with an initial value, or `begin`"
        raise Permanent(message, code=PAGE_INVALID, source="http")
    return Window(
        declared["from_param"],
        declared["to_param"],
        declared.get("in", "query"),
        *bounds,
        float(declared.get("step_seconds", _DAY)),
        declared.get("format", "rfc3339"),
        pager_of(declared.get("pages", {}), origins),
    )
