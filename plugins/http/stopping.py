"""When the pages of an API end, and when they would never end."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from plugins.http.asking import Path
from server.sdk import Permanent, code

if TYPE_CHECKING:
    from collections.abc import Mapping

    from plugins.http.asking import Ask, Page

PAGINATION_LOOP = code(
    "PAGINATION_LOOP", "The API leads back to a page that was read already, or more pages came than are allowed."
)

MOST_PAGES = 100_000
_REMEMBERED = 10_000
_EMPTY_ENDS = frozenset({"offset", "page", "keyset", "none"})
_SHORT_ENDS = frozenset({"offset", "page", "keyset"})


@dataclass(frozen=True, slots=True)
class StopRules:
    """What ends a list beside the pager's own end."""

    empty_page: bool
    short_page: int | None
    has_more: Path | None
    total: Path | None
    total_pages: Path | None
    max_pages: int | None

    def ends(self, page: Page, records: int, pages: int) -> bool:
        """Say whether this page was the last: `records` and `pages` count those so far, this one's among them."""
        if not page.records and self.empty_page:
            return True
        if self.has_more is not None and self.has_more.of(page.body) in (False, None, 0, "false"):
            return True
        if self.short_page is not None and len(page.records) < self.short_page:
            return True
        total, most = _number(self.total, page), _number(self.total_pages, page)
        if (total is not None and records >= total) or (most is not None and pages >= most):
            return True
        return self.max_pages is not None and pages >= self.max_pages


def rules_of(declared: Mapping[str, Any], kind: str, size: int | None) -> StopRules:
    """Return the rules of a checked declaration; an empty page and a short one end what is counted, unless it says no."""

    def path(name: str) -> Path | None:
        return Path(declared[name]) if name in declared else None

    short = declared.get("short_page", kind in _SHORT_ENDS)
    return StopRules(
        empty_page=declared.get("empty_page", kind in _EMPTY_ENDS),
        short_page=size if short and size else None,
        has_more=path("has_more"),
        total=path("total"),
        total_pages=path("total_pages"),
        max_pages=declared.get("max_pages"),
    )


def _number(path: Path | None, page: Page) -> int | None:
    value = path.of(page.body) if path is not None else None
    if isinstance(value, str) and value.isdecimal():
        return int(value)
    return int(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


class LoopGuard:
    """Remembers the last 10,000 requests, and the content of the page before."""

    def __init__(self, last: str = "") -> None:
        """`last` is the mark that a run left behind."""
        self._asked: OrderedDict[bytes, None] = OrderedDict()
        self._content = bytes.fromhex(last)
        self._pages = 0

    @property
    def mark(self) -> str:
        """What the guard needs to go on after a stop."""
        return self._content.hex()

    def ask(self, ask: Ask) -> None:
        """Note a request.

        Raises:
            Permanent: PAGINATION_LOOP: it was made already, or there were more than 100,000.

        """
        self._pages += 1
        digest = ask.digest()
        if digest in self._asked:
            raise _loop("the API leads back to a request that was made already")
        if self._pages > MOST_PAGES:
            raise _loop(f"more than {MOST_PAGES} pages came")
        self._asked[digest] = None
        if len(self._asked) > _REMEMBERED:
            self._asked.popitem(last=False)

    def came(self, page: Page) -> None:
        """Note a page.

        Raises:
            Permanent: PAGINATION_LOOP: it holds the same as the one before, so the API does not heed the page asked for.

        """
        if page.records and page.digest == self._content:
            raise _loop("two pages after each other hold the same")
        self._content = page.digest


def _loop(message: str) -> Permanent:
    return Permanent(message, code=PAGINATION_LOOP, source="http")
